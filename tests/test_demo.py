"""The demo's plan; that it runs is shown by `make demo`."""

import pandas as pd
from click.testing import CliRunner

from a2mim.commands import analyze, finetune, pretrain
from a2mim.experiments import demo, shipped

COMMANDS = {"a2mim-pretrain": pretrain.main, "a2mim-finetune": finetune.main, "a2mim-analyze": analyze.main}


def test_every_step_is_a_public_command_with_flags_that_exist():
    steps = demo.commands("out", 2, 1)
    steps += [
        command.format(output="out").split() for net in shipped.NETWORKS for command in shipped.stages(net).values()
    ]
    assert len(steps) > 9
    for step in steps:
        command = COMMANDS[step[0]]
        # --help last: click parses what stands before it and refuses what it does not know
        result = CliRunner().invoke(command, [*step[1:], "--help"])
        assert result.exit_code == 0, (step, result.output)


def test_the_summary_shows_accuracy_whole_and_half_hidden(tmp_path):
    (tmp_path / "results").mkdir()
    rows = [("vit", run, ratio, 0.8 - ratio / 2 + run / 100) for run in (0, 1) for ratio in (0.0, 0.5, 1.0)]
    table = pd.DataFrame(rows, columns=["checkpoint", "run", "ratio", "accuracy"])
    table.to_csv(tmp_path / "results" / "occlusion.csv")
    assert demo.summary(str(tmp_path)).splitlines()[1].split() == ["vit", "80.5", "55.5"]
