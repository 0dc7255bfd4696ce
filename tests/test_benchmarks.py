"""The benchmark's arithmetic; its figures are for people, not for tests."""

from click.testing import CliRunner

from a2mim.experiments import benchmarks


def test_sides_run_in_turn():
    calls = []
    times = benchmarks.paired_times([lambda: calls.append("a"), lambda: calls.append("b")], pairs=3)
    assert calls == ["a", "b"] * 5
    assert times.shape == (3, 2)
    assert (times > 0).all()


def test_the_table_has_a_row_for_each_network():
    assert [net.name for net in benchmarks.nets()] == [
        "fashion-resnet",
        "fashion-vit",
        "ResNet-50, 224",
        "ViT-S/16, 224",
    ]
    output = CliRunner().invoke(benchmarks.main, ["pretrain", "--pairs", "1", "--only", "fashion-resnet"]).output
    name, batch, *numbers = output.splitlines()[-1].split()
    assert (name, batch) == ("fashion-resnet", "64")
    assert all(float(number) > 0 for number in numbers[:3])


def test_the_loader_is_measured_on_a_file_of_each_kind():
    output = CliRunner().invoke(benchmarks.main, ["loader", "--pairs", "1", "--arch", "vit_tiny_patch16_224"]).output
    rows = [line.split() for line in output.splitlines()[2:]]
    assert [row[0] for row in rows] == ["safetensors", "pth"]
    assert all(float(number) > 0 for row in rows for number in row[1:6])
