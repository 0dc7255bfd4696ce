"""The command lines as a person meets them: help at once, one line for a mistake, files where they were said to be."""

import json
import re
import subprocess
import sys

import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from a2mim.commands import analyze, checkpoint, finetune, pretrain
from a2mim.commands._common import command_line
from tests.a2mim.test_pretraining import TINY

COMMANDS = {
    "pretrain": pretrain.main,
    "finetune": finetune.main,
    "analyze": analyze.main,
    "checkpoint": checkpoint.main,
}
FAST = ["--batch-size", "16", "--limit", "48", "--epochs", "1", "--warmup-epochs", "0.2", "--workers", "0"]
NET = [
    *("--model", TINY["model"], "--model-args", "channels=[8, 16, 24, 32]", "--model-args", "stem_width=4"),
    *("--model-args", "output_stride=8", "--mask-patch-size", "8"),
]


def call(command, *arguments, code=0):
    result = CliRunner().invoke(COMMANDS[command], [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A pre-training run and a fine-tuned one, made by the commands."""
    output = tmp_path_factory.mktemp("runs")
    call("pretrain", *NET, *FAST, "--output", output, "--experiment", "p")
    call("finetune", output / "p", *FAST, "--output", output, "--experiment", "f")
    return output


@pytest.mark.parametrize("command", COMMANDS)
def test_help_answers_without_torch(command):
    code = (
        f"import sys; from a2mim.commands import {command} as c; from click.testing import CliRunner; "
        "r = CliRunner().invoke(c.main, ['--help']); assert r.exit_code == 0 and 'Usage' in r.output, r.output; "
        "assert not {'torch', 'numpy', 'pandas', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_training_leaves_pictures_and_names_the_next_command(runs):
    assert (runs / "p" / "curve.png").is_file()
    assert (runs / "p" / "reconstructions" / "epoch-0001.png").is_file()
    assert (runs / "f" / "curve.png").is_file()
    assert (runs / "f" / "curve.pdf").is_file()
    begin = json.loads((runs / "f" / "log.jsonl").read_text().splitlines()[0])
    assert (begin["event"], begin["start"]) == ("begin", f"from {runs / 'p'}")
    assert (begin["command"], begin["recipe"]) == (command_line(), "fashion-finetune")
    output = call("pretrain", *NET, *FAST, "--output", runs, "--experiment", "p")
    assert f"next: a2mim-finetune {runs / 'p-2'}" in output


def test_a_recipe_is_overridden_by_flags_and_the_difference_is_said(tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("model: resnet14t\nmodel_args: {channels: [8, 16, 24, 32], stem_width: 4}\nepochs: 9\n")
    output = call("pretrain", "-c", recipe, *FAST, "--output", tmp_path, "--mask_ratio", 0.5, "--picture-interval", 0)
    assert "epochs: 9 in the recipe, 1 here" in output
    assert "50% of 2x2 cells hidden" in output  # cells of the size of the token's
    assert (tmp_path / "pretrain-mine" / "args.yaml").is_file()


def test_a_run_goes_on(tmp_path):
    arguments = [*NET, *FAST, "--output", tmp_path, "--experiment", "r", "--resume", "auto", "--picture-interval", 0]
    assert "resumed" not in call("pretrain", *arguments)
    assert "resumed after 1 epochs" in call("pretrain", *arguments, "--epochs", 2)
    assert len(list(tmp_path.iterdir())) == 1
    # and by its folder alone, with all settings as they were
    output = call("pretrain", "--resume", tmp_path / "r", "--epochs", 3, "--output", tmp_path)
    assert "resumed after 2 epochs" in output
    assert f"epochs: 2 in {tmp_path / 'r' / 'args.yaml'}, 3 here" in output
    # a recipe that says otherwise than the run began is heard, not passed over
    recipe = tmp_path / "other.yaml"
    recipe.write_text("batch_size: 8\n")
    said = one_line("pretrain", "-c", recipe, "--resume", tmp_path / "r")
    assert "started with 16 (16 x 1 x 1) images per update and cannot continue with 8 (8 x 1 x 1)" in said


@pytest.mark.parametrize("method", ["mocov3", "inpainting", "simmim"])
def test_a_recipe_of_another_method_is_given_again_when_its_run_goes_on(tmp_path, method):
    arguments = ["-c", "fashion-resnet", "--method", method, *FAST, "--output", tmp_path, "--experiment", "m"]
    call("pretrain", *arguments, "--epochs", 1)
    assert "resumed after 1 epochs" in call("pretrain", *arguments, "--epochs", 2, "--resume", tmp_path / "m")


def test_resume_auto_takes_no_run_that_is_called_otherwise(tmp_path):
    quiet = [*NET, *FAST, "--output", tmp_path, "--picture-interval", 0]
    call("pretrain", *quiet, "--experiment", "vit-long")
    output = call("pretrain", *quiet, "--experiment", "vit", "--resume", "auto")
    assert f"run {tmp_path / 'vit'}:" in output
    assert "resumed" not in output


def test_a_fine_tuning_goes_on_from_its_folder_alone(runs, tmp_path):
    call("finetune", runs / "p", *FAST, "--output", tmp_path, "--experiment", "f")
    assert "resumed after 1 epochs" in call("finetune", "--resume", tmp_path / "f", "--epochs", 2)


def test_occlusion(runs, tmp_path):
    output = call(
        "analyze", "occlusion", runs / "f", "--images", 40, "--ratios", "0,.5,1", "--runs", 2, "--output", tmp_path
    )
    written = [str(tmp_path / f"occlusion.{end}") for end in ("csv", "json", "png", "pdf")]
    assert output.splitlines()[-5:] == [*written, str(tmp_path / "occlusion_summary.csv")]
    table = pd.read_csv(tmp_path / "occlusion.csv")
    assert list(table.columns) == [
        *("checkpoint", "run", "ratio", "accuracy", "n_images"),
        *("ci_low", "ci_high", "fill"),
    ]
    assert (len(table), table.checkpoint.unique().tolist(), table.n_images.unique().tolist()) == (6, ["f"], [40])
    about = json.loads((tmp_path / "occlusion.json").read_text())
    assert about["settings"]["grid"] == [8, 8]
    assert about["checkpoints"]["f"]["coverage"] == 1.0


def test_interactions_of_two_checkpoints_under_given_names(runs, tmp_path):
    call(
        *("analyze", "interactions", runs / "f", runs / "f" / "last.pth.tar", "--name", "best", "--name", "last"),
        *("--images", 2, "--pairs", 3, "--contexts", 2, "--ratios", "0,0.5,1", "--grid", "4", "--output", tmp_path),
    )
    table = pd.read_csv(tmp_path / "interactions.csv")
    assert list(table.columns) == (
        [
            "checkpoint",
            "ratio",
            "order",
            "strength",
            "ci_low",
            "ci_high",
            "J",
            "J_ci_low",
            "J_ci_high",
            "noise_floor",
            "n_images",
            "n_pairs",
            "n_contexts",
            "evaluations",
        ]
    )
    assert table.checkpoint.unique().tolist() == ["best", "last"]
    assert table.order.tolist() == [0, 7, 14] * 2
    assert table.groupby("checkpoint").J.mean().tolist() == pytest.approx([1, 1])


def test_reconstruct_takes_the_cell_of_the_training_and_a_flat_folder(runs, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for k in range(5):
        Image.effect_noise((40, 48), 60).save(folder / f"{k}.png")
    call("analyze", "reconstruct", runs / "p", "--data-dir", folder, "--images", 3, "--output", tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "reconstruct.csv")
    assert list(table.columns)[:5] == ["checkpoint", "token", "image", "l1", "psnr"]
    assert len(table) == 3
    assert (tmp_path / "out" / "reconstruct.png").is_file()


def test_inspect(runs):
    assert "100.0% of the encoder's parameters" in call("checkpoint", "inspect", runs / "p")
    report = json.loads(call("checkpoint", "inspect", runs / "f", "--json"))
    assert (report["kind"], report["num_classes"], report["coverage"]) == ("finetune", 10, 1.0)


def one_line(command, *arguments, code=2):
    output = call(command, *arguments, code=code)
    errors = [line for line in output.splitlines() if line.lower().startswith("error")]
    assert len(errors) == 1, output
    assert "Traceback" not in output
    return errors[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data-dir", "/not/there"], "/not/there"),
        (["--mask-ratio", "1.2"], "mask_ratio 1.2 is outside 0 to 1"),
        (["--model", "resnet5O"], "timm has no model 'resnet5O'; near it:"),
        (["--mask-layer", "stage9"], "has no site 'stage9'; its sites: input, stem, block1"),
        (["--mask-patch-size", "5"], "5 pixels does not divide an image of 32x32"),
        (["-c", "fashion-vti"], "no recipe 'fashion-vti'"),
        (["--epochs", "1", "--warmup-epochs", "3"], "must be smaller than --epochs 1"),
        (["--resume", "/not/there"], "nothing to resume"),
        (["--model-args", "depth"], "'depth' is not of the form KEY=VALUE"),
        (["--model-args", "depths=[1, 2"], "'[1, 2' in 'depths=[1, 2' is not a value"),
    ],
)
def test_mistakes_in_pretraining(tmp_path, arguments, message):
    base = [] if "-c" in arguments else ["-c", "fashion-vit"]
    assert message in one_line("pretrain", *base, *arguments, "--output", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_unknown_option_or_choice_is_refused_with_what_there_is():
    assert "no such option" in call("pretrain", "--mask-ration", 0.5, code=2).lower()
    assert "'image-mean', 'visible-mean'" in call("pretrain", "--fill", "grey", code=2)
    assert "grid" in call("analyze", "occlusion", "--grid", "8by8", code=2)
    assert "between 0 and 1" in call("analyze", "occlusion", "--ratios", "0,2", code=2)


def test_mistakes_in_analyses(runs, tmp_path):
    out = ("--output", tmp_path)
    assert "no reconstruction head" in one_line("analyze", "reconstruct", runs / "f", *out)
    assert "has no classifier; fine-tune it first" in one_line("analyze", "occlusion", runs / "p", *out)
    assert "no checkpoint 'nothing'" in one_line("analyze", "occlusion", "nothing", *out)
    assert "twice" in one_line("analyze", "occlusion", runs / "f", runs / "f", *out)
    assert "2 names given for 1" in one_line("analyze", "occlusion", runs / "f", "--name", "a", "--name", "b", *out)
    assert "does not divide" in one_line("analyze", "occlusion", runs / "f", "--grid", "5", "--images", 20, *out)
    for label in "abc":
        (tmp_path / "three" / label).mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(tmp_path / "three" / label / "x.png")
    said = one_line("analyze", "interactions", runs / "f", "--data-dir", tmp_path / "three", *out)
    assert "3 classes, f has 10" in said
    assert not list(tmp_path.glob("*.csv"))


def test_a_full_disk_ends_training_with_one_line_and_the_last_checkpoint(tmp_path, monkeypatch):
    real, saves = torch.save, []

    def save(value, path):
        saves.append(path)
        if len(saves) > 2:  # of the second epoch
            raise OSError(28, "No space left on device")
        real(value, path)

    monkeypatch.setattr(torch, "save", save)
    line = one_line("pretrain", *NET, *FAST, "--epochs", "2", "--output", tmp_path, "--experiment", "full", code=1)
    assert re.search(r"No space left on device.*last\.pth\.tar is intact", line)
    monkeypatch.undo()
    assert "epoch 1" in call("checkpoint", "inspect", tmp_path / "full")


def test_ctrl_c_leaves_with_130_and_one_line(tmp_path, monkeypatch):
    from a2mim.training import engine

    def interrupted(self):
        raise KeyboardInterrupt("SIGINT")

    monkeypatch.setattr(engine.Trainer, "fit", interrupted)
    assert "stopped: SIGINT" in call("pretrain", *NET, *FAST, "--output", tmp_path, code=130)


def test_several_seeds_make_a_table_and_none_is_run_twice(runs, tmp_path):
    trials = [runs / "p", *FAST, "--output", tmp_path, "--experiment", "t", "--seeds", "0", "3"]
    output = call("finetune", *trials)
    assert "seed 3: starts" in output
    assert output.splitlines()[-1] == f"table: {tmp_path / 't' / 'seeds.csv'}"
    table = pd.read_csv(tmp_path / "t" / "seeds.csv")
    assert table.seed.tolist() == ["0", "3", "mean", "std"]
    assert table.top1[2] == pytest.approx(table.top1[:2].mean())
    assert table.top1[3] == pytest.approx(table.top1[:2].std())
    assert (tmp_path / "t" / "seed-3" / "confusion.png").is_file()
    again = call("finetune", *trials[:-3], "--seeds", "0,3,1", "--resume", "auto")
    assert f"seed 3: complete in {tmp_path / 't' / 'seed-3'}" in again
    assert "seed 1: starts" in again
    assert pd.read_csv(tmp_path / "t" / "seeds.csv").seed.tolist() == ["0", "3", "1", "mean", "std"]
    # the folder alone says how they were begun
    output = call("finetune", runs / "p", "--resume", tmp_path / "t", "--seeds", "0", "1", "--output", tmp_path)
    assert output.count("complete in") == 2
    assert "started with smoothing=0.1" in one_line(
        *("finetune", runs / "p", "--resume", tmp_path / "t", "--smoothing", 0.2, "--seeds", "0", "--output", tmp_path)
    )


def test_neighbours_are_looked_at_without_training(runs, tmp_path):
    output = call("finetune", runs / "p", "--knn", "--limit", 60, "--workers", 0, "--output", tmp_path)
    assert "k-NN top-1" in output
    about = json.loads((tmp_path / "knn-p" / "knn.json").read_text())
    assert (about["k"], about["temperature"], about["bank"]) == (20, 0.07, 60)
    assert about["settings"]["crop_pct"] == 1.0  # of the recipe for the embedded images


def test_a_probe_takes_the_recipe_for_probes(runs, tmp_path):
    output = call(
        *("finetune", runs / "p", "--linear", "--epochs", 1, "--limit", 300, "--workers", 0, "--output", tmp_path)
    )
    assert "epochs: 20 in the recipe, 1 here" in output
    assert "classifier alone" in output
    assert "lr 1 = 1 x 256 images per update / 256" in output


@pytest.mark.parametrize(("command", "name"), [("pretrain", "paper-resnet50"), ("finetune", "rsb-a3")])
def test_presets_are_listed(command, name):
    listed = [line.split()[0] for line in call(command, "--list-recipes").splitlines()]
    assert name in listed
    assert ("rsb-a3" in listed) == (command == "finetune")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "0,x"], "seeds '0,x' must be whole numbers"),
        (["--seeds", "1", "1"], "contain a number twice"),
        (["--seeds", "1", "--resume", "/not/there"], "no trials to resume"),
        (["--knn", "--resume"], "--knn trains nothing"),
        (["--knn", "--linear"], "give one of them"),  # --linear was passed over
        (["--classes", "imagenet100"], "chooses sub-folders of --data-dir"),
        (["-c", "rsb-a4"], "no recipe 'rsb-a4': it is neither a file nor one of the presets rsb-a3, rsb-a2"),
        (["-c", "rsb-a3"], "data set 'folder' needs --data-dir"),
        (["--mixup", "0.8", "--batch-size", "15"], "batch_size 15 must be even"),
        (["--bce-target-thresh", "0.2"], "bce_target_thresh 0.2 needs bce_loss"),
        (["--aa", "nothing"], "timm cannot make a transform"),
        (["--aa", "rand-nothing"], "'nothing' needs a number, e.g. m9"),
        (["--opt", "sdg"], "optimiser 'sdg' cannot be created"),
        (["--test-img-size", "0"], "test_img_size 0 is outside 1 or more"),
    ],
)
def test_mistakes_in_finetuning(tmp_path, arguments, message):
    base = ["finetune", "fashion-vit-pretrained", "--workers", 0, "--output", tmp_path / "new"]
    assert message in one_line(*base, *arguments)
    assert not (tmp_path / "new").exists()
