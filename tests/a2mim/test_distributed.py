"""Several processes: each has its rows, the gradient is the mean, two compute what one does; a lost one is told."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import free_port, result, start, together
from torch import nn

from a2mim import distributed
from a2mim.checkpoint import read_checkpoint
from a2mim.data import Batch, FashionImages, ImageLoader, UnreadableError, eval_transform
from a2mim.errors import InputError, RunError
from a2mim.pretraining import pretrain
from a2mim.settings import FinetuneSettings, PretrainSettings
from a2mim.training import engine
from a2mim.training.finetuning import FinetuneTask, finetune

CPU = torch.device("cpu")
VIT = dict(
    model="vit_tiny_patch16_224",
    model_args=dict(img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=2),
    img_size=16,
    epochs=2,
    warmup_epochs=0.5,
    workers=0,
    opt="sgd",
    lr_base=1.0,
)
MIM = {**VIT, "mask_patch_size": 4, "limit": 100}


def test_one_process_is_the_normal_case():
    assert (distributed.rank(), distributed.world(), distributed.is_main()) == (0, 1, True)
    drawn = torch.arange(6)
    assert torch.equal(distributed.share(drawn), drawn)
    assert distributed.total(2, 3.5) == [2.0, 3.5]
    assert distributed.from_main("x") == "x"
    with distributed.group(CPU):
        assert not torch.distributed.is_initialized()


def test_what_the_environment_says(monkeypatch):
    for name, value in {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert (distributed.rank(), distributed.world(), distributed.local_rank()) == (1, 4, 1)
    assert distributed.share(torch.arange(8)).tolist() == [2, 3]
    with pytest.raises(ValueError, match="7 rows cannot be shared by 4"):
        distributed.share(torch.arange(7))
    assert PretrainSettings(batch_size=8).loading() == {
        "batch_size": 8, "seed": 0, "workers": 1, "rank": 1, "world": 4
    }  # fmt: skip
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(InputError, match="RANK=first must be a whole number"):
        distributed.rank()


def _sums():
    rank = distributed.rank()
    with distributed.group(CPU):
        return (
            distributed.total(rank + 1, 0.5),
            distributed.largest(10 * rank),
            distributed.union(["a", str(rank)]),
            distributed.from_main(f"from {rank}"),
            distributed.mean(torch.tensor([rank, 1.0]), weight=2.0 - rank).tolist(),
        )


def test_sums_over_processes():
    for found in together(2, _sums):
        assert found == ([3.0, 1.0], 10, {"a", "0", "1"}, "from 0", [0.5, 1.5])


def test_processes_meet_again_and_again():
    for results in together(2, lambda: [_sums() for _ in range(4)]):
        assert len(results) == 4
        assert all(found == results[0] for found in results)


class Net(nn.Module):
    def __init__(self, unused):
        super().__init__()
        torch.manual_seed(0)
        self.used = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2)
        self.unused = nn.Linear(3, 2) if unused else None


def _gradients(unused, accumulate):
    net = Net(unused)
    images = torch.randn(12, 3, generator=torch.Generator().manual_seed(1))

    def loss(rows, generator):
        noise = distributed.share(torch.rand(2 * len(rows), 1, generator=generator))
        return (net.norm.eval()(net.used(rows)) * noise).square().mean(), {}

    with distributed.group(CPU):
        step = distributed.Synchronised(net, loss)
        generator = torch.Generator().manual_seed(2)
        for turn in range(2):
            for part in range(accumulate):
                rows = distributed.share(images[: 12 // accumulate])
                with step.local() if part + 1 < accumulate else torch.enable_grad():
                    step(rows, generator)[0].backward()
            gradient = net.used.weight.grad.clone()
            if turn == 0:
                net.zero_grad()
        looks = step.step.find_unused_parameters
    return gradient, looks, net.norm.num_batches_tracked.item(), net.unused and net.unused.weight.grad


@pytest.mark.parametrize(("unused", "accumulate"), [(False, 1), (True, 1), (False, 2)])
def test_the_gradient_is_the_mean_of_all_rows(unused, accumulate):
    net = Net(unused)
    images = torch.randn(12, 3, generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    for _ in range(2):
        net.zero_grad()
        for _ in range(accumulate):
            rows = images[: 12 // accumulate]
            noise = torch.rand(len(rows), 1, generator=generator)
            (net.norm.eval()(net.used(rows)) * noise).square().mean().backward()
    for gradient, looks, tracked, without in together(2, _gradients, unused, accumulate):
        assert torch.allclose(gradient, net.used.weight.grad, atol=1e-7)
        assert (looks, tracked, without) == (unused, 0, None)


def _overwriting():
    net, seen = Net(unused=False), []

    def loss(rows, generator):
        seen.append(rows.clone())
        return net.used(rows.mul_(2)).sum(), {}

    with distributed.group(CPU):
        distributed.Synchronised(net, loss)(torch.ones(2, 3), torch.Generator())
    return seen[-1]


def test_a_loss_that_overwrites_its_images_sees_the_given_ones():
    """Mixup does; the pass that looks for unused weights once left its images to the first step."""
    assert all(torch.equal(rows, torch.ones(2, 3)) for rows in together(2, _overwriting))


def _averaged():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 2), nn.BatchNorm1d(2))
    nn.init.constant_(model[2].running_mean, distributed.rank())
    settings = FinetuneSettings(model_ema=True, batch_size=2)
    images = [Batch(torch.ones(2, 3, 1, 1), torch.zeros(2, dtype=torch.int64), torch.arange(2))]
    with distributed.group(CPU):
        task = FinetuneTask(model, torch.optim.SGD(model.parameters()), images, {"num_classes": 2}, settings)
        task.after_update()
        task.evaluate()
    return task.ema.module[2].running_mean


def test_averaged_statistics_are_those_of_the_first_process():
    assert all(mean.tolist() == [0, 0] for mean in together(2, _averaged))


def _train(kind, values, folder, **options):
    settings = kind.from_values(values)
    run = pretrain if kind is PretrainSettings else finetune
    return str(run(settings, output=folder, experiment="r", echo=lambda _: None, **options).path)


@pytest.mark.parametrize("changes", [{}, {"grad_accum_steps": 2}], ids=["plain", "accumulated"])
def test_two_processes_compute_what_one_does_with_twice_the_batch(tmp_path, changes):
    values = {**MIM, **changes}
    alone = _train(PretrainSettings, {**values, "batch_size": 16}, tmp_path / "alone")
    paths = together(2, _train, PretrainSettings, {**values, "batch_size": 8}, tmp_path / "two")
    assert paths == [str(tmp_path / "two" / "r")] * 2
    first, second = (read_checkpoint(f"{path}/last.pth.tar") for path in (alone, paths[0]))
    assert first["step"] == second["step"]
    still = _train(PretrainSettings, {**values, "batch_size": 16, "lr": 0.0, "warmup_lr": 0.0}, tmp_path / "still")
    before = read_checkpoint(f"{still}/last.pth.tar")["state_dict"]
    moved = max((value - before[name]).abs().max() for name, value in first["state_dict"].items())
    assert moved > 0.01
    for name, value in first["state_dict"].items():
        assert torch.allclose(value, second["state_dict"][name], atol=1e-5), name
    rows = [np.genfromtxt(f"{path}/summary.csv", delimiter=",", names=True) for path in (alone, paths[0])]
    for key in ("loss", "spatial", "frequency", "grad_norm", "lr"):
        np.testing.assert_allclose(rows[0][key], rows[1][key], rtol=1e-5)


class Regression(engine.BaseTask):
    """Least squares without a draw."""

    def __init__(self):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(48, 1))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01)

    def loss(self, batch, generator):
        loss = (self.model(batch.images) - batch.labels[:, None]).square().mean()
        return loss, {"same": loss.detach()}

    def describe(self):
        return {"kind": "finetune", "state_dict": self.model.state_dict()}


class Some(FashionImages):
    """Of which some cannot be read."""

    def __getitem__(self, index):
        if index % 500 == 0:
            raise UnreadableError(str(index), "broken on purpose")
        return super().__getitem__(index)


def _regress(batch_size, folder):
    settings = PretrainSettings(batch_size=batch_size, epochs=2, warmup_epochs=0, workers=0, lr=0.01)
    source = Some()
    transform = eval_transform(4, source.mean, source.std)
    loader = ImageLoader(
        source, transform, shuffle=True, limit=427, **settings.loading()
    )  # 53 batches of 8 and 3 images
    engine.train(Regression(), loader, settings, output=folder, experiment="r", echo=lambda _: None)
    return folder / "r"


def test_short_batches_weigh_what_they_hold(tmp_path):
    alone = _regress(8, tmp_path / "alone")
    two = together(2, _regress, 4, tmp_path / "two")[0]
    first, second = (read_checkpoint(path / "last.pth.tar") for path in (alone, two))
    for name, value in first["state_dict"].items():
        assert torch.allclose(value, second["state_dict"][name], atol=1e-6), name
    rows = [np.genfromtxt(path / "summary.csv", delimiter=",", names=True) for path in (alone, two)]
    for key in ("loss", "same", "grad_norm", "unreadable"):
        np.testing.assert_allclose(rows[0][key], rows[1][key], rtol=1e-5)
    assert rows[0]["unreadable"][-1] > 0


def test_validation_counts_every_image_once(tmp_path):
    values = {**VIT, "limit": 150, "epochs": 1, "warmup_epochs": 0.0}
    alone = _train(FinetuneSettings, {**values, "batch_size": 28}, tmp_path / "alone")
    two = together(2, _train, FinetuneSettings, {**values, "batch_size": 14}, tmp_path / "two")[0]
    rows = [np.genfromtxt(f"{path}/summary.csv", delimiter=",", names=True) for path in (alone, two)]
    for key in ("loss", "train_top1", "top1", "val_loss"):
        np.testing.assert_allclose(rows[0][key], rows[1][key], rtol=1e-4)


def _resume(values, folder):
    return str(pretrain(PretrainSettings.from_values(values), resume=folder, echo=lambda _: None).path)


def test_another_number_of_processes_goes_on_when_the_batch_stays(tmp_path):
    folder = tmp_path / "two" / "r"
    together(2, _train, PretrainSettings, {**MIM, "batch_size": 8, "epochs": 1, "warmup_epochs": 0}, tmp_path / "two")
    with pytest.raises(
        InputError, match=r"with 16 \(8 x 1 x 2\) images per update and cannot continue with 8 \(8 x 1 x 1\)"
    ):
        _resume({**MIM, "batch_size": 8, "warmup_epochs": 0}, folder)
    _resume({**MIM, "batch_size": 16, "warmup_epochs": 0}, folder)
    assert read_checkpoint(folder / "last.pth.tar")["epoch"] == 2


def _die(values, folder, deadly):
    if distributed.rank() == 1:
        real = engine.Trainer._after_update

        def after(self, numbers):
            real(self, numbers)
            if self.progress.updates == 8:
                os.kill(os.getpid(), deadly)

        engine.Trainer._after_update = after  # in this process alone, which ends here
    return _train(PretrainSettings, values, folder)


@pytest.mark.parametrize("deadly", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "hangs"])
def test_a_process_that_goes_ends_the_others_with_one_line(tmp_path, deadly):
    values = {**MIM, "batch_size": 8, "epochs": 4}
    began = time.monotonic()
    processes, results = start(2, _die, values, tmp_path, deadly, A2MIM_TIMEOUT=5)
    rank, error = result(results)
    processes[1].kill()
    assert time.monotonic() - began < 45
    assert rank == 0
    assert isinstance(error, RunError)
    assert "process 0 of 2 lost another one" in str(error)
    assert "\n" not in str(error)
    assert read_checkpoint(tmp_path / "r" / "last.pth.tar")["epoch"] == 1


@pytest.mark.slow
def test_torchrun_on_two_machines(tmp_path):
    """Two agents with one process each, as on two machines; stopped by one signal, resumed by the same command."""
    words = [f"--{key.replace('_', '-')}={value}" for key, value in MIM.items() if key != "model_args"]
    words += [f"--model-args={key}={value}" for key, value in MIM["model_args"].items()]
    words += ["--batch-size=8", f"--output={tmp_path}", "--experiment=r", "--epochs=40", "--resume"]
    port = free_port()

    def machine(number):
        agent = ["--nnodes=2", "--nproc-per-node=1", f"--node-rank={number}", f"--master-port={port}"]
        program = str(Path(sys.executable).with_name("a2mim-pretrain"))
        command = [sys.executable, "-m", "torch.distributed.run", *agent, "--no-python", program, *words]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with open(tmp_path / f"said-{number}.txt", "a") as said:
            return subprocess.Popen(command, stderr=said, stdout=said, env=environment)

    machines = [machine(number) for number in range(2)]
    log = tmp_path / "r" / "log.jsonl"
    while not (log.is_file() and '"epoch": 3' in log.read_text()):
        assert all(one.poll() is None for one in machines)
        time.sleep(0.2)
    machines[1].terminate()
    assert all(one.wait(60) for one in machines)
    saved = read_checkpoint(tmp_path / "r" / "last.pth.tar")
    assert 3 <= saved["epoch"] < 40
    assert [one.wait(120) for one in [machine(number) for number in range(2)]] == [0, 0]
    assert read_checkpoint(tmp_path / "r" / "last.pth.tar")["epoch"] == 40
    assert "next: a2mim-finetune" in (tmp_path / "said-0.txt").read_text()
    assert "next: a2mim-finetune" not in (tmp_path / "said-1.txt").read_text()
