"""The sides of the probes benchmark do equal work; its figures are for people."""

from click.testing import CliRunner

from a2mim.experiments.benchmarks import probes as probe_benchmark
from a2mim.experiments.benchmarks import suite


def test_all_sides_send_as_many_images_through_the_network():
    subject = probe_benchmark.subject_of("fashion-vit-scratch")
    sides = probe_benchmark.throughput(subject, 8)
    assert len(sides) == 1 + len(probe_benchmark.BARS)
    passed = []
    subject.model.register_forward_hook(lambda _, given, __: passed.append(len(given[0])))
    for side in sides:
        side()
    assert passed == [8] * len(sides) * len(probe_benchmark.RATIOS)


def test_a_timm_architecture_gets_random_weights():
    subject = probe_benchmark.subject_of("test_resnet")
    assert subject.report.arch == "test_resnet"
    assert subject.report.has_classifier


def test_the_command_prints_a_row_for_each_network_and_the_memory(monkeypatch):
    monkeypatch.setattr(probe_benchmark, "MEMORY", {"variance": (("", 8, 4), ("", 16, 4))})
    result = CliRunner().invoke(
        suite.main, ["probes", "--network", "fashion-resnet-a2mim", "--pairs", "1", "--batch-size", "4"]
    )
    assert result.exit_code == 0, result.output
    _, header, row, memory, variance = result.output.splitlines()
    assert row.startswith("fashion-resnet-a2mim")
    assert row.count("(") == len(probe_benchmark.BARS)
    assert "radial spectrum" in header
    assert "beyond the network's own" in memory
    assert len(variance.split()) == 4
