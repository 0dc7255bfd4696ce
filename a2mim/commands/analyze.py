"""``a2mim-analyze``: what an encoder has learned, as a table, a file of settings and a picture."""

from __future__ import annotations

import functools

import click

from a2mim.commands import _common
from a2mim.commands._analyses import Analyses


@click.group(cls=Analyses, context_settings=_common.CONTEXT)
def main() -> None:
    """Occlusion robustness, multi-order interactions, spectra, variances and reconstructions of any checkpoint.

    Each analysis takes one or several checkpoints (files, run folders) and, with none, the small networks that come
    with the package. It writes OUTPUT/<analysis>.csv, .json, .png and .pdf. What is finished is kept in
    OUTPUT/<analysis>.parts: give the same command again to go on with an analysis that was stopped.
    """


@main.command(name="merge")
@click.argument("outputs", nargs=-1, required=True)
@click.option("--output", default="runs/analysis", show_default=True, help="Folder for the results.")
@_common.clear_errors
def merge(outputs: tuple[str, ...], output: str) -> None:
    """Join what --shard left in several OUTPUTS, and write the results."""
    from a2mim.analysis.analyses import ANALYSES
    from a2mim.analysis.core import merging

    echo = functools.partial(click.echo, err=True)
    written = merging.merge(outputs, output, ANALYSES.usable(echo), command=_common.command_line(), echo=echo)
    for path in written.values():
        click.echo(path)


@main.command(name="report")
@click.argument("sources", nargs=-1, required=True)
@click.option("--output", default="report.html", show_default=True, help="File of the page.")
@click.option("--title", help="Title of the page.  [default: the names of the sources]")
@_common.clear_errors
def report(sources: tuple[str, ...], output: str, title: str | None) -> None:
    """One HTML page, for a browser, that shows all that SOURCES hold: results of analyses, runs, trials.

    A source is a folder that holds some of them at any depth, or a single file. The page needs no network.
    """
    from a2mim.analysis.report import page

    click.echo(page.write_page(sources, output, title))


@main.command(name="figures")
@click.argument("names", nargs=-1)
@click.option("--results", help="Folder of results.  [default: those that come with the package]")
@click.option("--output", default="runs/figures", show_default=True, help="Folder for the figures and tables.")
@click.option(
    "--table",
    "numbers",
    multiple=True,
    metavar="NUMBER",
    help="Table 1 to 5, the same as the name tableN; once for each.",
)
@_common.clear_errors
def figures(names: tuple[str, ...], results: str | None, output: str, numbers: tuple[str, ...]) -> None:
    """Draw the paper's figures and tables from results: NAMES such as 1 3 A1 table2 t5; all without a name."""
    from a2mim.analysis.report import gallery

    wanted = [*names, *(f"table{number}" for number in numbers)]
    for path in gallery.build(wanted, results, output, functools.partial(click.echo, err=True)):
        click.echo(path)
