"""Stages: what is complete is not run again, what has changed is set aside, what was stopped goes on."""

import itertools
import json
import multiprocessing
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from a2mim.commands import analyze, finetune, pretrain
from a2mim.errors import RunError
from a2mim.experiments import stages
from a2mim.experiments.stages import Stage

TRAINING = Stage("net", "a2mim-pretrain -c fashion-vit --epochs 2")
CLASSIFIER = Stage("net-finetuned", "a2mim-finetune {net} -c fashion-finetune", (TRAINING,))
ANALYSIS = Stage("look", "a2mim-analyze occlusion {net-finetuned} --name net", (CLASSIFIER,))


class Executor:
    """Makes the folder that a command would make, and remembers the command."""

    def __init__(self, fails=()):
        self.seen, self.fails = [], fails

    def __call__(self, command):
        self.seen.append(list(command))
        given = dict(itertools.pairwise(command))
        name = given.get("--experiment", "")
        if name in self.fails:
            return 1
        folder = f"{given['--output']}/{name}" if name else given["--output"]
        Path(folder).mkdir(parents=True, exist_ok=True)
        Path(folder, "last.pth.tar").touch()
        return 0


def test_each_is_run_once_and_what_is_needed_first(tmp_path):
    execute = Executor()
    stages.run([ANALYSIS, CLASSIFIER], tmp_path, execute)
    assert [command[0] for command in execute.seen] == ["a2mim-pretrain", "a2mim-finetune", "a2mim-analyze"]
    assert execute.seen[1][1] == str(tmp_path / "net")
    assert execute.seen[2][-2:] == ["--output", str(tmp_path / "look")]
    stages.run([ANALYSIS], tmp_path, execute)
    assert len(execute.seen) == 3
    assert all(stages.seconds(stage, tmp_path) >= 0 for stage in (TRAINING, CLASSIFIER, ANALYSIS))


def test_other_settings_run_anew_with_all_that_rests_on_them_and_lose_nothing(tmp_path):
    execute = Executor()
    stages.run([ANALYSIS], tmp_path, execute)
    (tmp_path / "net" / "mine.txt").write_text("kept")
    longer = Stage("net", "a2mim-pretrain -c fashion-vit --epochs 3")
    stages.run([Stage("net-finetuned", CLASSIFIER.command, (longer,))], tmp_path, execute)
    assert len(execute.seen) == 5
    assert (tmp_path / "net.old-1" / "mine.txt").read_text() == "kept"
    assert "--resume" not in execute.seen[3]
    assert not stages.complete(CLASSIFIER, tmp_path)


def test_a_stage_that_failed_is_said_and_goes_on_from_its_checkpoint(tmp_path):
    with pytest.raises(RunError, match="stage net-finetuned ended with status 1"):
        stages.run([ANALYSIS], tmp_path, Executor(fails={"net-finetuned"}))
    (tmp_path / "net-finetuned").mkdir()
    (tmp_path / "net-finetuned" / "last.pth.tar").touch()
    execute = Executor()
    stages.run([ANALYSIS], tmp_path, execute)
    assert execute.seen[0][-2:] == ["--resume", str(tmp_path / "net-finetuned")]
    assert len(execute.seen) == 2


def test_a_folder_without_a_checkpoint_makes_way(tmp_path):
    with pytest.raises(RunError):
        stages.run([TRAINING], tmp_path, Executor(fails={"net"}))
    (tmp_path / "net").mkdir()
    execute = Executor()
    stages.run([TRAINING], tmp_path, execute)
    assert "--resume" not in execute.seen[0]
    assert (tmp_path / "net.old-1").is_dir()


def test_two_stages_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two stages have the name net"):
        stages.in_order([TRAINING, Stage("net", "a2mim-pretrain -c fashion-resnet")])


def test_the_plan_has_each_command_once_and_says_what_is_complete(tmp_path):
    assert len(stages.plan([ANALYSIS, CLASSIFIER, TRAINING], tmp_path)) == 3
    stages.run([TRAINING], tmp_path, Executor())
    lines = stages.plan([ANALYSIS], tmp_path)
    assert [line.endswith("# complete") for line in lines] == [True, False, False]


def test_folders_may_have_spaces_and_braces_in_their_names(tmp_path):
    output = tmp_path / "my {runs}"
    execute = Executor()
    stages.run([CLASSIFIER], output, execute)
    assert execute.seen[1][1] == str(output / "net")
    assert shlex.split(stages.plan([CLASSIFIER], output)[1])[1] == str(output / "net")


@pytest.mark.parametrize("stage", [TRAINING, CLASSIFIER, ANALYSIS])
def test_the_flags_that_are_added_exist(stage, tmp_path):
    command = {"a2mim-pretrain": pretrain, "a2mim-finetune": finetune, "a2mim-analyze": analyze}
    program, *arguments = stage.arguments(tmp_path)
    assert CliRunner().invoke(command[program].main, [*arguments, "--help"]).exit_code == 0


def _work(output, queue):
    execute = Executor()
    stages.run([Stage(f"net{number}", "a2mim-pretrain") for number in range(6)], output, execute)
    queue.put([command[command.index("--experiment") + 1] for command in execute.seen])


def test_two_processes_share_the_work(tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=_work, args=(tmp_path, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    done = queue.get(timeout=120) + queue.get(timeout=120)
    for worker in workers:
        worker.join()
    assert sorted(done) == [f"net{number}" for number in range(6)]
    assert json.loads((tmp_path / "stages" / "net0.json").read_text())["command"] == "a2mim-pretrain"
