"""Workers end with the process that they work for, whatever ends it."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from processes import patience

SCRIPT = textwrap.dedent(
    """
    import multiprocessing, os, signal, sys, time
    import numpy as np
    from PIL import Image
    from a2mim.data import ImageLoader, ImageSource, eval_transform

    class Noise(ImageSource):
        name = "noise"
        classes = ()
        def __len__(self):
            return 64
        def __getitem__(self, index):
            if index >= int(sys.argv[2]):
                time.sleep(3600)  # as a file system that does not answer
            return Image.fromarray(np.full((8, 8, 3), index, np.uint8)), -1

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    loader = ImageLoader(Noise(), eval_transform(8, (0.5,) * 3, (0.5,) * 3), batch_size=4, workers=2)
    batches = iter(loader)
    next(batches)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    ending = sys.argv[1]
    if ending == "error":
        raise MemoryError("not foreseen")
    if ending == "exit":
        sys.exit(3)
    if ending == "wait":
        time.sleep(3600)
    """
)


@pytest.fixture
def run():
    """Start the script: its process, and the ids of its workers; what is left of them goes with the test."""
    started = []

    def start(ending, readable):
        command = [sys.executable, "-c", SCRIPT, ending, str(readable)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        workers = [int(number) for number in process.stdout.readline().split()]
        assert len(workers) == 2
        return process, workers

    yield start
    for process in started:
        process.kill()
        process.communicate()


def gone(numbers, within):
    """Whether no process of these is left after so many seconds."""
    deadline = time.monotonic() + within
    left = set(numbers)
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = {number for number in left if Path(f"/proc/{number}").exists()}
    for number in left:
        os.kill(number, signal.SIGKILL)
    return not left


@pytest.mark.parametrize("readable", [64, 16])  # idle workers, and workers that wait for a file
@pytest.mark.parametrize(("ending", "status"), [("end", 0), ("error", 1), ("exit", 3)])
def test_an_ending_takes_the_workers_along(run, ending, status, readable):
    process, workers = run(ending, readable)
    assert process.wait(timeout=patience()) == status
    assert gone(workers, within=patience(0.5))
    said = process.communicate()[1]
    assert "DataLoader worker" not in said
    assert ("MemoryError: not foreseen" in said) == (ending == "error")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_that_ends_the_process_takes_the_workers_along(run, number):
    process, workers = run("wait", 16)
    process.send_signal(number)
    assert process.wait(timeout=patience()) == -number
    assert gone(workers, within=patience())
    process.communicate()


def test_a_worker_ignores_the_first_signal_of_a_job_system(run):
    process, workers = run("wait", 64)
    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGTERM):
        for worker in workers:
            os.kill(worker, number)
    time.sleep(0.5)
    assert all(Path(f"/proc/{worker}").exists() for worker in workers)
    os.kill(workers[0], signal.SIGTERM)  # the second one
    assert gone(workers[:1], within=patience())
    process.kill()
    assert gone(workers, within=patience())
    process.communicate()
