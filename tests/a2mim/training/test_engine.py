"""The loop: resumed runs equal uninterrupted ones bit for bit; accumulation; steps without a number; full disks."""

import csv
import json
import re
import resource
import signal

import pytest
import torch
from click.testing import CliRunner
from processes import result, start
from small_data import write_images
from torch import nn

from a2mim import checkpoint
from a2mim.commands.pretrain import main
from a2mim.data import ImageLoader, open_images, train_transform
from a2mim.errors import InputError, RunError
from a2mim.settings import PretrainSettings
from a2mim.training import engine
from a2mim.training.optimisation import create_optimizer
from a2mim.training.runs import Run


class Toy(engine.BaseTask):
    """Least squares with dropout and drawn noise, so that every source of randomness takes part."""

    best_metric = None

    def __init__(self, settings):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16, 8), nn.Dropout(0.5), nn.Linear(8, 1))
        self.optimizer = create_optimizer(self.model, settings, 1e-2)
        self.poison = ()
        self.steps = 0

    def loss(self, batch, generator):
        noise = torch.rand(len(batch.images), 1, generator=generator)
        loss = (self.model(batch.images) - batch.labels[:, None] - noise).square().mean()
        self.steps += 1
        if self.steps in self.poison:
            loss = loss * float("nan")
        return loss, {"noise": noise.mean()}

    def evaluate(self):
        return {}

    def describe(self):
        return {"kind": "pretrain", "state_dict": {f"encoder.{k}": v for k, v in self.model.state_dict().items()}}


class Plain(Toy):
    def describe(self):
        return {"kind": "pretrain", "state_dict": self.model.state_dict()}


SETTINGS = PretrainSettings(
    epochs=3, warmup_epochs=0.5, batch_size=16, limit=70, workers=0, clip_grad=1.0, weight_decay=0.1
)


def trainer(path, settings=SETTINGS, task=None, **options):
    source = open_images()
    loader = ImageLoader(
        source, train_transform(4, source.mean, source.std), batch_size=settings.batch_size, shuffle=True,
        seed=settings.seed, limit=settings.limit,
    )  # fmt: skip
    path.mkdir(exist_ok=True)
    return engine.Trainer(task or Plain(settings), loader, settings, Run(path), **options)


