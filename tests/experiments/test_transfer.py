"""Tables 3 and 4: nothing is run, and the commands of ours that the plan names exist."""

from click.testing import CliRunner

from a2mim.commands import checkpoint
from a2mim.experiments import transfer
from a2mim.experiments.trainings import PAPER


def test_our_commands_of_the_plan_exist():
    lines = [line.split() for line in transfer.__doc__.splitlines() if line.strip().startswith("a2mim-")]
    assert len(lines) == 4
    for program, *arguments in lines:
        assert program == "a2mim-checkpoint"
        assert CliRunner().invoke(checkpoint.main, [*arguments, "--help"]).exit_code == 0


def test_nothing_is_run_and_nothing_is_claimed():
    assert transfer.CLAIM.stages(PAPER) == []
    assert transfer.CLAIM.findings({}) == []
    assert "Not run here" in transfer.__doc__
