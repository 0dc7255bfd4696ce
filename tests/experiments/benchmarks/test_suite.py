"""The benchmark's arithmetic; its figures are for people, not for tests."""

from click.testing import CliRunner

from a2mim.experiments.benchmarks import suite


def test_sides_run_in_turn():
    calls = []
    times = suite.paired_times([lambda: calls.append("a"), lambda: calls.append("b")], pairs=3)
    assert calls == ["a", "b"] * 5
    assert times.shape == (3, 2)
    assert (times > 0).all()


def test_the_table_has_a_row_for_each_network(monkeypatch):
    monkeypatch.setattr(suite, "TURN", 0.1)
    assert [net.name for net in suite.nets()] == [
        "fashion-resnet",
        "fashion-vit",
        "ResNet-50, 224",
        "ViT-S/16, 224",
    ]
    output = CliRunner().invoke(suite.main, ["pretrain", "--pairs", "1", "--only", "fashion-resnet"]).output
    step, memory, files = (line.split() for line in output.splitlines() if line.startswith("fashion-resnet"))
    assert step[1] == "64"
    assert all(float(number) > 0 for number in step[2:5])
    for row, name in ((memory, "memory"), (files, "JPEG")):
        assert row[1] == name
        assert all(float(number) > 0 for number in (*row[2:5], *row[-2:]))
        assert 0 <= float(row[6].rstrip("%")) <= 100


def test_the_loader_is_measured_on_a_file_of_each_kind():
    output = CliRunner().invoke(suite.main, ["loader", "--pairs", "1", "--arch", "vit_tiny_patch16_224"]).output
    rows = [line.split() for line in output.splitlines()[2:]]
    assert [row[0] for row in rows] == ["safetensors", "pth"]
    assert all(float(number) > 0 for row in rows for number in row[1:6])
