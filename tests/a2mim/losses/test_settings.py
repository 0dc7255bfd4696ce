"""The settings of the loss: checked values, and one home for names, defaults and choices."""

import dataclasses
import inspect
import math
import subprocess
import sys

import pytest

from a2mim.errors import InputError
from a2mim.losses import DISTANCES, PRESETS, REPLACEMENTS, LossSettings, MIMLoss
from a2mim.losses.settings import BLENDS, DISTANCE_NAMES


def test_the_choices_are_those_that_are_computed():
    assert tuple(DISTANCES) == DISTANCE_NAMES
    assert (*REPLACEMENTS, "none") == BLENDS


def test_the_signature_of_the_loss_spells_out_every_setting_with_its_type_and_default():
    spelt = {name: (one.annotation, one.default) for name, one in inspect.signature(MIMLoss).parameters.items()}
    assert spelt == {entry.name: (entry.type, entry.default) for entry in dataclasses.fields(LossSettings)}
    assert all(f"        {name}: " in MIMLoss.__doc__ for name in spelt)


def test_the_settings_load_no_torch():
    code = "import sys, a2mim.losses.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_allowed(name):
    assert LossSettings(**PRESETS[name])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"loss_spa": "huber"}, "loss_spa 'huber'.*l1, l2, focal-l1"),
        ({"loss_freq": "mse"}, "l1, l2, focal-l1"),
        ({"freq_blend": None}, "prediction, target, mixed, mean, none"),
        ({"freq_weight": True}, "focal, none"),
        ({"freq_max": "channel"}, "image, batch, none"),
        ({"freq_norm": "orthogonal"}, "ortho, backward, forward"),
        ({"freq_lambda": -0.1}, "freq_lambda -0.1.*0 or more"),
        ({"freq_lambda": math.nan}, "0 or more"),
        ({"freq_alpha": math.inf}, "0 or more"),
        ({"freq_alpha": "1"}, "a number"),
        ({"freq_visible_weight": 1.5}, "0 to 1"),
        ({"freq_log": "no"}, "freq_log 'no'.*true, false"),
        ({"freq_ave_spectrum": 1}, "true, false"),
    ],
)
def test_wrong_settings_name_what_is_allowed(wrong, message):
    with pytest.raises(InputError, match=message):
        LossSettings(**wrong)
