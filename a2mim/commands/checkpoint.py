"""``a2mim-checkpoint``: what is in a checkpoint, and the same weights in another library's format."""

from __future__ import annotations

from typing import Any

import click

from a2mim.commands import _common
from a2mim.errors import InputError


@click.group(context_settings=_common.CONTEXT)
def main() -> None:
    """Inspect and convert checkpoints."""


@main.command()
def formats() -> None:
    """List the file formats and naming schemes that the loader knows."""
    from a2mim.checkpoint.formats.table import rows as formats_rows
    from a2mim.checkpoint.names.table import rows as names_rows

    for at, rows in enumerate((formats_rows(), names_rows())):
        if at:
            click.echo()
        for number, row in enumerate(rows):
            click.echo(f"| {' | '.join(row)} |")
            if number == 0:
                click.echo("|" + "---|" * len(row))


@main.command()
@click.argument("path")
@_common.loading_options
@click.option("--json", "as_json", is_flag=True, help="Print the whole report as JSON.")
@click.option("--verify", is_flag=True, help="Check the bytes of the file against its checksums (CRC-32).")
@_common.clear_errors
def inspect(path: str, as_json: bool, verify: bool, **options: Any) -> None:
    """Show what the checkpoint at PATH (file, folder, shipped name) holds and how it loads.

    The exit status is 0 if an analysis would accept it, and 2 if it would be refused.
    """
    import json

    from a2mim.checkpoint import load_encoder, refusal, resolve
    from a2mim.checkpoint.files import integrity

    checksums = {"checksums": integrity.describe(resolve(path))} if verify else {}
    _, report = load_encoder(path, **_common.loading(options), min_coverage=0)
    text = "\n".join([str(report), *(f"{'checksums:':<21}{said}" for said in checksums.values())])
    click.echo(json.dumps(report.to_dict() | checksums, indent=2, default=str) if as_json else text)
    if reason := refusal(report):
        raise InputError(reason)


@main.command()
@click.argument("path")
@click.option(
    "--to",
    required=True,
    type=click.Choice(["timm", "torchvision", "hf", "detectron2", "openmmlab"]),
    help="Target library; hf is Hugging Face transformers.",
)
@click.option(
    "--output", required=True, type=click.Path(), help="File to write, or folder (hf; timm without a file suffix)."
)
@click.option("--force", is_flag=True, help="Replace an existing file or folder.")
@_common.loading_options
@_common.clear_errors
def convert(path: str, to: str, output: str, force: bool, **options: Any) -> None:
    """Write the network of the checkpoint at PATH in another library's format, and show how to open it.

    A network that the library does not have is refused with the reason.
    """
    from a2mim.checkpoint.convert.conversion import convert as write

    lines = write(path, to, output, force=force, **_common.loading(options))
    click.echo(f"{output}:")
    for line in lines:
        click.echo(f"  {line}")
