"""Commands rebuilt from settings: click takes them, and they ask for what the settings say."""

import json
import shlex

import page_results
import pytest
import yaml
from click.testing import CliRunner

from a2mim.analysis.report import page_commands
from a2mim.analysis.report import runs as page_runs
from a2mim.analysis.report.reading import Found
from a2mim.commands import analyze, finetune, pretrain
from a2mim.settings import PretrainSettings

COMMANDS = {"a2mim-pretrain": pretrain.main, "a2mim-finetune": finetune.main, "a2mim-analyze": analyze.main}


def accepted(command):
    """Whether click takes it; --help last: click parses what stands before it and refuses what it does not know."""
    program, *words = shlex.split(command)
    result = CliRunner().invoke(COMMANDS[program], [*words, "--help"])
    assert result.exit_code == 0, (command, result.output)
    return True


MAKE = {
    "occlusion": page_results.occlusion,
    "interactions": page_results.interactions,
    "reconstruct": page_results.reconstruct,
    "spectrum": lambda folder: page_results.layers(folder, "spectrum"),
    "variance": lambda folder: page_results.layers(folder, "variance"),
}


@pytest.mark.parametrize(
    ("kind", "flags"),
    [
        ("occlusion", "--runs 2 --nested --grid 8x8 --ratios 0.0,0.5,1.0 --fill black --seed 3"),
        ("interactions", "--pairs 12 --contexts 8 --distance 2 --estimator efficient --score log-odds --baseline "
         "dataset-mean --only-correct --grid 8x8 --ratios 0.0,0.5,1.0 --draw neighbours --seed 0"),
        ("reconstruct", "--mask-ratio 0.6 --token with --mask-patch-size 8 --shown 2 --seed 0"),
        ("spectrum", "--reduction diagonal --frequency 0.5 --layer stem --layer stage1 --seed 0"),
        ("variance", "--kind variance --ddof 1 --seed 0"),
    ],
)  # fmt: skip
def test_commands_of_analyses(tmp_path, kind, flags):
    path = MAKE[kind](tmp_path)
    command, unsaid = page_commands.analysis(kind, json.loads(path.with_suffix(".json").read_text()), "out")
    assert command == f"a2mim-analyze {kind} runs/net-a runs/net-b --images 50 {flags} --output out"
    assert unsaid == []
    assert accepted(command)


def test_names_images_and_encoders_that_are_not_the_usual(tmp_path):
    about = page_results.about("occlusion", {"fill": ["black", "blur"], "seed": 0, "saliency": {"source": "attention"},
                                              "patches": "salient"})  # fmt: skip
    about["checkpoints"]["net-b"] |= {"path": "x y/last.pth.tar", "which": "ema", "choices": ["encoder", "ema"]}
    about["images"] |= {"dataset": "folder", "data_dir": "my images", "class_map": "imagenet-1k", "split": "train"}
    command, unsaid = page_commands.analysis("occlusion", about, "out")
    assert command == (
        "a2mim-analyze occlusion runs/net-a 'x y/last.pth.tar' --name net-a --name net-b --which ema --dataset folder "
        "--data-dir 'my images' --images 50 --class-map imagenet-1k --split train --patches salient --fill all "
        "--saliency attention --seed 0 --output out"
    )
    assert unsaid == []
    assert accepted(command)
    about["settings"]["pairs"] = [[1, 2]]
    assert page_commands.analysis("interactions", about, "out")[1] == [
        "The pairs were listed in a file, which --draw has to name."
    ]


def test_shipped_checkpoints_go_by_their_name_and_none_by_no_command():
    about = page_results.about("variance", {}, ["fashion-vit-a2mim"])
    about["checkpoints"]["fashion-vit-a2mim"]["path"] = "/there/a2mim/assets/fashion-vit-a2mim.safetensors"
    assert page_commands.analysis("variance", about, "o")[0].startswith("a2mim-analyze variance fashion-vit-a2mim --im")
    assert page_commands.analysis("variance", {"checkpoints": 3}, "o") == (
        "",
        ["The settings file names no checkpoints, so that the command is not known."],
    )


def test_commands_of_trainings_give_the_settings_back(tmp_path):
    values = {"model": "resnet18", "amp": True, "sync_bn": False, "model_args": {"channels": [8, 16, 24, 32]},
              "lr": 0.5, "opt_betas": [0.8, 0.9], "decay_milestones": [3, 5]}  # fmt: skip
    preset, base = page_runs.nearest("a2mim-pretrain", PretrainSettings.from_values(values).as_values())
    assert preset is None
    command = page_commands.training("a2mim-pretrain", "", values, ("paper-vit-base", base), tmp_path / "run")
    assert command == (
        "a2mim-pretrain -c paper-vit-base --model resnet18 --amp --no-sync-bn --model-args 'channels=[8, 16, 24, 32]' "
        f"--lr 0.5 --opt-betas 0.8 0.9 --decay-milestones 3,5 --output {tmp_path} --experiment run"
    )
    assert accepted(command)
    many = {f"setting{number}": number for number in range(20)}
    command = page_commands.training("a2mim-finetune", "runs/p", many, ("fashion-finetune", {}), tmp_path / "run")
    assert command == f"a2mim-finetune runs/p -c {tmp_path}/run/args.yaml --output {tmp_path} --experiment run"
    assert accepted(command)


def test_a_run_near_a_preset_is_that_preset_and_flags(tmp_path):
    start = page_results.run(tmp_path / "p")
    values = yaml.safe_load((start / "args.yaml").read_text())
    _, preset = page_runs.nearest("a2mim-finetune", values)
    run = page_results.run(tmp_path / "ft")
    base = page_runs._presets("a2mim-finetune")["fashion-finetune"]
    (run / "args.yaml").write_text(yaml.safe_dump({**base, "model": "resnet10t", "epochs": 2}))
    (start / "args.yaml").write_text(yaml.safe_dump({"model": "resnet10t"}))
    made = page_runs.run_entry(Found("run", run))
    assert made.commands == [
        f"a2mim-finetune runs/p -c fashion-finetune --epochs 2 --output {tmp_path} --experiment ft"
    ]
    assert made.changed == [f"epochs: 2, in preset fashion-finetune {base['epochs']}"]
    assert preset
