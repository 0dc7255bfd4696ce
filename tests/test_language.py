"""Text is plain English: phrases that were found hard to read do not come back; every flag has a whole sentence."""

import io
import re
import tokenize

import click
import pytest
from imports import ROOT

from a2mim.commands import analyze, checkpoint, finetune, pretrain

PHRASES = {  # what not to write -> what to write
    r"flags go before": "Flags override it",
    r"[Oo]f the choice of images, and of all that is drawn": "Seed for choosing images and for every random draw",
    r"[Ss]tands for absent players": "What hidden patches are replaced with",
    r"a sub-folder a line|name of a sub-folder a line": "one folder name per line",
    r"train on so many images|as many of each class as can be": "number of training images, balanced over classes",
    r"times that an image comes": "repeats of each image per epoch",
    r"shards have to agree on what they measure": "--budget cannot be used with --shard",
    r"which is to say what is salient": "--saliency-checkpoint X takes ...",
    r"lacks its number, as": "needs a number, e.g.",
    r"cannot be: of \{": "is out of range",
    r"loaded in silence": "Every load is reported",
    r"for who does not see": "alternative text",
    r"(?<![Tt]here )\bis no (?!longer|more|such|less|need|doubt)[a-z]": "is not a",
    r"\bof (its|their|your) own\b": "its own",
    r"in the place of\b": "instead of",
    r"\bof so (many|few)\b": "of N",
    r"makes? no odds": "makes no difference",
}
TEXTS = sorted(
    path
    for pattern in (
        "*.md",
        "docs/*.md",
        "experiments/results/*.md",
        "experiments/recipes/*.yaml",
        "analysis/report/*.j2",
    )
    for path in ROOT.glob(pattern)
)
SOURCES = sorted(
    path for folder in ("a2mim", "analysis", "figures", "experiments") for path in (ROOT / folder).rglob("*.py")
)


def words(path):
    """Strings and comments of a module; the whole of any other text."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return text
    kinds = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return "\n".join(token.string for token in tokens if token.type in kinds)


@pytest.mark.parametrize("path", [*TEXTS, *SOURCES], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_phrase_is_hard_to_read(path):
    text = re.sub(r"\s+", " ", words(path))
    found = [f"'{match[0]}': write '{plain}'" for one, plain in PHRASES.items() for match in re.finditer(one, text)]
    assert not found


def commands(command, name):
    """A command and all its sub-commands, by their whole names."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for one in command.list_commands(context):
            yield from commands(command.get_command(context, one), f"{name} {one}")
    else:
        yield name, command


PROGRAMS = {"pretrain": pretrain, "finetune": finetune, "analyze": analyze, "checkpoint": checkpoint}
COMMANDS = dict(one for name, module in PROGRAMS.items() for one in commands(module.main, f"a2mim-{name}"))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_has_a_sentence(name):
    for option in COMMANDS[name].params:
        if isinstance(option, click.Option):
            text = re.sub(r"\s*\[default: .*\]$", "", option.help or "", flags=re.DOTALL)
            assert text, option.name
            assert re.match(r"[A-Z0-9'-]|timm\b", text), f"{option.name}: {text}"
            assert text.endswith("."), f"{option.name}: {text}"