def weights(subject):
    return {name: value.clone() for name, value in subject.task.model.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    subject = trainer(tmp_path_factory.mktemp("whole"))
    subject.fit()
    return weights(subject)


def test_the_same_settings_give_the_same_weights(tmp_path, uninterrupted):
    subject = trainer(tmp_path)
    subject.fit()
    assert same(weights(subject), uninterrupted)
    other = trainer(tmp_path / "b", PretrainSettings(**{**vars(SETTINGS), "seed": 1}))
    other.fit()
    assert not same(weights(other), uninterrupted)


@pytest.mark.parametrize("stop_at", [1, 2, 5, 6, 9, 14])
def test_a_run_stopped_anywhere_and_resumed_ends_bit_for_bit_the_same(tmp_path, uninterrupted, stop_at):
    first = trainer(tmp_path)
    original = first.task.loss

    def loss(batch, generator):
        if first.task.steps + 1 == stop_at:
            first.stop.asked = signal.SIGTERM
        return original(batch, generator)

    first.loss.function = loss
    with pytest.raises(KeyboardInterrupt):
        first.fit()
    second = trainer(tmp_path)
    second.resume()
    assert second.progress.epoch * 5 + second.progress.batch == stop_at
    second.fit()
    assert same(weights(second), uninterrupted)
    with open(tmp_path / "summary.csv") as handle:
        assert [row["epoch"] for row in csv.DictReader(handle)] == ["1", "2", "3"]


def test_a_crash_goes_back_to_the_last_checkpoint_and_still_ends_the_same(tmp_path, uninterrupted):
    def crash(epoch, model, run):
        if epoch == 2:
            raise RuntimeError("power cut")

    first = trainer(tmp_path, PretrainSettings(**{**vars(SETTINGS), "recovery_interval": 2}), on_epoch_end=crash)
    with pytest.raises(RuntimeError, match="power cut"):
        first.fit()
    second = trainer(tmp_path)
    second.resume()
    second.fit()
    assert same(weights(second), uninterrupted)


def test_accumulated_batches_equal_one_large_batch(tmp_path):
    class Deterministic(Plain):
        def loss(self, batch, generator):
            self.model.eval()
            return (self.model(batch.images) - batch.labels[:, None]).square().mean(), {}

    ends = []
    for size, steps in ((32, 1), (8, 4)):
        settings = PretrainSettings(
            epochs=2, warmup_epochs=0, batch_size=size, grad_accum_steps=steps, limit=64, workers=0, opt="sgd"
        )
        subject = trainer(tmp_path / str(size), settings, Deterministic(settings))
        subject.fit()
        assert subject.progress.updates == 4
        ends.append(weights(subject))
    assert all(torch.allclose(ends[0][name], ends[1][name], atol=1e-6) for name in ends[0])


def test_the_short_update_at_the_end_of_an_epoch_is_a_mean_too(tmp_path):
    class Deterministic(Plain):
        def loss(self, batch, generator):
            self.model.eval()
            return (self.model(batch.images) - batch.labels[:, None]).square().mean(), {}

    ends = []
    for steps in (1, 4):  # one batch in each epoch, alone or as the short rest of four
        settings = PretrainSettings(
            epochs=2, warmup_epochs=0, batch_size=64, grad_accum_steps=steps, limit=64, workers=0, opt="sgd"
        )
        subject = trainer(tmp_path / str(steps), settings, Deterministic(settings))
        subject.fit()
        ends.append(weights(subject))
    assert same(*ends)


def test_a_step_without_a_number_changes_nothing_and_is_counted(tmp_path):
    subject = trainer(tmp_path)
    subject.task.poison = (3, 4)
    subject.fit()
    assert subject.progress.skipped == 2
    assert all(torch.isfinite(value).all() for value in weights(subject).values())
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [event["update"] for event in events if event["event"] == "skipped"] == [3, 4]
    with open(tmp_path / "summary.csv") as handle:
        assert [row["skipped"] for row in csv.DictReader(handle)] == ["2", "2", "2"]


def test_ten_in_a_row_end_the_run_with_the_last_checkpoint_intact(tmp_path):
    subject = trainer(tmp_path, PretrainSettings(**{**vars(SETTINGS), "batch_size": 4}))  # 18 updates in an epoch
    subject.task.poison = range(20, 99)
    with pytest.raises(RunError, match="10 updates in a row had no finite loss"):
        subject.fit()
    saved = checkpoint.read_checkpoint(tmp_path / "last.pth.tar")
    assert saved["epoch"] == 1
    assert all(torch.isfinite(value).all() for value in saved["state_dict"].values())


def test_a_full_disk_ends_the_run_and_leaves_the_last_checkpoint(tmp_path, monkeypatch, uninterrupted):
    subject = trainer(tmp_path)
    real, saves = torch.save, []

    def save(value, handle):
        saves.append(handle)
        if len(saves) > 2:
            raise OSError(28, "No space left on device")
        real(value, handle)

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(RunError, match=r"No space left on device.*last\.pth\.tar is intact"):
        subject.fit()
    monkeypatch.undo()
    second = trainer(tmp_path)
    second.resume()
    assert second.progress.epoch == 1
    second.fit()
    assert same(weights(second), uninterrupted)


@pytest.mark.parametrize("room", [50, 3000])
def test_no_room_for_a_real_write_is_one_line(tmp_path, room, uninterrupted):
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

    def limit(epoch, model, run):
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))  # as a full disk does: a row, a checkpoint

    def fill():
        try:
            trainer(tmp_path, on_epoch_end=limit).fit()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

    _, results = start(1, fill)
    _, error = result(results)
    assert isinstance(error, RunError)
    assert re.search(r"File too large.*last\.pth\.tar is intact", str(error)), error
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".partial")]
    second = trainer(tmp_path)
    second.resume()
    assert second.progress.epoch in (1, 2)
    second.fit()
    assert same(weights(second), uninterrupted)


def test_an_output_that_cannot_be_written_is_told_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    options = ["--limit", "64", "--batch-size", "32", "--output", str(tmp_path / "file" / "runs")]
    ended = CliRunner().invoke(main, ["--model", "resnet10t", "--workers", "0", *options])
    assert ended.exit_code == 1
    assert re.fullmatch(r"error: \[Errno 20\] Not a directory: '.*runs.*'", ended.output.splitlines()[-1])


