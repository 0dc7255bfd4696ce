"""The list of analyses: ours, and one that another package registers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from a2mim.analysis.analyses import ANALYSES
from a2mim.errors import InputError

SUPPORT = Path(__file__).parents[1] / "support"


def test_every_record_is_called_as_it_is_listed():
    for name, record in ANALYSES.items():
        assert record.name == name
        assert record.settings is ANALYSES.settings(name)
        asks = ANALYSES.asks(name)
        assert (record.load, record.most, record.batch_size) == (asks.load, asks.most, asks.batch_size)
        assert record.reading.endswith(".")
        assert "" in {*record.figures, *record.pictures}
        assert {*record.captions} == {*record.figures, *record.pictures}
        assert record.columns.keys() >= {""}


@pytest.fixture
def installed(tmp_path):
    """An installed package with one file, which registers a record; runs a command where it is found."""
    site = tmp_path / "site"
    (site / "toys-1.0.dist-info").mkdir(parents=True)
    (site / "toys-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n")
    (site / "toys-1.0.dist-info" / "entry_points.txt").write_text(
        "[a2mim.analyses]\ntoy = toy:TOY\nbroken = toy:MISSING\n"
    )
    (site / "toy.py").write_text((SUPPORT / "toy.py").read_text())
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}

    def run(*words):
        program = Path(sys.executable).parent / "a2mim-analyze"
        return subprocess.run(
            [program, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )

    return run


def test_an_analysis_from_outside_is_a_command_in_merge_and_on_the_page(installed, tmp_path):
    assert "Brightness of the images." in installed("toy", "--help").stdout
    networks = ["fashion-resnet-a2mim", "--images", "70", "-b", "64", "--times", "2"]
    for shard in ("1/2", "2/2"):
        done = installed("toy", *networks, "--shard", shard, "--output", shard[0])
        assert done.returncode == 0, done.stderr
    joined = installed("merge", "1", "2", "--output", "all")
    assert joined.returncode == 0, joined.stderr
    assert (tmp_path / "all" / "toy.csv").is_file()
    page = installed("report", "all", "--output", "report.html")
    assert page.returncode == 0, page.stderr
    text = (tmp_path / "report.html").read_text()
    for shown in ("Brightness of a toy", "Brighter is brighter.", "mean brightness", "a2mim-analyze merge 1 2"):
        assert shown in text, shown
    assert "<img" in text or "<svg" in text
    assert "toy" in installed("--help").stdout
    broken = installed("broken")
    assert broken.returncode == 2
    assert "analysis 'broken' of toy:MISSING cannot be loaded" in broken.stderr


def test_an_unknown_analysis_is_a_key_error():
    with pytest.raises(KeyError):
        ANALYSES["nonsense"]
    assert issubclass(InputError, ValueError)
