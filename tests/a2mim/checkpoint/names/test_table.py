"""Every dialect: its rules read the same in both directions."""

from dataclasses import replace

import pytest
import torch

from a2mim.checkpoint.more_families import FAMILIES
from a2mim.checkpoint.names.dialects import Ignore, Join, Rename, from_timm, to_timm
from a2mim.checkpoint.names.table import DIALECTS, rows


def test_dialects_have_names_of_their_own_and_known_families():
    assert len({dialect.name for dialect in DIALECTS}) == len(DIALECTS)
    assert {dialect.family for dialect in DIALECTS} <= FAMILIES.keys()


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_rules_read_the_same_in_both_directions(dialect):
    dialect = replace(dialect, fold=None)  # which changes whole networks, not names
    for rule in dialect.rules:
        if isinstance(rule, Ignore) or (isinstance(rule, Rename) and (rule.change or rule.back)):
            continue
        templates = rule.theirs if isinstance(rule, Join) else (rule.theirs,)
        theirs = {_numbered(name) + ".weight": torch.full((1, 2), float(at)) for at, name in enumerate(templates)}
        timm = to_timm(dialect, theirs).state
        again = to_timm(dialect, from_timm(dialect, timm)).state  # where several names mean one, the first is written
        assert again.keys() == timm.keys(), rule
        assert all(torch.equal(again[name], value) for name, value in timm.items()), rule


def _numbered(template):
    for letter, number in (("i", 3), ("j", 5), ("k", 2)):
        for shift in (-1, 0, 1):
            field = f"{{{letter}{shift:+d}}}" if shift else f"{{{letter}}}"
            template = template.replace(field, str(number + shift))
    return template


def test_every_dialect_is_listed_with_its_network():
    listed = dict(rows()[1:])
    for dialect in DIALECTS:
        assert any(dialect.name.removesuffix(", in memory") in names.split("; ") for names in listed.values()), dialect
    assert "OpenMMLab Swin" in listed["Swin"]
