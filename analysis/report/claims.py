"""The tables of the paper's claims (a2mim.experiments): top-1 accuracy by setting, over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from a2mim.figures.statistics import mean_interval

from ..core.numbers import Cell, Columns, Numbers, Tables, count, each, framed, measured, text, within


@dataclass(frozen=True)
class Claim:
    """What the page knows of the table of a claim; the names are those of ``Analysis``."""

    title: str
    columns: Mapping[str, Columns]
    reading: str


CLAIMS = {
    "classification": Claim(
        "Classification",
        {"": Columns(("top1",), ("network", "method", "evaluation"), ("top1",))},
        "Accuracy after fine-tuning or probing; where the intervals do not touch, two methods differ.",
    ),
    "token_place": Claim(
        "Place of the mask token",
        {"": Columns(("place", "top1"), ("network", "token", "site"), ("top1",))},
        "Accuracy by the place at which the mask token acts; place 0 is the input, 1 the last layer.",
    ),
    "loss_ablation": Claim(
        "Ablation of the loss",
        {"": Columns(("top1",), ("network", "row"), ("top1",))},
        "Accuracy as the parts of the loss are added one by one.",
    ),
}


def numbers(tables: Tables) -> Numbers:
    """Top-1 accuracy of each setting: mean and Student's interval over seeds."""
    rows = tables[""]
    keys = [name for name in rows if name not in ("checkpoint", "seed", "top1", "val_loss")]
    lines, best = [], {}
    for key, one in rows.groupby(keys, sort=False, dropna=False):
        values = one["top1"].to_numpy(dtype=float)
        named = {name.replace("_", " ").capitalize(): _plain(value) for name, value in zip(keys, key, strict=True)}
        middle, low, high = mean_interval(values)
        best[" ".join(map(str, key))] = middle
        lines.append(named | {"Seeds": count(len(values)), "Top-1 (%)": within(middle, low, high)})
    note = "In brackets the 95 % interval over seeds (Student's t)."
    return Numbers([framed("Top-1 accuracy", lines, note)], each(best, lambda value: f"{value:.1f} %"))


def _plain(value: object) -> Cell:
    return measured(float(value), 3) if isinstance(value, float) else text(value)