@pytest.mark.parametrize("workers", [0, 1])
def test_images_that_vanish_end_the_run_and_it_goes_on_when_they_are_back(tmp_path, workers):
    write_images(tmp_path / "images", *(f"{k % 2}/{k}.png" for k in range(60)))
    settings = PretrainSettings(epochs=3, warmup_epochs=0, batch_size=10, workers=workers, lr=0.01)

    def subject(name, **options):
        source = open_images("folder", tmp_path / "images")
        transform = train_transform(4, source.mean, source.std)
        loader = ImageLoader(source, transform, shuffle=True, drop_last=True, **settings.loading())
        (tmp_path / name).mkdir(exist_ok=True)
        return engine.Trainer(Plain(settings), loader, settings, Run(tmp_path / name), **options)

    def vanish(epoch, model, run):
        (tmp_path / "images").rename(tmp_path / "elsewhere")

    whole = subject("whole")
    whole.fit()
    with pytest.raises(
        RunError, match=r"none of the 10 images of a batch could be read .*No such file.*still in its place"
    ):
        subject("r", on_epoch_end=vanish).fit()
    (tmp_path / "elsewhere").rename(tmp_path / "images")
    second = subject("r")
    second.resume()
    assert second.progress.epoch == 1
    second.fit()
    assert same(weights(second), weights(whole))


class Averaged(Plain):
    """With a running mean of the weights beside the model."""

    def __init__(self, settings):
        super().__init__(settings)
        self.mean = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.averaged = 0

    def after_update(self):
        self.averaged += 1
        for name, value in self.model.state_dict().items():
            self.mean[name].lerp_(value, 0.1)

    def extra_state(self):
        return {"mean": self.mean, "averaged": self.averaged}

    def load_extra_state(self, state):
        self.mean, self.averaged = state["mean"], state["averaged"]


def test_what_follows_an_update_follows_those_that_moved_the_weights_and_survives_a_stop(tmp_path):
    whole = trainer(tmp_path / "whole", task=Averaged(SETTINGS))
    whole.task.poison = (4,)
    whole.fit()
    assert (whole.progress.updates, whole.task.averaged) == (15, 14)
    first = trainer(tmp_path / "r", task=Averaged(SETTINGS))
    first.task.poison = (4,)
    first.task.after_update = lambda: setattr(first.stop, "asked", signal.SIGINT) or Averaged.after_update(first.task)
    with pytest.raises(KeyboardInterrupt, match="SIGINT; saved"):
        first.fit()
    second = trainer(tmp_path / "r", task=Averaged(SETTINGS))
    second.resume()
    assert second.task.averaged == 1
    second.task.poison = (3,)  # the fourth step of the run
    second.fit()
    assert second.task.averaged == 14
    assert same(whole.task.mean, second.task.mean)


def test_numbered_checkpoints_are_kept_as_asked(tmp_path):
    subject = trainer(tmp_path, PretrainSettings(**{**vars(SETTINGS), "checkpoint_hist": 2}))
    subject.fit()
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == [
        "checkpoint-2.pth.tar",
        "checkpoint-3.pth.tar",
    ]
    (tmp_path / "last.pth.tar").write_bytes((tmp_path / "checkpoint-2.pth.tar").read_bytes())
    with pytest.raises(InputError, match="only weights"):
        trainer(tmp_path).resume()


def test_a_run_does_not_go_on_to_an_epoch_that_lies_behind_it(tmp_path):
    """It once ended at once, as if it were complete."""
    trainer(tmp_path).fit()
    shorter = PretrainSettings(**{**vars(SETTINGS), "epochs": 2})
    with pytest.raises(InputError, match=r"after 3 epochs and 0 batches, beyond the end of epoch 2: raise --epochs"):
        trainer(tmp_path, shorter).resume()
    trainer(tmp_path).resume()


def test_an_epoch_without_a_finite_loss_ends_the_run(tmp_path):
    """Nine updates without a number in an epoch of five once passed as a success."""
    subject = trainer(tmp_path)
    subject.task.poison = range(1, 6)
    with pytest.raises(RunError, match=r"epoch 1 had no batch with a finite loss; nothing was saved; a lower --lr"):
        subject.fit()
    assert not (tmp_path / "last.pth.tar").exists()
    second = trainer(tmp_path)
    second.task.poison = range(6, 11)
    with pytest.raises(RunError, match=r"epoch 2 had no batch with a finite loss; what was saved in .* is intact"):
        second.fit()
    assert checkpoint.read_checkpoint(tmp_path / "last.pth.tar")["epoch"] == 1


