"""Signals that ask for the end: noted, obeyed when the state is whole, told by the exit status."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from processes import result, start

from a2mim.checkpoint import read_checkpoint
from a2mim.commands.pretrain import main
from a2mim.errors import Preempted
from a2mim.signals import Stop, ended_by, name
from a2mim.training.engine import Trainer

TINY = [
    *("--model", "vit_tiny_patch16_224", "--model-args", "patch_size=4", "--model-args", "embed_dim=24"),
    *("--model-args", "depth=1", "--model-args", "num_heads=2", "--img-size", "16", "--mask-patch-size", "4"),
    *("--limit", "64", "--batch-size", "8", "--warmup-epochs", "0", "--workers", "0", "--picture-interval", "0"),
]


def test_a_signal_is_noted_and_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM)
    stop = Stop()
    with stop.listening():
        os.kill(os.getpid(), signal.SIGUSR1)
        assert stop.asked == signal.SIGUSR1
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.asked == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_only_a_second_ctrl_c_does_not_wait():
    stop = Stop()
    with stop.listening():
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
            assert stop.asked == number
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_another_thread_cannot_listen_and_need_not():
    seen = []

    def listen():
        with Stop().listening():
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert seen == [before]


def test_ctrl_c_is_no_preemption():
    assert (name(signal.SIGUSR1), type(ended_by(signal.SIGINT, "x"))) == ("SIGUSR1", KeyboardInterrupt)
    ended = ended_by(signal.SIGUSR1, "saved")
    assert (type(ended), str(ended)) == (Preempted, "SIGUSR1; saved")


def _command(output, number, victims, *options):
    """The command, to whose processes ``victims`` the signal comes in the second epoch; its exit status."""
    real = Trainer._after_update

    def after(self, values):
        if self.progress.updates == 10 and int(os.environ["RANK"]) in victims:
            os.kill(os.getpid(), number)
        real(self, values)

    Trainer._after_update = after  # in this process alone, which ends here
    with pytest.raises(SystemExit) as ended:
        main([*TINY, "--output", str(output), "--experiment", "r", *options])
    return ended.value.code


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGUSR1, 75)])
def test_a_command_saves_and_says_why_it_left(tmp_path, number, status, capfd):
    for options, expected in ((["--epochs", "2"], status), (["--epochs", "2", "--resume"], 0)):
        _, results = start(1, _command, tmp_path, number, (0,), *options)
        assert result(results) == (0, expected)
        assert read_checkpoint(tmp_path / "r" / "last.pth.tar")["step"] == (16 if expected == 0 else 10)
    said = capfd.readouterr().err
    assert f"stopped: {name(number)}; saved, go on with --resume {tmp_path / 'r'}" in said


def test_a_signal_to_all_processes_of_a_job_leaves_the_workers_at_work(tmp_path):
    command = [
        str(Path(sys.executable).parent / "a2mim-pretrain"),
        *TINY,
        "--output",
        str(tmp_path),
        "--experiment",
        "r",
    ]
    command += ["--epochs", "500", "--workers", "1", "--log-interval", "1"]
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True) as job:
        log = tmp_path / "r" / "log.jsonl"
        deadline = time.monotonic() + 120
        while not (log.is_file() and '"train"' in log.read_text()) and time.monotonic() < deadline:
            time.sleep(0.1)
        os.killpg(job.pid, signal.SIGTERM)
        said = job.communicate(timeout=120)[1]
    assert job.returncode == 75, said
    assert "stopped: SIGTERM; saved" in said
    assert '"stopped"' in log.read_text()


def test_one_process_that_is_asked_takes_the_others_along(tmp_path):
    _, results = start(2, _command, tmp_path, signal.SIGUSR1, (1,), "--epochs", "2", "--batch-size", "4")
    assert sorted(result(results) for _ in range(2)) == [(0, 75), (1, 75)]
    assert read_checkpoint(tmp_path / "r" / "last.pth.tar")["step"] in (10, 11)
