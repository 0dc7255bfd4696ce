"""The writing of HTML: words escaped, cells that sort, names that wrap."""

import struct

import numpy as np

from a2mim.analysis.report import html
from a2mim.analysis.report.model import Cell, Entry, Page, Picture, Table

PARTS = html.templates().get_template("parts.html.j2").module


def test_words_are_escaped_and_signs_that_hide_are_shown():
    assert html.words('<a href="x">&\'') == "&lt;a href=&quot;x&quot;&gt;&amp;&#x27;"
    assert html.words("a\u202eb\x00") == "a\\u202eb\\u0000"
    assert html.words("Größe, 日本") == "Größe, 日本"


def test_tables_carry_what_they_are_sorted_by():
    table = Table(
        "Numbers",
        ("Name", "Value"),
        ((Cell("a"), Cell("−1.5", np.float64(-1.5))), (Cell("b"), Cell("–", float("nan")))),
    )
    text = str(PARTS.table(table))
    assert '<th scope="col" class="number">Value</th>' in text
    assert '<td class="number" data-value="-1.5">−1.5</td>' in text
    assert '<td class="number">–</td>' in text
    assert '<th scope="row">a</th>' in text
    assert 'role="region" tabindex="0" aria-label="Numbers"' in text


def test_long_names_may_break_and_intervals_may_not():
    assert html.breakable("vit-small-pretrained") == "vit-<wbr>small-<wbr>pretrained"
    assert html.breakable("0.5 (0.4 to 0.6), layer4.0") == "0.5&nbsp;(0.4&nbsp;to&nbsp;0.6), layer4.0"
    assert html.breakable("<b>-long-name-here") == "&lt;b&gt;-<wbr>long-<wbr>name-<wbr>here"


def test_pictures_have_their_size_and_words():
    png = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 1000, 600)
    text = str(PARTS.picture(Picture(png, 'shows "this"', "A caption")))
    assert 'alt="shows &quot;this&quot;" width="550" height="330"' in text
    assert "<figcaption>A caption</figcaption>" in text


def test_a_problem_stands_in_the_place_of_its_analysis():
    broken = Entry("variance", "Variance", "x/variance.csv", problem="it is <empty>")
    text = html.render(Page("Title", {"Written": "today"}, None, [broken], []))
    assert "<strong>Cannot be used:</strong> it is &lt;empty&gt;" in text
    assert '<a href="#analyses-0">Variance</a> <span class="broken">cannot be used</span>' in text
    assert "Training runs" not in text
    assert "<h1>Title</h1>" in text
