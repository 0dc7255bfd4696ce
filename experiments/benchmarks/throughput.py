"""Compare the engine with a bare loop of the same encoder: images per second, time spent waiting, peak memory.

The engine is ``a2mim.pretraining`` as the command runs it: decoding, augmentation, masks, loss, update, log. The bare
loop repeats one batch that is already on the device: forward, cross-entropy of a linear classifier, backward, AdamW.
They run in turn: one epoch of the engine, then as many steps of the loop.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Net:
    """A network to time: architecture, its arguments, image and batch size."""

    name: str
    arch: str
    model_args: dict[str, Any]
    img_size: int
    batch_size: int
    mask_patch_size: int


@dataclass(frozen=True)
class Conditions:
    """Settings that both sides share, by their names in ``PretrainSettings``."""

    device: str = "cpu"
    channels_last: bool = False
    amp: bool = False
    torchcompile: str | None = None
    workers: int = 1


@dataclass(frozen=True)
class Throughput:
    """For each pair of turns: images per second of both sides, and the share of time that the engine waited."""

    engine: np.ndarray
    bare: np.ndarray
    waiting: np.ndarray


def write_jpegs(folder: Path, n: int, img_size: int) -> Path:
    """Write n JPEG files in two classes, 500x375 pixels for networks of 224 pixels, else in proportion."""
    from PIL import Image

    rng = np.random.default_rng(0)
    width, height = round(500 / 224 * img_size), round(375 / 224 * img_size)
    for number in range(n):
        coarse = Image.fromarray(rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8))
        (folder / str(number % 2)).mkdir(parents=True, exist_ok=True)
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(folder / str(number % 2) / f"{number}.jpg")
    return folder


def compare(net: Net, conditions: Conditions, data: dict[str, Any], steps: int, pairs: int) -> Throughput:
    """Time the engine on ``data`` (settings of the images) and the bare loop, ``pairs`` times after one warm-up."""
    import csv

    loop = bare_loop(net, conditions)
    bare: list[float] = []

    def in_turn(*_: Any) -> None:
        began = time.perf_counter()
        loop(steps)
        bare.append(steps * net.batch_size / (time.perf_counter() - began))

    with tempfile.TemporaryDirectory() as folder:
        path = train(net, conditions, data, steps, epochs=pairs + 1, output=folder, on_epoch_end=in_turn)
        with open(path / "summary.csv", newline="") as handle:
            rows = list(csv.DictReader(handle))[1:]
    speed, waiting = (np.array([float(row[name]) for row in rows]) for name in ("images_per_second", "waiting"))
    return Throughput(speed, np.array(bare[1:]), waiting)


def train(
    net: Net,
    conditions: Conditions,
    data: dict[str, Any],
    steps: int,
    *,
    epochs: int = 1,
    output: str | Path,
    on_epoch_end: Callable[..., None] = lambda *_: None,
) -> Path:
    """Run the engine for ``steps`` steps per epoch without output; returns the run's folder."""
    from a2mim.pretraining import pretrain
    from a2mim.settings import PretrainSettings

    settings = PretrainSettings(
        model=net.arch,
        model_args=net.model_args,
        img_size=net.img_size,
        batch_size=net.batch_size,
        mask_patch_size=net.mask_patch_size,
        limit=steps * net.batch_size,
        epochs=epochs,
        warmup_epochs=0,
        checkpoint_hist=0,
        **vars(conditions),
        **data,
    )
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        return pretrain(settings, output=output, on_epoch_end=on_epoch_end, echo=lambda _: None).path


def bare_loop(net: Net, conditions: Conditions) -> Callable[[int], None]:
    """A function that trains the plain encoder, supervised, for a number of steps on one batch."""
    import timm
    import torch

    from a2mim.model import create_model

    device = torch.device(conditions.device)
    layout = torch.channels_last if conditions.channels_last else torch.contiguous_format
    args = create_model(net.arch, model_args=net.model_args, img_size=net.img_size).model_args
    model = timm.create_model(net.arch, num_classes=10, **args).train().to(device).to(memory_format=layout)
    if conditions.torchcompile:
        model.compile(backend=conditions.torchcompile)
    images = torch.randn(net.batch_size, 3, net.img_size, net.img_size, device=device).to(memory_format=layout)
    labels = torch.randint(10, (net.batch_size,), device=device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)

    def loop(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=conditions.amp):
                logits = model(images)
            torch.nn.functional.cross_entropy(logits.float(), labels).backward()
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return loop


def peak_megabytes(net: Net, conditions: Conditions, side: str) -> float:
    """Peak memory of three steps of a side (``engine``, ``bare``) in its own process, without its imports.

    On a GPU: as torch counts it; else: the growth of the resident set of the training process (Linux only).
    """
    command = [
        sys.executable,
        "-m",
        "a2mim.experiments.benchmarks.throughput",
        side,
        repr(vars(net)),
        repr(vars(conditions)),
    ]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def _peak(side: str, net: Net, conditions: Conditions) -> float:
    import re

    import torch

    import a2mim.pretraining  # noqa: F401 - imported first, so that its memory is not counted

    def kilobytes(key: str) -> int:
        return int(re.search(key + r":\s+(\d+)", Path("/proc/self/status").read_text())[1])  # type: ignore[index]

    before = kilobytes("VmRSS")
    if side == "bare":
        bare_loop(net, conditions)(3)
    else:
        with tempfile.TemporaryDirectory() as folder:
            train(net, conditions, {}, 3, output=folder)
    if torch.device(conditions.device).type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    return (kilobytes("VmHWM") - before) / 1e3


if __name__ == "__main__":
    from ast import literal_eval

    _side, _net, _conditions = sys.argv[1:]
    print(_peak(_side, Net(**literal_eval(_net)), Conditions(**literal_eval(_conditions))))
