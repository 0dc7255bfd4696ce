"""The tables of methods: names that exist, defaults that hold, no torch."""

import dataclasses
import subprocess
import sys

from a2mim import methods
from a2mim.method_settings import METHODS, shared, unused, users
from a2mim.settings import PretrainSettings


def test_the_tables_are_of_the_methods_and_name_settings_that_exist():
    assert tuple(METHODS) == tuple(methods.METHODS)
    known = {field.name for field in dataclasses.fields(PretrainSettings)}
    for method in METHODS.values():
        assert method.uses <= known
        assert method.defaults.keys() <= known


def test_the_first_method_has_the_defaults_of_the_class():
    assert {key: getattr(PretrainSettings(), key) for key in METHODS["a2mim"].defaults} == METHODS["a2mim"].defaults
    assert PretrainSettings.from_values() == PretrainSettings()


def test_what_is_used_by_whom():
    assert users("token") == "a2mim, simmim"
    assert "mask_ratio" in unused("mocov3")
    assert unused("a2mim") == METHODS["mocov3"].uses
    assert shared("mocov3", {"token": "add", "scale": [1, 1], "epochs": 3}) == {"epochs": 3}


def test_settings_and_commands_load_no_torch():
    code = (
        "import sys, a2mim.settings, a2mim.commands.pretrain, a2mim.commands.finetune; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
