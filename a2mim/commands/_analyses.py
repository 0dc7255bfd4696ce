"""One command for each analysis, made from the class of its settings: flags, then one call of ``measuring.run``."""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from a2mim.commands import _common
from a2mim.commands._types import KINDS, BatchSize, Range, Shard
from a2mim.errors import InputError

if TYPE_CHECKING:
    from a2mim.analysis.core.options import Asks


class Analyses(click.Group):
    """A group with a command for each analysis, besides those that were added by hand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from a2mim.analysis.analyses import ANALYSES

        return [*ANALYSES, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from a2mim.analysis.analyses import ANALYSES

        if cmd_name in ANALYSES:
            try:
                return command_of(cmd_name, ANALYSES.settings(cmd_name), ANALYSES.asks(cmd_name))
            except InputError as error:  # of another package's analysis; the others must not suffer
                return _broken(cmd_name, error)
        return super().get_command(ctx, cmd_name)


def _broken(name: str, error: InputError) -> click.Command:
    """A command that says why an analysis cannot be loaded."""

    @_common.clear_errors
    def command() -> None:
        raise error

    return click.command(name=name, help="This analysis cannot be loaded.")(command)


def command_of(name: str, settings: type[Any], asks: Asks) -> click.Command:
    """The command of an analysis: its help is the docstring of its settings."""

    @_common.clear_errors
    def command(**options: Any) -> None:
        run(name, settings, options)

    for option in reversed([*_shared(asks), *_loading(asks), *_fields(settings)]):
        command = option(command)
    return click.command(name=name, help=settings.__doc__)(command)


def run(name: str, settings: type[Any], options: dict[str, Any]) -> None:
    """Sort the options into what images, loader and analysis take; measure; save; say what was written."""
    from a2mim.analysis.analyses import ANALYSES
    from a2mim.analysis.core import measuring
    from a2mim.analysis.core.images import Images

    ours = {*("dataset", "data_dir", "classes", "split", "limit", "workers", "class_map", "given")}
    ours |= {"class_order", "value_range", "exif_rotate"}
    images = Images(**{key: options.pop(key) for key in list(options) if key in ours}, seed=options["seed"])
    checkpoints, output = options.pop("checkpoints"), options.pop("output")
    loading = _common.loading(options)
    asked = {entry.name: options.pop(entry.name) for entry in dataclasses.fields(settings) if entry.name in options}
    seed = options.pop("seed", None)
    if seed is not None and any(entry.name == "seed" for entry in dataclasses.fields(settings)):
        asked["seed"] = seed
    result = measuring.run(
        ANALYSES[name],
        checkpoints,
        settings(**{key: value for key, value in asked.items() if value not in (None, ())}),
        images,
        output,
        echo=functools.partial(click.echo, err=True),
        command=_common.command_line(),
        **{key: value for key, value in options.items() if value is not None},
        **loading,
    )
    for path in result.save(output).values() if result else ():
        click.echo(path)


def _shared(asks: Asks) -> list[Callable[..., Any]]:
    """What every analysis takes: checkpoints, which images, where to."""
    files = [
        click.option(
            "--image", "given", multiple=True, metavar="FILE", help="Image, instead of a data set; once for each."
        )
    ]
    number = asks.images or (f"{asks.most}, or all" if asks.most else "all")
    size = asks.batch_size
    batch_size = (
        click.option(
            *("--batch-size", "-b"), type=click.IntRange(1), default=size, show_default=True, help="Images in a batch."
        )
        if size
        else click.option(
            "--batch-size",
            "-b",
            type=BatchSize(),
            help="Images in a batch.  [default: auto, the fastest by a short trial]",
        )
    )
    return [
        click.argument("checkpoints", nargs=-1),
        click.option("--output", default="runs/analysis", show_default=True, help="Folder for the results."),
        click.option("--name", "names", multiple=True, help="Name of a checkpoint in the results; once for each."),
        click.option(
            "--dataset", default="fashion", show_default=True, help="Embedded images, 'folder', or a timm name."
        ),
        click.option("--data-dir", help="Folder of images."),
        click.option("--classes", help="Use only these classes: imagenet100, or a file with one folder name per line."),
        click.option(
            "--class-order",
            type=click.Choice(["name", "number"]),
            help="Number class folders by name (torchvision) or by number (timm).",
        ),
        click.option(
            "--value-range",
            type=Range(),
            help="Values that become black and white in images with more than 8 bits: LOW,HIGH.",
        ),
        click.option("--exif-rotate", is_flag=True, help="Turn images as their EXIF orientation says."),
        click.option("--split", default="val", show_default=True, help="Part of the data set."),
        click.option("--images", "limit", type=click.IntRange(1), help=f"Number of images.  [default: {number}]"),
        *(files if asks.files else []),
        batch_size,
        click.option(
            *("--workers", "-j"),
            type=click.IntRange(0),
            help="Processes that read images.  [default: 4; 0 for embedded images]",
        ),
        click.option(
            "--seed", default=0, show_default=True, help="Seed for choosing images and for every random draw."
        ),
        click.option("--device", default="auto", show_default=True, help="Device: auto, cpu, cuda, cuda:1, mps."),
        click.option("--shard", type=Shard(), metavar="K/N", help="The K-th of N shares of the work, for job arrays."),
        click.option("--dry-run", is_flag=True, help="Print the cost and the expected error, and end."),
    ]


def _loading(asks: Asks) -> list[Callable[..., Any]]:
    """How checkpoints are read, and which folder is which class."""
    if asks.load == "masked models":  # our own files alone
        return [_common.TRUST]
    class_map = click.option(
        "--class-map",
        metavar="FILE|NAME",
        help="Classes of the images' folders: a JSON file {folder name: number of the class}, or imagenet-1k for "
        "folders named after synsets.",
    )
    return [_common.loading_options, *([class_map] if asks.load == "classifiers" else [])]


def _fields(settings: type[Any]) -> list[Callable[..., Any]]:
    """A flag for each field."""
    hints = typing.get_type_hints(settings)
    entries = [entry for entry in dataclasses.fields(settings) if entry.metadata.get("flag") != "none"]
    return [_option(entry, hints[entry.name]) for entry in entries]


def _option(entry: dataclasses.Field[Any], hint: Any) -> Callable[..., Any]:
    """The flag of a field: how it is read follows from its ``kind``, its choices, or its type."""
    about = entry.metadata
    flag = f"--{about.get('flag') or entry.name.replace('_', '-')}"
    default = about.get("shown") or _text(entry.default)
    shown = f"  [default: {default}]" if default else ""
    keywords: dict[str, Any] = {"help": about["help"] + shown, "default": None}
    plain = next((one for one in typing.get_args(hint) if one is not type(None)), hint)
    if about.get("kind") == "names":
        keywords |= {"multiple": True}
    elif kind := about.get("kind"):
        keywords |= {"type": KINDS[kind]()}
    elif about["choices"]:
        keywords |= {"type": click.Choice(about["choices"])}
    elif plain is bool:
        keywords = {"help": about["help"], "is_flag": True, "default": None}
    elif about["between"]:
        low, high = about["between"]
        span = click.IntRange if plain is int else click.FloatRange
        keywords |= {"type": span(low, None if high == float("inf") else high)}
    else:
        keywords |= {"type": plain}
    return click.option(flag, entry.name, **keywords)


def _text(default: Any) -> str:
    if default is None or default is False or default is dataclasses.MISSING:
        return ""
    return ",".join(f"{one:g}" for one in default) if isinstance(default, tuple) else str(default)
