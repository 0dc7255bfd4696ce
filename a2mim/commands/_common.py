"""What the commands share: flags made from settings, and errors as one line."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import re
import shlex
import sys
import types
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
import yaml

from a2mim import distributed, recipes, signals
from a2mim.errors import InputError, Preempted, RunError
from a2mim.options import how_many
from a2mim.settings import S

SHORT = {"batch_size": ("-b",), "workers": ("-j",)}
_FORESEEN = (InputError, RunError, OSError, KeyboardInterrupt)
CONTEXT = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 120,
    "token_normalize_func": lambda name: name.replace("_", "-"),  # --mask_ratio is --mask-ratio
}


def clear_errors(command: Callable[..., None]) -> Callable[..., None]:
    """End a command with one line and a documented exit status.

    2: input that cannot be used. 1: a run that failed. 130: Ctrl-C. 75: SIGTERM or SIGUSR1. Other exceptions are bugs
    and keep their traceback, as all do under A2MIM_TRACEBACK=1. Only the first of several processes prints results.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, **options: Any) -> None:
        process = distributed.rank()
        try:
            with contextlib.ExitStack() as stack:
                if process:
                    stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
                stack.enter_context(signals.raised())
                command(*args, **options)
        except (InputError, RunError, OSError, MemoryError, RuntimeError, KeyboardInterrupt) as error:
            if os.environ.get("A2MIM_TRACEBACK") or not (isinstance(error, _FORESEEN) or _out_of_memory(error)):
                raise
            if isinstance(error, KeyboardInterrupt):
                if not process:
                    click.echo(f"stopped{': ' + str(error) if str(error) else ''}", err=True)
                raise SystemExit(Preempted.EXIT_CODE if isinstance(error, Preempted) else 130) from None
            line = " ".join(str(error).split())
            if _out_of_memory(error):
                line = f"out of memory{': ' + line if line else ''}; use a smaller --batch-size or fewer --workers"
            click.echo(f"error{f' in process {process}' if process else ''}: {line}", err=True)
            raise SystemExit(2 if isinstance(error, InputError | FileNotFoundError) else 1) from None

    return wrapped


def _out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the machine or of a GPU (by the name of torch's error: torch may not be loaded)."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or (type(error) is RuntimeError and "can't allocate memory" in str(error))


def command_line() -> str:
    """The command as it was given: the program's name and every argument, quoted for a shell."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def settings_options(settings: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """One flag per field of a settings class; a flag that is not given is None, so that the recipe's value holds."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints = typing.get_type_hints(settings)
        for entry in reversed(dataclasses.fields(settings)):
            command = _option(entry, hints[entry.name])(command)
        return command

    return decorate


TRUST = click.option(
    "--trust-checkpoint", "trust", is_flag=True, help="Unpickle any object: this runs code from the file."
)
WHICH = click.option("--which", help="Which encoder of a file with several (teacher, ema, ...); inspect lists them.")


def list_recipes(program: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """``--list-recipes``: the presets of this command, each with the first line of its header."""

    def show(context: click.Context, _: click.Parameter, wanted: bool) -> None:
        if wanted and not context.resilient_parsing:
            for name, line in recipes.listing(program):
                click.echo(f"{name:<26} {line}")
            context.exit()

    return click.option(
        "--list-recipes",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=show,
        help="List the recipes that ship with the package, and exit.",
    )


def loading_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options of every command that reads a network; ``loading`` turns them into keywords of the loader."""
    for option in (
        TRUST,
        WHICH,
        click.option(
            "--model-args", multiple=True, metavar="KEY=VALUE", help="Argument of the architecture; may be repeated."
        ),
        click.option("--model", "arch", help="Architecture by timm's name, if the file does not give it."),
    ):
        command = option(command)
    return command


def loading(options: dict[str, Any]) -> dict[str, Any]:
    """Remove the options of ``loading_options`` from a command's, and return them as keywords of ``load_encoder``."""
    found: dict[str, Any] = {key: options.pop(key) for key in ("arch", "which", "trust") if key in options}
    if options.get("model_args") is not None:
        found["model_args"] = key_values(options.pop("model_args"))
    return {key: value for key, value in found.items() if value}


def given(options: dict[str, Any]) -> dict[str, Any]:
    """The flags that were given, as setting -> value."""
    values = {key: value for key, value in options.items() if value is not None and value != ()}
    if "model_args" in values:
        values["model_args"] = key_values(values["model_args"])
    return values


def key_values(pairs: Iterable[str]) -> dict[str, Any]:
    """KEY=VALUE pairs as a dictionary; values are read as YAML (numbers, lists, true and false)."""
    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InputError(f"'{pair}' is not of the form KEY=VALUE")
        try:
            values[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InputError(
                f"'{value}' in '{pair}' is not a value: write a number, text, or a list such as [1, 2]"
            ) from None
    return values


def resolve(kind: type[S], config: str | None, begun: Path | None, values: dict[str, Any]) -> S:
    """The settings of a run (see ``recipes.resolve``); prints how they differ from the recipe."""
    return recipes.resolve(kind, config, begun, values, click.echo)


def resumed_run(resume: str | None, output: str, experiment: str) -> Path | None:
    """The folder of the run to resume: ``auto`` is the newest run of that name with a checkpoint, or None.

    Runs of a name are ``experiment``, ``experiment-2``, ``experiment-3``, ...
    """
    from a2mim.checkpoint import LAST

    if resume is None:
        return None
    if resume != "auto":
        folder = Path(resume) if Path(resume).is_dir() else Path(resume).parent
        if not (folder / LAST).is_file():
            raise InputError(f"nothing to resume: {folder} has no {LAST}")
        return folder
    named = Path(output, experiment)
    numbered = re.compile(rf"{re.escape(named.name)}(-\d+)?")
    found = [path.parent for path in named.parent.glob(f"*/{LAST}") if numbered.fullmatch(path.parent.name)]
    return max(found, key=lambda folder: (folder / LAST).stat().st_mtime, default=None)


def stem(name: str) -> str:
    """How the name of a run calls a recipe, model or checkpoint."""
    path = Path(name)
    if path.name in ("last.pth.tar", "model_best.pth.tar", "backbone.safetensors"):
        path = path.parent
    return path.name.split(".")[0].removeprefix("pretrain-") or "run"


def _option(entry: dataclasses.Field[Any], hint: Any) -> Callable[..., Any]:
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kind = kinds[0]
    default = entry.default if entry.default is not dataclasses.MISSING else None
    shown = "" if default is None else f"  [default: {_text(default)}]"
    flag = entry.name.replace("_", "-")
    keywords: dict[str, Any] = {"help": entry.metadata["help"] + shown, "default": None}
    names = [f"--{flag}", *SHORT.get(entry.name, ())]
    if kind is bool:
        names = [f"--{flag}/--no-{flag}"]
    elif typing.get_origin(kind) is dict:
        keywords.update(multiple=True, metavar="KEY=VALUE")
    elif typing.get_origin(kind) is tuple:
        number = how_many(entry)
        keywords.update(type=float, nargs=number) if number else keywords.update(type=str, metavar="N,N,...")
    elif entry.metadata["choices"]:
        keywords.update(type=click.Choice(entry.metadata["choices"]))
    else:
        keywords.update(type=kind)
    return click.option(*names, entry.name, **keywords)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(f"{number:.3g}" for number in value)
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
