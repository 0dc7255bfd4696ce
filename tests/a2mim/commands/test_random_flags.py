"""Random combinations of flags: no traceback, a documented exit status, and nothing written when input is refused."""

import dataclasses
import os
import random
import traceback
import types
import typing

import pytest
from click.testing import CliRunner
from small_data import write_images

from a2mim.commands import checkpoint, finetune, pretrain
from a2mim.options import how_many
from a2mim.settings import FinetuneSettings, PretrainSettings

COMBINATIONS = int(os.environ.get("A2MIM_COMBINATIONS", "300"))
SMALL = ["--limit", "16", "--batch-size", "8", "--epochs", "1", "--warmup-epochs", "0", "--workers", "0"]
NETS = [
    ["--model", "resnet14t", "--model-args", "channels=[8, 8, 8, 8]", "--model-args", "stem_width=4"],
    [
        *("--model", "vit_tiny_patch16_224", "--model-args", "patch_size=8", "--model-args", "embed_dim=24"),
        *("--model-args", "depth=2", "--model-args", "num_heads=2", "--img-size", "32"),
    ],
    ["--model", "no_such_model"],
    ["--img-size", "32"],
]
# what takes long, leaves this machine, or needs a package that may be absent
LEFT_OUT = {"model", "model_args", "epochs", "limit", "workers", "device", "pretrained", "torchcompile", "log_wandb"}
LEFT_OUT |= {"log_tensorboard", "data_dir", "batch_size", "aug_repeats", "grad_checkpointing", "moco_mlp_dim"}
ODD = ["", "-1", "0", "1", "2", "1e9", "nan", "inf", "none", "x", "[1, 2]", "0.5", "32"]


def value_of(entry, hint, draw):
    """A random value for a setting: in its range, at its edge, or odd; None for a flag without one."""
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kind, between, choices = kinds[0], entry.metadata["between"], entry.metadata["choices"]
    if kind is bool:
        return []
    if typing.get_origin(kind) is tuple:
        number = how_many(entry)
        if number is None:
            return [draw.choice(["10,20", "1", "x", ""])]
        return [draw.choice(["0.1", "0.5", "1", "-1", "x"]) for _ in range(number)]
    if choices and draw.random() < 0.9:
        return [draw.choice(choices)]
    if draw.random() < 0.1:
        return [draw.choice(ODD)]
    low, high = between or (0, 2)
    high = min(high, 8 * max(low, 1))
    return [str(draw.randint(int(low), int(high)) if kind is int else round(draw.uniform(low, high), 3))]


def flags_of(settings, draw):
    """Up to three random flags of a command."""
    hints = typing.get_type_hints(settings)
    entries = [entry for entry in dataclasses.fields(settings) if entry.name not in LEFT_OUT]
    words = []
    for entry in draw.sample(entries, draw.randint(0, 3)):
        flag = "--" + entry.name.replace("_", "-")
        value = value_of(entry, hints[entry.name], draw)
        words += [draw.choice([flag, flag.replace("--", "--no-", 1)])] if not value else [flag, *value]
    return words


def combination(draw, folder, run, images):
    """A command and its arguments."""
    name = draw.choice(["pretrain", "finetune", "finetune", "checkpoint"])
    output = ["--output", str(folder / "out"), "--experiment", "r"]
    if name == "checkpoint":
        what = draw.choice(["inspect", "convert", "formats"])
        words = [what] + (
            [str(draw.choice([run, run / "last.pth.tar", folder / "none", images]))] if what != "formats" else []
        )
        words += draw.choice([[], ["--model", "resnet18"], ["--which", "x"], ["--model-args", "a"], ["--json"]])
        if what == "convert":
            target = str(folder / "out" / draw.choice(["a", "a.pth", "a.safetensors"]))
            words += [
                "--to",
                draw.choice(["timm", "torchvision", "hf", "detectron2", "openmmlab", "x"]),
                "--output",
                target,
            ]
        return checkpoint.main, words
    words = [
        *SMALL,
        *draw.choice(NETS),
        *output,
        *draw.choice([[], [], ["--data-dir", str(images)], ["--data-dir", "/none"]]),
    ]
    if name == "pretrain":
        words += ["--picture-interval", "0", *draw.choice([[], ["-c", "fashion-vit"], ["-c", "no-recipe"]])]
        return pretrain.main, words + flags_of(PretrainSettings, draw)
    words = draw.choice([[], [str(run)], [str(folder / "none")]]) + words
    words += draw.choice([[], [], ["--seeds", "0,1"], ["--seeds", "x"], ["--resume"], ["--linear"], ["--knn"]])
    return finetune.main, words + flags_of(FinetuneSettings, draw)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A run of pre-training and a folder of images."""
    folder = tmp_path_factory.mktemp("given")
    ended = CliRunner().invoke(
        pretrain.main, [*SMALL, *NETS[0], "--mask-patch-size", "8", "--output", str(folder), "--experiment", "p"]
    )
    assert ended.exit_code == 0, ended.output
    images = write_images(
        folder / "images", *(f"{part}/{k % 2}/{k}.png" for part in ("train", "val") for k in range(20))
    )
    return folder / "p", images


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_random_flags(part, tmp_path, given):
    failures = []
    statuses = {}
    for number in range(part, COMBINATIONS, 10):
        folder = tmp_path / str(number)
        folder.mkdir()
        command, words = combination(random.Random(number), folder, *given)
        ended = CliRunner().invoke(command, words)
        status, error = ended.exit_code, ended.exception
        statuses[status] = statuses.get(status, 0) + 1
        if error is not None and not isinstance(error, SystemExit):
            failures.append((number, words, "".join(traceback.format_exception(error)[-3:])))
        elif status not in (0, 1, 2):
            failures.append((number, words, f"status {status}"))
        elif status == 2 and list(folder.rglob("*")):
            failures.append(
                (number, words, f"written: {[str(path) for path in folder.rglob('*')]}; {ended.output[-300:]}")
            )
        elif status == 1 and not ended.output.strip().splitlines()[-1].startswith("error: "):
            failures.append((number, words, ended.output[-300:]))
    print(statuses)
    assert not failures, "\n\n".join(
        f"{number}: {' '.join(map(repr, words))}\n{what}" for number, words, what in failures
    )
