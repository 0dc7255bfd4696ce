"""The demo's plan; that it runs is shown by `make demo`."""

import pandas as pd
from click.testing import CliRunner

from a2mim.commands import analyze, finetune, pretrain
from a2mim.experiments import demo
from a2mim.experiments.making import shipped

COMMANDS = {"a2mim-pretrain": pretrain.main, "a2mim-finetune": finetune.main, "a2mim-analyze": analyze.main}


def test_every_step_is_a_public_command_with_flags_that_exist():
    steps = demo.commands("out", 2, 1)
    steps += [
        command.format(output="out").split() for net in shipped.NETWORKS for command in shipped.stages(net).values()
    ]
    assert len(steps) > 9
    assert demo.commands("out", 2, 1)[-1] == ["a2mim-analyze", "report", "out", "--output", "out/report.html"]
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


def test_a_complete_training_is_not_run_again(tmp_path, monkeypatch, capsys):
    called = []
    monkeypatch.setattr(demo.subprocess, "run", lambda step, check: called.append(step) or Done())
    step = demo.commands(str(tmp_path), 2, 1)[0]
    run = tmp_path / "vit-pretrain"
    run.mkdir()
    (run / "summary.csv").write_text("epoch,loss\n1,0.5\n2,0.4\n")
    demo.run(step)
    assert len(called) == 1  # its encoder was not written yet
    (run / "backbone.safetensors").write_bytes(b"")
    demo.run(step)
    assert len(called) == 1
    assert "(complete, not run again)" in capsys.readouterr().out
    assert not demo.complete(demo.commands(str(tmp_path), 3, 1)[0])
    assert not demo.complete(demo.commands(str(tmp_path), 2, 1)[-1])


class Done:
    returncode = 0


def test_the_page_is_what_is_printed_last(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "run", lambda step: None)
    monkeypatch.setattr(demo, "summary", lambda output: "the table")
    result = CliRunner().invoke(demo.main, ["--output", str(tmp_path)])
    assert result.output.splitlines()[-1].strip() == str(tmp_path / "report.html")
