"""The whole page: what it holds of good and of broken files, that all is escaped, that it stays small."""

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import page_results
import pytest
from click.testing import CliRunner
from PIL import Image

from a2mim.analysis.probes import record
from a2mim.analysis.report import model, page
from a2mim.commands import analyze
from a2mim.errors import InputError

VOID = ("meta", "link", "img", "wbr", "br")


class Reader(HTMLParser):
    """Tags that are closed in order, headings, ids, links, and the text of each table."""

    def __init__(self, text):
        super().__init__()
        self.open, self.headings, self.ids, self.links, self.sources, self.tags = [], [], [], [], [], []
        self.tables = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append((tag, values))
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values["href"]] if tag == "a" else []
        self.sources += [values[name] for name in ("src", "srcset", "data", "action") if name in values]
        if re.fullmatch(r"h\d", tag):
            self.headings.append(int(tag[1]))
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data.replace("\xa0", " ")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = page_results.everything(tmp_path_factory.mktemp("work"))
    return page.write_page([folder], folder / "report.html").read_text()


def test_the_page_holds_each_analysis_with_its_numbers(whole):
    reader = Reader(whole)
    tables = {table[0][-1] + table[0][0]: table for table in reader.tables}
    accuracy = next(table for table in reader.tables if "50% hidden" in table[0])
    assert accuracy[0] == ["Checkpoint", "Images", "0% hidden", "50% hidden", "100% hidden"]
    assert accuracy[1] == ["net-a", "50", "80.0 (75.0 to 85.0)", "60.0 (55.0 to 65.0)", "10.0 (5.0 to 15.0)"]
    final = next(table for table in reader.tables if table[0][0] == "Measure")
    assert ["Top-1 (%)", "55.00", "60.00", "2"] in final
    assert len(tables) > 5
    assert len([one for tag, one in reader.tags if tag == "img" and one.get("src")]) == 5 + 1 + 3 + 1


def test_headings_links_and_languages_are_sound(whole):
    reader = Reader(whole)
    assert reader.headings[0] == 1
    assert all(later <= earlier + 1 for earlier, later in zip(reader.headings, reader.headings[1:], strict=False))
    assert len(set(reader.ids)) == len(reader.ids)
    assert all(link.startswith("#") and link[1:] in reader.ids for link in reader.links)
    assert ("html", {"lang": "en"}) in reader.tags
    assert all(len(one["alt"]) > 30 for tag, one in reader.tags if tag == "img" and one.get("src"))
    assert len({link for link in reader.links if re.match(r"#(analyses|runs)-\d", link)}) == 5 + 4


def test_nothing_is_fetched(whole):
    reader = Reader(whole)
    assert all(source.startswith("data:image/png;base64,") for source in reader.sources)
    assert [one["href"] for tag, one in reader.tags if tag == "link"] == ["data:,"]
    policy = next(one["content"] for _, one in reader.tags if one.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    assert not re.search(r"url\(|@import|https?://", re.sub(r'"data:[^"]*"', "", whole))


def test_names_from_files_are_escaped(tmp_path):
    name = "<script>alert(1)</script>&\"'" + "x" * 200
    page_results.occlusion(tmp_path / "results", {name: (0.8, 0.6, 0.1), "\u202egnp.exe": (0.1, 0.1, 0.1)})
    text = page.write_page([tmp_path], tmp_path / "out.html", title="<b>mine</b>").read_text()
    reader = Reader(text)
    assert [tag for tag, _ in reader.tags].count("script") == 1
    assert "<b>" not in text
    assert "\u202e" not in text
    assert name in [row[0] for table in reader.tables for row in table]
    assert "\\u202egnp.exe" in text


def test_one_broken_analysis_does_not_cost_the_page_of_the_others(tmp_path):
    page_results.occlusion(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "variance.csv").write_text("a,b\n1,2\n")
    (tmp_path / "bad" / "spectrum.csv").write_text("")
    (tmp_path / "bad" / "interactions.parts").mkdir()
    (tmp_path / "none").mkdir()
    result = page.gather([tmp_path, tmp_path / "none"])
    problems = {entry.kind: entry.problem for entry in result.analyses}
    assert problems["occlusion"] == ""
    assert problems["variance"].startswith("variance.csv lacks the columns checkpoint, layer, variance, depth")
    assert problems["spectrum"] == "spectrum.csv is empty"
    assert "interactions.csv is not" in problems["unfinished"]
    assert result.notes == [f"{tmp_path / 'none'}: nothing to report on; the folder is empty"]
    text = page_text(result)
    assert text.count("Cannot be used:") == 3
    assert "3 that cannot be used" in text


def page_text(result):
    return page.within_limit(result)


def test_with_nothing_that_can_be_used_it_says_what_was_looked_for_and_found(tmp_path):
    (tmp_path / "occlusion.csv").write_text("checkpoint,run\n")
    with pytest.raises(InputError, match=r"looked for .*occlusion\.csv.*found .*lacks the columns ratio, accuracy"):
        page.write_page([tmp_path], tmp_path / "out.html")
    assert not (tmp_path / "out.html").exists()
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"nothing to report on among notes\.txt"):
        page.write_page([empty], tmp_path / "out.html")
    with pytest.raises(InputError, match="is a folder; name the file"):
        page.write_page([page_results.occlusion(tmp_path / "r")], empty)


