"""The library that one imports: every public name in both ways and several orders, and training by function."""

import dataclasses
import doctest
import importlib
import inspect
import subprocess
import sys

import pandas as pd
import pytest

import a2mim
from a2mim.errors import InputError
from a2mim.settings import FinetuneSettings, PretrainSettings

NAMES = [name for name in a2mim.__all__ if name != "__version__"]
SMALL = dict(limit=32, batch_size=16, epochs=1, warmup_epochs=0, workers=0)
NET = dict(model="resnet10t", model_args=dict(channels=[8, 16, 24, 32], stem_width=4, output_stride=8), img_size=32)
EXAMPLES = ("a2mim.api", "a2mim.losses.whole", "a2mim.masking", "a2mim.model", "a2mim.recipes")


@pytest.mark.parametrize("statement", ["getattr(a2mim, name)", "exec(f'from a2mim import {name}')"])
@pytest.mark.parametrize("order", [1, -1])
def test_every_public_name_is_imported_in_both_ways_and_any_order(statement, order):
    code = f"""
import a2mim, types
names = {NAMES[::order]}
assert not set(names) & vars(a2mim).keys()
for name in names + names:
    {statement}
    assert not isinstance(getattr(a2mim, name), types.ModuleType), name
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_modules_and_functions_do_not_collide():
    for module in ("a2mim.pretraining", "a2mim.training.finetuning", "a2mim.api", "a2mim.losses", "a2mim.masking"):
        importlib.import_module(module)
    assert inspect.isfunction(a2mim.pretrain)
    assert inspect.isfunction(a2mim.finetune)


def test_dir_shows_every_name():
    assert {*NAMES, "__version__", "analysis", "experiments", "figures", "losses", "masking"} == set(dir(a2mim))
    with pytest.raises(AttributeError, match="no attribute 'pretrian'"):
        _ = a2mim.pretrian


@pytest.mark.parametrize("module", EXAMPLES)
def test_the_examples_run(module):
    done = doctest.testmod(importlib.import_module(module))
    assert done.attempted
    assert not done.failed


@pytest.mark.parametrize(("function", "kind"), [(a2mim.pretrain, PretrainSettings), (a2mim.finetune, FinetuneSettings)])
def test_settings_are_named_in_the_signature_and_explained(function, kind):
    shown = inspect.signature(function).parameters
    for field in dataclasses.fields(kind):
        assert field.name in shown
        assert f"{field.name}: {field.metadata['help']}" in function.__doc__


def test_settings_override_the_recipe_and_a_run_goes_on(tmp_path):
    said = []
    run = a2mim.pretrain(output=tmp_path, **NET, **SMALL, mask_patch_size=8, echo=said.append)
    assert run.path == tmp_path / "pretrain"
    assert isinstance(run.summary, pd.DataFrame)
    assert run.summary.epoch.tolist() == [1]
    more = a2mim.pretrain(resume=run.path, epochs=2, echo=said.append)
    assert more.path == run.path
    assert more.summary.epoch.tolist() == [1, 2]
    tuned = a2mim.finetune(run.path, output=tmp_path, **SMALL, linear=True, echo=said.append)
    assert tuned.summary.top1.between(0, 100).all()
    assert "epochs: 20 in the recipe, 1 here" in said


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(recipe="fashion-vti"), "no recipe 'fashion-vti'"),
        (dict(mask_ration=0.5), "unknown setting 'mask_ration'; did you mean 'mask_ratio'"),
        (dict(linear=True), "setting 'linear' belongs to a2mim-finetune"),
    ],
)
def test_mistakes_get_one_clear_error(settings, message):
    with pytest.raises(InputError, match=message):
        a2mim.pretrain(**settings, echo=lambda _: None)
    with pytest.raises(InputError, match="knn trains nothing"):
        a2mim.finetune(knn=True)
