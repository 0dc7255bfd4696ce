import re

from a2mim.figures.table_text import escape_latex, escape_markdown, latex, markdown
from a2mim.figures.tables import Cell, Grid

GRID = Grid(
    "Top-1",
    "Method",
    [("ours", "linear"), ("paper: X", "FT"), ("paper: X", "Lin.")],
    [
        ("A²MIM", [Cell("80.00 ± 0.50", 80.0, 1), Cell("1.0", 1.0, 2), Cell()]),
        ("a_b|c $x$ <i>", [Cell("70.00", 70.0), Cell("−1"), Cell()]),
    ],
    ["100 % sure."],
)


def test_markdown():
    assert markdown([GRID]) == (
        "### Top-1\n\n"
        "| Method | ours: linear | paper: X: FT | paper: X: Lin. |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| A²MIM | **80.00 ± 0.50** | <u>1.0</u> | – |\n"
        "| a\\_b\\|c \\$x\\$ \\<i\\> | 70.00 | −1 | – |\n\n"
        "* 100 % sure.\n"
    )


def test_latex():
    text = latex([GRID], "table1")
    assert "\\label{tab:table1}" in text
    assert "\\begin{tabular}{lrrr}" in text
    assert " & \\multicolumn{1}{c}{ours} & \\multicolumn{2}{c}{paper: X} \\\\" in text
    assert "\\cmidrule(lr){2-2} \\cmidrule(lr){3-4}" in text
    assert "A$^2$MIM & \\textbf{80.00 $\\pm$ 0.50} & \\underline{1.0} & -- \\\\" in text
    assert "a\\_b\\textbar{}c \\$x\\$ \\textless{}i\\textgreater{} & 70.00 & $-$1 & -- \\\\" in text
    assert "100 \\% sure." in text
    for command in ("toprule", "midrule", "bottomrule"):
        assert text.count(f"\\{command}") == 1
    braces = re.sub(r"\\[{}]", "", text)
    assert braces.count("{") == braces.count("}")
    assert latex([GRID, GRID], "t").count("\\label{tab:t-") == 2


def test_signs_are_shown_as_they_are():
    assert escape_latex(r"50% & #1_{a}~^\x") == (
        r"50\% \& \#1\_\{a\}\textasciitilde{}\textasciicircum{}\textbackslash{}x"
    )
    assert escape_latex("+ L_freq without ω") == r"+ $\mathcal{L}_{freq}$ without $\omega$"
    assert escape_latex("L_frequency") == r"L\_frequency"
    assert escape_markdown("a\n*b*") == r"a \*b\*"


def test_long_names_are_shortened():
    grid = Grid("T", "Method", [("ours", "x" * 200)], [("y" * 200, [Cell("1")])], [])
    for text in (markdown([grid]), latex([grid], "t")):
        assert "x" * 61 not in text
        assert "y" * 61 not in text
