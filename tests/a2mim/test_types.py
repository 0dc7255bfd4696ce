"""A user's type checker sees real types: a wheel with `py.typed`, and no public name that is `Any`."""

import os
import re
import subprocess
import sys
from pathlib import Path

from typed_tree import lay_out

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


def test_public_names_have_types_for_a_users_checker(tmp_path):
    (tmp_path / "user.py").write_text(USER)
    tree = lay_out(tmp_path / "typed")
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--ignore-missing-imports", "user.py"]
    run = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "MYPYPATH": str(tree)}, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stdout + run.stderr
    revealed = re.findall(r'Revealed type is "(.*)"', run.stdout)
    assert len(revealed) == USER.count("reveal_type(")
    for one in revealed:
        assert one != "Any", run.stdout
        assert "->" in one or one == "str", one  # a function or a class, with what it takes and returns
    assert not any(re.fullmatch(r"def \(\*Any, \*\*Any\) -> Any", one) for one in revealed)


def test_py_typed_is_installed():
    import a2mim

    assert (Path(a2mim.__path__[0]) / "py.typed").is_file()
