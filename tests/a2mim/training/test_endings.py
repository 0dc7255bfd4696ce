"""Every ending of a training command: gone within seconds, with its documented status, and no process left."""

import contextlib
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import pytest
import torch
from processes import patience
from small_data import write_images

from a2mim.commands import finetune, pretrain
from a2mim.training import engine

NET = [
    *("--model", "vit_tiny_patch16_224", "--model-args", "patch_size=4", "--model-args", "embed_dim=24"),
    *("--model-args", "depth=1", "--model-args", "num_heads=2", "--img-size", "16"),
    *("--batch-size", "8", "--warmup-epochs", "0", "--epochs", "500", "--log-interval", "1", "--device", "cpu"),
]


def _unforeseen(trainer, values):
    raise LookupError("a bug")


def _memory(trainer, values):
    raise MemoryError("in an update")


def _no_number(trainer, values):
    trainer._skip({"loss": float("nan"), "grad_norm": float("nan")})


def _full_disk(trainer, values):
    raise OSError(28, "No space left on device")


# what happens after a random update -> exit status
FAILURES = {"bug": (_unforeseen, 1), "memory": (_memory, 1), "nan": (_no_number, 1), "disk": (_full_disk, 1)}
# signals that come at a random moment -> exit status
SIGNALS = {
    "ctrl-c": ([signal.SIGINT], 130),
    "two ctrl-c": ([signal.SIGINT, signal.SIGINT], 130),
    "sigterm": ([signal.SIGTERM], 75),
    "sigusr1": ([signal.SIGUSR1], 75),
    "sigkill": ([signal.SIGKILL], -signal.SIGKILL),
}
KINDS = [*FAILURES, *SIGNALS]


def _command(program, words, failure, turn):
    """Run the command as its program does, exit functions included, with ``failure`` after update ``turn``."""
    real = engine.Trainer._after_update

    def after(self, values):
        real(self, values)
        if failure and self.progress.updates >= turn:
            failure(self, values)

    engine.Trainer._after_update = after
    try:
        program(words)
        return 0
    except SystemExit as ended:
        return ended.code
    except BaseException:
        traceback.print_exc()
        return 1


def _started(program, words, failure=None, turn=0):
    """The command in a forked process (nothing is imported again) that leads its own process group."""
    child = os.fork()
    if child:
        return child
    status = 1
    with contextlib.suppress(BaseException):
        os.setpgid(0, 0)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        torch.set_num_threads(1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        import atexit

        atexit._clear()  # those of the test's process
        import multiprocessing.util

        atexit.register(multiprocessing.util._exit_function)
        try:
            status = _command(program, words, failure, turn)
        finally:
            atexit._run_exitfuncs()
    os._exit(status)


def _members(group):
    """The living processes of a group."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            after_name = (entry / "stat").read_text().rpartition(")")[2].split()
            if entry.name.isdecimal() and int(after_name[2]) == group and after_name[0] != "Z":
                found.append(int(entry.name))
    return found


def _waited(child, seconds):
    """The status of a child as subprocess has it; None if it is still there after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    return None


def _ending(kind, program, words, log, draw):
    """One ending: (exit status or None for a hang, processes left)."""
    failure = FAILURES[kind][0] if kind in FAILURES else None
    child = _started(program, words, failure, draw.randint(1, 12))
    try:
        if kind in SIGNALS:
            deadline = time.monotonic() + 120
            while not (log.is_file() and '"train"' in log.read_text()) and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(draw.uniform(0, 0.5))
            to_all = draw.random() < 0.5  # a terminal and a job system signal the whole group
            for number in SIGNALS[kind][0]:
                with contextlib.suppress(ProcessLookupError):
                    (os.killpg if to_all and number != signal.SIGKILL else os.kill)(child, number)
                time.sleep(draw.uniform(0, 0.05))
            status = _waited(child, patience())
        else:
            status = _waited(child, 120 + patience())  # the training until the failure is part of it
        deadline = time.monotonic() + patience()
        while (left := _members(child)) and status is not None and time.monotonic() < deadline:
            time.sleep(0.05)
        return status, len(left)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        if status is None:
            os.waitpid(child, 0)


def _repeat(kind, tmp_path, times, seed):
    """Counts over ``times`` endings of a kind: right ones, hangs, processes left; and the statuses that were wrong."""
    images = write_images(
        tmp_path / "images", *(f"{split}/{k % 2}/{k}.png" for split in ("train", "val") for k in range(24))
    )
    draw = random.Random(f"{seed} {kind}")
    expected = {**FAILURES, **SIGNALS}[kind][1]
    counts = {"right": 0, "hangs": 0, "left": 0, "wrong": []}
    for number in range(times):
        training = draw.choice(["pretrain", "finetune"])
        program = {"pretrain": pretrain.main, "finetune": finetune.main}[training]
        words = [*NET, "--data-dir", str(images), "--output", str(tmp_path), "--experiment", f"r{number}"]
        words += ["--workers", str(draw.choice([1, 2]))]
        words += ["--mask-patch-size", "4", "--picture-interval", "0"] if training == "pretrain" else []
        status, left = _ending(kind, program, words, tmp_path / f"r{number}" / "log.jsonl", draw)
        counts["hangs"] += status is None
        counts["left"] += left
        counts["right"] += status == expected
        if status != expected:
            counts["wrong"].append(status)
    return counts


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", ["bug", "two ctrl-c", "sigterm", "sigkill"])
def test_an_ending_leaves_nothing(kind, tmp_path):
    assert _repeat(kind, tmp_path, 2, seed=1) == {"right": 2, "hangs": 0, "left": 0, "wrong": []}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", KINDS)
def test_forty_endings_of_each_kind(kind, tmp_path):
    times = int(os.environ.get("A2MIM_ENDINGS", "40"))
    counts = _repeat(kind, tmp_path, times, seed=2)
    print(kind, counts, flush=True)
    assert counts == {"right": times, "hangs": 0, "left": 0, "wrong": []}
