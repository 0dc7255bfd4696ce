"""The documents taken apart: their blocks, the command lines in them with what is printed below, names in the text."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from a2mim.commands import analyze, checkpoint, finetune, pretrain
from a2mim.experiments import claims

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = {
    "a2mim-pretrain": pretrain.main,
    "a2mim-finetune": finetune.main,
    "a2mim-analyze": analyze.main,
    "a2mim-checkpoint": checkpoint.main,
}
STARTS = ("a2mim-", "make ", "python -m ", "torchrun ")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9_-]*")


@dataclass(frozen=True)
class Block:
    document: Path
    line: int  # of its first line
    language: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Example:
    """A command line of a document, and the lines that the document prints below it."""

    document: Path
    line: int
    text: str
    printed: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text, comments=True)

    @property
    def command(self) -> str:
        """The program, with its sub-command where it has some."""
        group = isinstance(COMMANDS.get(self.words[0]), click.Group)
        return " ".join(self.words[: 2 if group else 1])

    @property
    def error(self) -> str:
        """The line of error that the document prints, or nothing."""
        return next((line for line in self.printed if line.startswith("error:")), "")

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line} {' '.join(self.words)[:60]}"


def blocks(document: Path) -> Iterator[Block]:
    """Fenced blocks, also those within lists, and blocks that are indented by four spaces."""
    lines = document.read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(lines):
        fence, start = re.match(r"( *)```([\w{}-]*)$", lines[at]), at + 1
        if fence:
            end = next(i for i in range(start, len(lines)) if lines[i].strip() == "```")
            yield Block(document, start + 1, fence[2], tuple(line[len(fence[1]) :] for line in lines[start:end]))
            at = end + 1
        elif lines[at].startswith("    ") and not lines[at - 1].strip():
            end = next((i for i in range(at, len(lines)) if not lines[i].startswith("    ")), len(lines))
            yield Block(document, at + 1, "", tuple(line[4:] for line in lines[at:end]))
            at = end
        else:
            at += 1


def examples(block: Block) -> Iterator[Example]:
    """Lines behind ``$``, with what is printed below them; and lines that begin as a command."""
    at, lines = 0, block.lines
    while at < len(lines):
        start, text = at, lines[at]
        at += 1
        if not _begins(text):
            continue
        while text.endswith("\\"):
            text = f"{text[:-1].rstrip()} {lines[at].strip()}"
            at += 1
        below = at
        while text.startswith("$ ") and at < len(lines) and not _begins(lines[at]):
            at += 1
        yield Example(block.document, block.line + start, text.removeprefix("$ "), tuple(filter(None, lines[below:at])))


def _begins(line: str) -> bool:
    return line.startswith("$ ") or f"{line} ".startswith(STARTS)


def all_examples() -> list[Example]:
    return [
        example
        for document in DOCUMENTS
        for block in blocks(document)
        if block.language != "python"
        for example in examples(block)
    ]


def prose(document: Path) -> str:
    """The text without its blocks."""
    lines = document.read_text(encoding="utf-8").splitlines()
    for block in blocks(document):
        for at in range(block.line - 1, block.line - 1 + len(block.lines)):
            lines[at] = ""
    return "\n".join(line for line in lines if not line.strip().startswith("```"))


def spans(document: Path) -> list[str]:
    """What stands between back quotes in the text, on one line."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(document))]


def calls(text: str) -> Iterator[tuple[click.Command, str]]:
    """Every command of ours in a line, and what follows it: ``torchrun ... a2mim-analyze merge --output x`` has one."""
    for name, following in re.findall(r"(a2mim-[a-z]+|python -m a2mim\.[\w.]+)((?:(?!\ba2mim-).)*)", text):
        found = COMMANDS.get(name) or _module(name.removeprefix("python -m "))
        words = following.split()
        if words and words[0] in subcommands(found):
            found = subcommands(found)[words[0]]
        yield found, following


def _module(name: str) -> click.Command:
    main = importlib.import_module(name).main
    return main if isinstance(main, click.Command) else click.command(claims.options(lambda **_: None))  # of a claim


def subcommands(command: object) -> dict[str, click.Command]:
    """The commands of a group, by their names; none of a command that has none."""
    if not isinstance(command, click.Group):
        return {}
    context = click.Context(command)
    found = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return {name: one for name, one in found.items() if one}


def flags_of(command: click.Command) -> set[str]:
    own = {"--help", *(name for param in command.params for name in (*param.opts, *param.secondary_opts))}
    return own.union(*map(flags_of, subcommands(command).values()))


def choices(flag: str) -> set[str]:
    """What any command takes for a flag that has choices; empty for others."""
    everything = [command for main in COMMANDS.values() for command in subcommands(main).values() or [main]]
    types = [param.type for command in everything for param in command.params if flag in param.opts]
    return {str(choice) for kind in types if isinstance(kind, click.Choice) for choice in kind.choices}
