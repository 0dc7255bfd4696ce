"""The comparison of methods: its commands exist, what is done is not run again, and the table is what the runs say."""

from pathlib import Path

import pandas as pd
import pytest
import scipy.stats
from click.testing import CliRunner

from a2mim.commands import finetune, pretrain
from a2mim.experiments import rivals

COMMANDS = {"a2mim-pretrain": pretrain.main, "a2mim-finetune": finetune.main}
SCALE = rivals.Scale("fashion", 100, 3, 2, 5)


@pytest.mark.parametrize("method", rivals.METHODS)
def test_every_stage_is_a_public_command_with_flags_that_exist(method):
    stages = rivals.stages(Path("out"), "vit", method, 1, SCALE)
    assert list(stages) == ["pre-training", "end to end", "linear"][method == "scratch" :]
    for stage in stages.values():
        program, *arguments = stage.arguments()
        result = CliRunner().invoke(COMMANDS[program], [*arguments, "--help"])
        assert result.exit_code == 0, (stage, result.output)
        assert "--limit 100" in stage.command
        assert "--seed 1" in stage.command


def test_folders_may_have_spaces_in_their_names():
    scale = rivals.Scale("my images", None, 3, 2, 5)
    found = rivals.stages(Path("my runs"), "vit", "a2mim", 1, scale)
    for stage in found.values():
        assert stage.arguments()[stage.arguments().index("--data-dir") + 1] == "my images"
    assert found["linear"].arguments()[1] == str(Path("my runs", "vit-a2mim-1"))


def test_the_plan_runs_nothing_and_names_each_stage_once(tmp_path):
    result = CliRunner().invoke(rivals.main, ["--plan", "--output", str(tmp_path / "runs")])
    lines = result.output.splitlines()
    assert len(lines) == len(set(lines)) == 2 * 3 * (4 * 3 + 2)
    assert not (tmp_path / "runs").exists()


def test_what_is_complete_is_not_run_again_and_what_was_stopped_goes_on(tmp_path):
    stage = rivals.stages(tmp_path, "resnet", "a2mim", 0, SCALE)["pre-training"]
    stage.run.mkdir()
    assert "--resume" not in stage.arguments()
    (stage.run / "last.pth.tar").touch()
    assert stage.arguments()[-2:] == ["--resume", str(stage.run)]
    assert not stage.complete
    (stage.run / "backbone.safetensors").touch()
    assert stage.complete


def test_the_table_has_means_deviations_and_paired_leads(tmp_path):
    scores = {"scratch": [80.0, 84.0, 82.0], "a2mim": [81.0, 86.0, 83.5], "simmim": [81.0]}
    for method, values in scores.items():
        for seed, value in enumerate(values):
            stage = rivals.stages(tmp_path, "vit", method, seed, SCALE)["linear"]
            stage.run.mkdir()
            (stage.run / "backbone.safetensors").touch()
            pd.DataFrame({"epoch": [1, 2], "top1": [10.0, value], "val_loss": [2.0, 1.0]}).to_csv(
                stage.run / "summary.csv", index=False
            )
    rows = rivals.measured(tmp_path, ["vit"], (0, 1, 2), SCALE)
    assert len(rows) == 7
    lines = rivals.table(rows).splitlines()
    differences = pd.Series([1.0, 2.0, 1.5])
    low, high = scipy.stats.t.interval(0.95, 2, differences.mean(), differences.sem())
    assert lines[2] == f"| vit | linear | scratch | 3 | 82.00 ± 2.00 | +1.50 ({low:+.2f} to {high:+.2f}) |"
    assert lines[3] == "| vit | linear | simmim | 1 | 81.00 | +0.00 |"
    assert lines[4].startswith("| vit | linear | a2mim | 3 | 83.50 ±")
    assert len(lines) == 5