def test_a_run_goes_on_with_smaller_batches_and_the_same_images_in_each_update(tmp_path):
    """Accumulation divides a batch: what the network sees in an update, and so the end of the run, stays the same."""

    class Deterministic(Plain):
        def loss(self, batch, generator):
            self.model.eval()
            return (self.model(batch.images) - batch.labels[:, None]).square().mean(), {}

    common = dict(epochs=2, warmup_epochs=0, limit=64, workers=0, opt="sgd")
    large = PretrainSettings(batch_size=16, recovery_interval=1, **common)
    small = PretrainSettings(batch_size=8, grad_accum_steps=2, **common)
    whole = trainer(tmp_path / "whole", large, Deterministic(large))
    whole.fit()
    first = trainer(tmp_path / "r", large, Deterministic(large))
    first.run.write_settings(large.as_values())
    first.task.after_update = lambda: setattr(first.stop, "asked", signal.SIGTERM if first.progress.updates == 3 else 0)
    with pytest.raises(KeyboardInterrupt):
        first.fit()
    second = trainer(tmp_path / "r", small, Deterministic(small))
    second.resume()
    assert (second.progress.batch, second.progress.updates) == (6, 3)
    assert any("batches have 8 images instead of 16" in line for line in second.remarks)
    second.fit()
    assert all(torch.allclose(weights(second)[name], value, atol=1e-6) for name, value in weights(whole).items())
    uneven = PretrainSettings(batch_size=64, **{**common, "limit": 128})
    with pytest.raises(InputError, match=r"started with 16 \(16 x 1 x 1\) images per update"):
        trainer(tmp_path / "r", uneven, Deterministic(uneven)).resume()


def test_a_run_whose_epochs_would_have_other_updates_does_not_go_on(tmp_path):
    large = PretrainSettings(batch_size=32, epochs=2, warmup_epochs=0, limit=72, workers=0)  # 3 updates in an epoch
    small = PretrainSettings(batch_size=4, grad_accum_steps=8, epochs=3, warmup_epochs=0, limit=100, workers=0)  # 4
    subject = trainer(tmp_path, large)
    subject.run.write_settings({**large.as_values(), "limit": 100})
    subject.fit()
    with pytest.raises(InputError, match=r"batches of 32 images and cannot continue with 4: .*number of updates"):
        trainer(tmp_path, small).resume()


def test_the_command_and_the_recipe_are_kept(tmp_path):
    first = trainer(tmp_path, command="a2mim-pretrain -c mine", recipe="mine")
    first.fit()
    assert checkpoint.read_checkpoint(tmp_path / "last.pth.tar")["command"] == "a2mim-pretrain -c mine"
    second = trainer(tmp_path, PretrainSettings(**{**vars(SETTINGS), "epochs": 4}), command="a2mim-pretrain --resume")
    second.resume()
    second.fit()
    saved = checkpoint.read_checkpoint(tmp_path / "last.pth.tar")
    assert (saved["command"], saved["recipe"]) == ("a2mim-pretrain -c mine", "mine")
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    resumed = [event for event in events if event["event"] == "resume"]
    assert [(event["command"], event["recipe"]) for event in resumed] == [("a2mim-pretrain --resume", "")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": 1}, "unknown: model"),
        ({"epoch": None}, "missing: epoch"),
        ({"epoch": "two"}, "epoch='two', which must be a whole number from 0"),
        ({"batch": -1}, "batch=-1, which must be a whole number from 0"),
        ({"best": None, "task": "x"}, "unknown: task; missing: best"),
        ({"sums": [1.0]}, r"sums=\[1.0\], which must be of type dict"),
    ],
)
def test_progress_of_a_checkpoint_is_taken_by_name(tmp_path, changes, message):
    """Every key of the file was once set on the trainer."""
    trainer(tmp_path).fit()
    state = checkpoint.read_checkpoint(tmp_path / "last.pth.tar")
    progress = {key: value for key, value in {**state["progress"], **changes}.items() if value is not None}
    checkpoint.save_checkpoint(tmp_path / "last.pth.tar", {**state, "progress": progress})
    with pytest.raises(InputError, match=rf"cannot resume from .*last\.pth\.tar: .*{message}"):
        trainer(tmp_path).resume()
