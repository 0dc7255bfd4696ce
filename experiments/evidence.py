"""All claims at one scale, and the page with the findings: ``python -m a2mim.experiments.evidence``.

Run the stages of all claims that are not complete, write their tables and figures, and a page README.md: for each claim
the statements of the paper, what was measured, and whether it supports them.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from a2mim import files
from a2mim.analysis.report import gallery
from a2mim.errors import InputError

from . import (
    claims,
    classification,
    feature_maps,
    interaction_orders,
    loss_ablation,
    occlusion_robustness,
    reconstructions,
    token_place,
    transfer,
)
from .findings import ABSENT, OPEN, OPPOSED, SUPPORTED, Finding
from .trainings import SCALES

MODULES = (
    occlusion_robustness,
    interaction_orders,
    feature_maps,
    reconstructions,
    classification,
    token_place,
    loss_ablation,
    transfer,
)
CLAIMS = tuple(module.CLAIM for module in MODULES)
FIGURES = "figures"  # folder beside the tables


def text(results: Path, place: Path | None = None) -> str:
    """The Markdown page of a folder of results.

    Args:
        place: folder of the page, for its links to pictures; default: the folder of results.
    """
    about = json.loads((results / "about.json").read_text(encoding="utf-8"))
    found = {claim: claims.found(claim, results) for claim in CLAIMS}
    lines = ["# What the paper claims, and what was measured here", "", *_setting(about), ""]
    lines += [*_counts(found.values()), ""]
    shown: set[str] = set()
    for module, claim in zip(MODULES, CLAIMS, strict=True):
        lines += [f"## {claim.statement}", "", f"{claim.place[0].upper()}{claim.place[1:]} of the paper; "]
        lines[-1] += f"`python -m {module.__name__} --scale {about['scale']}`"
        lines += ["", *_table(found[claim])]
        lines += _drawn([name for name in claim.drawn if name not in shown], results, place or results)
        shown |= set(claim.drawn)
    return "\n".join([*lines, *_commands(about)]).rstrip() + "\n"


def _drawn(names: Iterable[str], results: Path, place: Path) -> list[str]:
    """Figures as pictures and tables as text, as far as they exist."""
    lines = []
    for name in names:
        table, picture = results / FIGURES / f"{name}.md", results / FIGURES / f"figure{name}.png"
        if table.is_file():
            lines += [table.read_text(encoding="utf-8").strip(), ""]
        if picture.is_file():
            lines += [f"![Figure {name}]({os.path.relpath(picture, place)})", ""]
    return lines


def _setting(about: dict[str, Any]) -> list[str]:
    scale = SCALES[about["scale"]]
    machine, stages = about["machine"], about["stages"].values()
    hours = sum(stage["seconds"] for stage in stages) / 3600
    labels = " and ".join(net.label for net in scale.networks.values())
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    flags = "; ".join(f"{what} `{given}`" for what, given in {"pre-training": scale.pretrain, **scale.evaluate}.items())
    where = f"{machine['architecture']}, GPU: {machine.get('GPU', 'none')}; {versions}; {about['created'][:10]}"
    return [
        f"Scale `{scale.name}`: {labels}; seeds {', '.join(map(str, about['seeds']))}; images: `{about['data']}`; "
        f"{flags}. "
        f"{len(stages)} commands took {hours:.1f} hours in all, several at once ({where}).",
        "",
        "Intervals are 95 % Student-t intervals of the mean of paired differences over seeds. A statement is supported "
        "if its whole interval has the claimed sign, not supported if it has the opposite sign, and undecided if it "
        "contains 0. There is no correction for the number of statements: of forty claimed differences that "
        f"do not exist, about one would be called supported by chance. {scale.remark}".rstrip(),
    ]


def _counts(found: Iterable[list[Finding]]) -> list[str]:
    counted = Counter(finding.verdict for findings in found for finding in findings)
    said = ", ".join(f"{counted[verdict]} {verdict}" for verdict in (SUPPORTED, OPPOSED, OPEN, ABSENT))
    return [f"**Of {counted.total()} statements: {said}.**"]


def _table(found: list[Finding]) -> list[str]:
    if not found:
        return ["Not run here.", ""]
    rows = [f"| {one.statement} | {one.measured} | {_marked(one.verdict)} |" for one in found]
    return ["| statement | measured | verdict |", "|---|---|---|", *rows, ""]


def _marked(verdict: str) -> str:
    return f"**{verdict}**" if verdict in (SUPPORTED, OPPOSED) else verdict


def _commands(about: dict[str, Any]) -> list[str]:
    lines = [
        "## Commands",
        "",
        "`{name}` stands for the folder of that stage.",
        "",
        "| stage | command | seconds |",
    ]
    rows = [f"| {name} | `{stage['command']}` | {stage['seconds']:.0f} |" for name, stage in about["stages"].items()]
    return [*lines, "|---|---|---|", *rows]


@click.command(help=__doc__.split("\n\n")[1])
@claims.options
@click.option("--page", help="File of the page.  [default: README.md beside the tables]")
def main(page: str | None, **given: Any) -> None:
    results = claims.start(CLAIMS, **given)
    if results is None:
        return
    for claim in CLAIMS:
        claims.show(claim, results)
    names = dict.fromkeys(name for claim in CLAIMS for name in claim.drawn)
    try:
        gallery.build(list(names), results, results / FIGURES, click.echo)
    except InputError as error:  # the page shows the tables that there are
        click.echo(str(error))
    written = Path(page or results / "README.md")
    files.write_text(written, text(results, written.parent))
    click.echo(f"\npage: {written}")


if __name__ == "__main__":
    main()
