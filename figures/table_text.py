"""The tables of the paper and of a user's own results as Markdown and as LaTeX (booktabs)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import groupby

from . import methods
from .tables import Cell, Grid

NAME_LIMIT = 60
_LATEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "²": r"$^2$",
    "ω": r"$\omega$",
    "−": "$-$",
    "–": "--",
    "…": r"\ldots{}",
    "[": "{[}",  # after a line break it would start an argument
    "]": "{]}",
}
_MATHEMATICS = {"L_spa": r"$\mathcal{L}_{spa}$", "L_freq": r"$\mathcal{L}_{freq}$"}


def markdown(grids: Sequence[Grid]) -> str:
    """The grids as Markdown tables, each with its title above and its notes below."""
    parts = []
    for grid in grids:
        heads = [grid.first, *(f"{group}: {header}" for group, header in _shown(grid))]
        lines = [[escape_markdown(head) for head in heads], ["---", *["---:"] * len(grid.columns)]]
        for label, cells in grid.rows:
            marked = [_marked(cell, escape_markdown, ("**{}**", "<u>{}</u>")) for cell in cells]
            lines.append([escape_markdown(methods.shorten(label, NAME_LIMIT)), *marked])
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        notes = "\n".join(f"* {escape_markdown(note)}" for note in grid.notes)
        parts.append(f"### {escape_markdown(grid.title)}\n\n{table}\n\n{notes}\n")
    return "\n".join(parts)


def latex(grids: Sequence[Grid], label: str) -> str:
    """The grids as LaTeX tables (packages booktabs and graphicx), each with its caption and notes."""
    parts = ["% needs \\usepackage{booktabs,graphicx}"]
    for number, grid in enumerate(grids):
        shown = _shown(grid)
        lines = [*_heads(grid, shown)]
        for name, cells in grid.rows:
            marked = [_marked(cell, escape_latex, (r"\textbf{{{}}}", r"\underline{{{}}}")) for cell in cells]
            lines.append(" & ".join([escape_latex(methods.shorten(name, NAME_LIMIT)), *marked]) + r" \\")
        body = "\n".join(f"  {line}" for line in lines)
        notes = " ".join(escape_latex(note) for note in grid.notes)
        suffix = f"-{number + 1}" if len(grids) > 1 else ""
        parts.append(
            "\\begin{table*}\n\\centering\n"
            f"\\caption{{{escape_latex(grid.title)}. {notes}}}\n\\label{{tab:{label}{suffix}}}\n"
            f"\\resizebox{{\\ifdim\\width>\\textwidth\\textwidth\\else\\width\\fi}}{{!}}{{%\n"
            f"\\begin{{tabular}}{{l{'r' * len(shown)}}}\n  \\toprule\n{body}\n  \\bottomrule\n\\end{{tabular}}}}\n"
            "\\end{table*}"
        )
    return "\n\n".join(parts) + "\n"


def escape_markdown(text: str) -> str:
    """Escape text for Markdown, on one line."""
    return re.sub(r"([\\`*_{}\[\]<>#|$~])", r"\\\1", " ".join(text.split()))


def escape_latex(text: str) -> str:
    """Escape text for LaTeX; the names of the paper's losses become formulas."""
    words = re.split(rf"({'|'.join(_MATHEMATICS)})(?![A-Za-z0-9_])", " ".join(text.split()))
    return "".join(
        _MATHEMATICS[word] if word in _MATHEMATICS else "".join(_LATEX.get(character, character) for character in word)
        for word in words
    )


def _shown(grid: Grid) -> list[tuple[str, str]]:
    return [(methods.shorten(group, NAME_LIMIT), methods.shorten(header, NAME_LIMIT)) for group, header in grid.columns]


def _heads(grid: Grid, shown: Sequence[tuple[str, str]]) -> list[str]:
    """Two header lines: the groups over their columns, then the columns."""
    above, rules, start = [""], [], 2
    for group, members in groupby(shown, key=lambda column: column[0]):
        count = len(list(members))
        above.append(f"\\multicolumn{{{count}}}{{c}}{{{escape_latex(group)}}}")
        rules.append(f"\\cmidrule(lr){{{start}-{start + count - 1}}}")
        start += count
    below = [escape_latex(grid.first), *(escape_latex(header) for _, header in shown)]
    return [" & ".join(above) + r" \\", " ".join(rules), " & ".join(below) + r" \\", r"\midrule"]


def _marked(cell: Cell, escape: Callable[[str], str], looks: tuple[str, str]) -> str:
    text = escape(cell.text)
    return looks[cell.rank - 1].format(text) if cell.rank else text
