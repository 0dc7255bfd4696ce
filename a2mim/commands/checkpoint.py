"""``a2mim-checkpoint``: what is in a checkpoint."""

from __future__ import annotations

import click

from a2mim.commands import _common


@click.group(context_settings=_common.CONTEXT)
def main() -> None:
    """Look into checkpoints."""


@main.command()
@click.argument("path")
@click.option("--model", "arch", help="timm architecture, for a file that does not name its own.")
@click.option("--model-args", multiple=True, metavar="KEY=VALUE", help="Arguments of the architecture.")
@click.option("--json", "as_json", is_flag=True, help="The whole report, for machines.")
@click.option("--trust-checkpoint", "trust", is_flag=True, help="Unpickle any object (runs code from the file).")
@_common.clear_errors
def inspect(path: str, arch: str | None, model_args: tuple[str, ...], as_json: bool, trust: bool) -> None:
    """Say what the checkpoint at PATH (file, run folder, shipped name) holds and how it loads."""
    import dataclasses
    import json

    from a2mim.checkpoint import load_encoder

    _, report = load_encoder(path, arch, _common.key_values(model_args), trust=trust, min_coverage=0)
    click.echo(json.dumps(dataclasses.asdict(report), indent=2) if as_json else str(report))
