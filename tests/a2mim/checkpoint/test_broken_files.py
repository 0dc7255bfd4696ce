"""Real checkpoints, broken at random: each loads or is refused in one line, in Python and at the command line."""

import copy
import io

import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import a2mim
from a2mim.commands.checkpoint import main
from a2mim.errors import InputError
from tests.a2mim.checkpoint.names import test_convolutional as test_names_convolutional
from tests.a2mim.checkpoint.names import test_openmmlab as test_names_openmmlab
from tests.a2mim.checkpoint.names import test_swin as test_names_swin
from tests.a2mim.checkpoint.names import test_vit as test_names_vit

CASES = {
    "SimMIM": test_names_vit.simmim_pretraining,
    "DeiT": lambda: test_names_vit.deit(True),
    "DINOv2": lambda: test_names_vit.dinov2(4),
    "MoCo": lambda: test_names_convolutional.moco(True),
    "ConvNeXt V2": test_names_convolutional.convnext_v2_pretraining,
    "Swin": test_names_swin.official,
    "OpenMMLab ViT": lambda: test_names_openmmlab.vit_classifier(False),
}
PROPERTIES = settings(max_examples=25, deadline=None, derandomize=True)


@pytest.fixture(scope="module")
def checkpoints():
    return {name: make().checkpoint for name, make in CASES.items()}


def survives(checkpoint, file):
    torch.save(checkpoint, file)
    try:
        a2mim.load_encoder(file)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017  # either end is right


def groups(node):
    """Every dictionary of tensors in a checkpoint."""
    if any(isinstance(value, torch.Tensor) for value in node.values()):
        yield node
    for value in node.values():
        if isinstance(value, dict):
            yield from groups(value)


SHAPES = st.lists(st.integers(0, 5), max_size=5)
CHANGE = st.sampled_from(["lost", "reshaped", "renamed", "cut", "integers", "text"])


@pytest.mark.parametrize("case", CASES)
@PROPERTIES
@given(places=st.lists(st.tuples(st.integers(0, 10**6), CHANGE, SHAPES), min_size=1, max_size=4))
def test_tensors_lost_reshaped_and_renamed(checkpoints, tmp_path_factory, case, places):
    broken = copy.deepcopy(checkpoints[case])
    for number, change, shape in places:
        group = next(state for state in groups(broken) if len(state) > 3)
        name = sorted(map(str, group))[number % len(group)]
        value = group[name]
        if not isinstance(value, torch.Tensor):
            continue
        del group[name]
        if change == "reshaped":
            group[name] = torch.ones(shape)
        elif change == "renamed":
            group[name[: number % len(name)] + "0" + name[number % len(name) :]] = value
        elif change == "cut" and value.ndim:
            group[name] = value[: number % (len(value) + 1)]
        elif change == "integers":
            group[name] = value.long()
        elif change == "text":
            group[name] = "not a tensor"
    survives(broken, tmp_path_factory.getbasetemp() / "broken.pth")


@pytest.mark.parametrize("case", CASES)
@PROPERTIES
@given(changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=6)), min_size=1, max_size=5))
def test_bytes_overwritten_anywhere(checkpoints, tmp_path_factory, case, changes):
    buffer = io.BytesIO()
    torch.save(checkpoints[case], buffer)
    data = bytearray(buffer.getvalue())
    for share, new in changes:
        at = int(share**4 * (len(data) - len(new)))  # mostly at the head, where the names and shapes are
        data[at : at + len(new)] = new
    file = tmp_path_factory.getbasetemp() / "bytes.pth"
    file.write_bytes(data)
    try:
        a2mim.load_encoder(file)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    "command", [["inspect"], ["inspect", "--json"], ["convert", "--to", "timm", "--output", "out"]]
)
@pytest.mark.parametrize("damage", ["empty", "half", "text", "nan", "less"])
def test_the_command_line_says_one_line_and_leaves_with_two(tmp_path, monkeypatch, command, damage):
    monkeypatch.chdir(tmp_path)
    saved = test_names_vit.dino_released().checkpoint
    if damage == "nan":
        saved["norm.weight"][0] = float("nan")
    if damage == "less":
        del saved["norm.weight"]
    torch.save(saved, "x.pth")
    whole = (tmp_path / "x.pth").read_bytes()
    (tmp_path / "x.pth").write_bytes(
        {"empty": b"", "half": whole[: len(whole) // 2], "text": b"hello\n"}.get(damage, whole)
    )
    result = CliRunner().invoke(main, [command[0], "x.pth", *command[1:]])
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()
