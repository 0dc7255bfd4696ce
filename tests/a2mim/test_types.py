"""A user's type checker sees real types: a wheel with `py.typed`, and no public name that is `Any`."""

import os
import re
import subprocess
import sys
from pathlib import Path

from typed_tree import ROOT, lay_out

USER = """
import a2mim
from a2mim.analysis.probes import features, spectrum, variance
from a2mim.analysis.interactions import games, estimating
from a2mim.analysis.occlusion import curves
from a2mim.analysis.reconstruction import pictures

reveal_type(a2mim.load_encoder)
reveal_type(a2mim.load_masked_model)
reveal_type(a2mim.create_model)
reveal_type(a2mim.MIMLoss)
reveal_type(a2mim.__version__)
reveal_type(estimating.estimate)
reveal_type(estimating.pair_deltas)
reveal_type(curves.sweep)
reveal_type(games.PatchGame)
reveal_type(features.capture)
reveal_type(spectrum.relative_log_amplitude)
reveal_type(variance.feature_variance)
reveal_type(pictures.panels)
"""


def check(user: Path, folder: Path) -> str:
    """What mypy says of a file, by the settings of `make check` and, where that has run, with its cache: seconds."""
    shared = ROOT / ".venv" / "typed"
    tree = lay_out(shared if shared.is_dir() else folder / "typed")
    cache = ROOT / ".mypy_cache" if shared.is_dir() else folder / "cache"
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(cache), str(user)]
    paths = {} if shared.is_dir() else {"MYPYPATH": str(tree)}  # setup.cfg names the shared tree
    run = subprocess.run(command, cwd=ROOT, env={**os.environ, **paths}, capture_output=True, text=True, timeout=300)
    assert run.returncode in (0, 1), run.stdout + run.stderr  # 1: an error in a module, which `make check` shows
    return run.stdout


def test_public_names_have_types_for_a_users_checker(tmp_path):
    (tmp_path / "user.py").write_text(USER)
    printed = check(tmp_path / "user.py", tmp_path)
    assert not re.search(r"user\.py:\d+: error", printed), printed
    revealed = re.findall(r'Revealed type is "(.*)"', printed)
    assert len(revealed) == USER.count("reveal_type(")
    for one in revealed:
        assert one != "Any", printed
        assert "->" in one or one == "str", one  # a function or a class, with what it takes and returns
    assert not any(re.fullmatch(r"def \(\*Any, \*\*Any\) -> Any", one) for one in revealed)


def test_py_typed_is_installed():
    import a2mim

    assert (Path(a2mim.__path__[0]) / "py.typed").is_file()