def test_a_fault_in_one_section_is_told_in_its_place(tmp_path, monkeypatch):
    page_results.occlusion(tmp_path)
    page_results.layers(tmp_path, "variance")
    broken = dataclasses.replace(record.VARIANCE, numbers=lambda _: {}["gone"])
    monkeypatch.setattr(record, "VARIANCE", broken)
    broken = page.gather([tmp_path]).analyses[1]
    assert broken.problem == "variance.csv could not be read: KeyError: 'gone'"


def test_the_page_stays_below_its_limit_and_says_that_pictures_are_smaller(tmp_path, monkeypatch):
    page_results.occlusion(tmp_path)
    result = page.gather([tmp_path])
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8))
    noise.save(tmp_path / "noise.png")
    result.analyses[0].pictures *= 3
    result.analyses[0].pictures[0] = model.Picture((tmp_path / "noise.png").read_bytes(), "noise " * 9, "noise")
    monkeypatch.setattr(page, "LIMIT", 200_000)
    text = page.within_limit(result)
    assert len(text.encode()) < 200_000
    assert re.search(r"The 3 pictures are shown at \d+% of their size", text)


def test_the_command_writes_the_page_and_says_where(tmp_path):
    page_results.occlusion(tmp_path / "results")
    output = tmp_path / "deep" / "page.html"
    given = ["report", str(tmp_path), str(tmp_path / "results" / "occlusion.csv"), "--output", str(output)]
    result = CliRunner().invoke(analyze.main, [*given, "--title", "Mine"])
    assert result.output == f"{output}\n"
    assert "<h1>Mine</h1>" in output.read_text()
    assert output.read_text().count("<h3 ") == 1
    result = CliRunner().invoke(analyze.main, ["report", str(tmp_path / "gone")])
    assert result.exit_code == 2
    assert re.match(r"error: \S+gone does not exist; a report is made of", result.output)


def test_the_head_says_what_when_and_by_which_versions(tmp_path):
    page_results.everything(tmp_path)
    (tmp_path / "about.json").write_text('{"scale": "demo", "machine": "2 cores", "commands": ["one", "two"]}')
    facts = page.gather([tmp_path]).facts
    assert facts["Contains"] == "5 analyses, 3 training runs"
    assert facts["Images"] == "50 of the embedded images of Fashion-MNIST (val)"
    assert facts["Seeds"] == "0; 3; 5; 1"
    assert facts["Versions"] == "python 3.11.7, torch 2.9"
    assert facts["Measured"] == "2026-01-02 03:04 UTC"
    assert (facts["Scale"], facts["Machine"], facts["Commands"]) == ("demo", "2 cores", "one; two")
    networks = page.gather([tmp_path]).networks
    assert [cell.text for cell in networks.rows[0]] == [
        *("net-a", "resnet10t", "0.51", "a2mim, finetune", "3", "100.0 %"),
        "interactions, occlusion, spectrum, variance, reconstruct",
    ]


def test_the_demo_of_the_repository_makes_a_page():
    results = Path(__file__).parents[3] / "experiments" / "results" / "demo"
    entries = page.gather([results]).analyses
    assert [entry.kind for entry in entries] == ["interactions", "occlusion", "spectrum", "variance", "reconstruct"]
    assert all("its settings and command are not known" in " ".join(entry.notes) for entry in entries)


def test_an_analysis_of_another_package_has_its_section(tmp_path, monkeypatch):
    page_results.register_sharpness(monkeypatch)
    rows = [dict(checkpoint=name, sharpness=value, n_images=4) for name, value in (("net-a", 0.25), ("net-b", 1.5))]
    path = page_results.write(tmp_path, "sharpness", rows, {"order": 2}, conclusions=["net-b is sharper by 1.25"])
    (made,) = page.gather([tmp_path]).analyses
    assert (made.title, made.problem, made.notes) == ("Sharpness of the maps", "", [])
    assert made.reading == "The higher, the sharper."
    assert made.pictures[0].alt == "Bars of sharpness, of net-a, net-b."
    assert page_results.texts(made.tables[0]) == [["net-a", "0.25", "4"], ["net-b", "1.5", "4"]]
    assert made.findings == ["net-b is sharper by 1.25"]
    assert page.gather([path.rename(tmp_path / "other.csv")]).analyses[0].title == "Sharpness of the maps"
    path.with_name("other.csv").rename(path)
    text = page.write_page([path], tmp_path / "page.html").read_text()
    assert '<td class="number" data-value="0.25">0.25</td>' in text


def test_an_analysis_that_cannot_be_loaded_says_so_in_its_place(tmp_path, monkeypatch):
    page_results.register_sharpness(monkeypatch, "gone:SHARPNESS")
    page_results.occlusion(tmp_path)
    page_results.write(tmp_path, "sharpness", [dict(checkpoint="net-a", sharpness=1.0)])
    problems = {entry.kind: entry.problem for entry in page.gather([tmp_path]).analyses}
    assert problems["occlusion"] == ""
    assert problems["sharpness"].startswith("analysis 'sharpness' of gone:SHARPNESS cannot be loaded")
