"""The page in a real browser: no error, no request, sorting and large pictures by keyboard, on a phone, in print."""

import re

import browser
import page_results
import pytest

from a2mim.analysis.report import page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(browser.PROGRAM is None, reason="no Chromium is installed (apt install chromium)"),
]
LONG = "net-" + "x" * 196


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = page_results.everything(tmp_path_factory.mktemp("work"))
    page_results.occlusion(folder / "long", {LONG: (0.5, 0.4, 0.1), "<i>b</i>": (0.9, 0.4, 0.1)})
    (folder / "broken").mkdir()
    (folder / "broken" / "variance.csv").write_text("a,b\n1,2\n")
    return page.write_page([folder], folder / "report.html")


@pytest.fixture(scope="module")
def shown(report, tmp_path_factory):
    found = browser.Browser(tmp_path_factory.mktemp("profile"))
    found.open(report)
    yield found
    found.close()


def test_nothing_is_asked_for_but_the_file_and_no_error_is_said(shown, report):
    assert [url for url in shown.requests if not url.startswith("data:image/png")] in (
        [report.as_uri()],
        [report.as_uri(), "data:,"],
    )
    assert shown.said == []
    assert shown.value("document.querySelectorAll('th button').length") > 20  # the script ran
    assert shown.value("[...document.images].every(i => !i.getAttribute('src') || i.naturalWidth > 0)")


def test_tables_sort_by_keyboard(shown):
    column = """(() => {
      const all = [...document.querySelectorAll('table')];
      window.chosen = all.find(t => t.caption.textContent.includes('hidden') && t.textContent.includes('net-a'));
      return [...chosen.tBodies[0].rows].map(r => r.cells[0].textContent) })()"""
    assert shown.value(column) == ["net-a", "net-b"]
    shown.value("chosen.tHead.rows[0].cells[3].querySelector('button').focus()")
    shown.press("Enter")
    order = "[[...chosen.tBodies[0].rows].map(r => r.cells[0].textContent), chosen.tHead.rows[0].cells[3].ariaSort]"
    assert shown.value(order) == [["net-b", "net-a"], "ascending"]
    shown.press(" ")
    assert shown.value(order) == [["net-a", "net-b"], "descending"]
    shown.value("chosen.tHead.rows[0].cells[0].querySelector('button').focus()")
    shown.press("Enter")
    assert shown.value(order) == [["net-a", "net-b"], None]
    assert shown.value("chosen.tHead.rows[0].cells[0].ariaSort") == "ascending"


def test_numbers_sort_by_their_value_and_what_is_none_comes_last(shown):
    shown.value(
        "window.t = [...document.querySelectorAll('table')].find(t => t.caption.textContent == 'Final numbers');"
        "t.tHead.rows[0].cells[3].querySelector('button').focus()"
    )
    order = "[...t.tBodies[0].rows].map(r => r.cells[3].textContent)"
    for expected in (["2", "2", "3", "–"], ["3", "2", "2", "–"]):
        shown.press("Enter")
        assert shown.value(order) == expected


def test_pictures_enlarge_by_enter_and_close_by_escape(shown):
    shown.value("document.querySelector('figure button').focus()")
    shown.press("Enter")
    large = "document.getElementById('large')"
    assert shown.value(
        f"[{large}.open, {large}.querySelector('img').alt == document.querySelector('figure img').alt]"
    ) == [
        True,
        True,
    ]
    assert shown.value(f"{large}.querySelector('img').naturalWidth") > 400
    shown.press("Escape")
    assert shown.value(f"[{large}.open, document.activeElement === document.querySelector('figure button')]") == [
        False,
        True,
    ]


def test_the_first_tab_offers_to_skip_to_the_results(report, shown):
    shown.open(report)
    shown.press("Tab")
    assert shown.value("document.activeElement.textContent") == "Skip to the results"
    assert shown.value("document.activeElement.getBoundingClientRect().left") >= 0
    shown.press("Enter")
    assert shown.value("document.activeElement.id") == "main"


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_window(report, shown, width):
    shown.open(report, width=width, mobile=width < 500)
    assert shown.value("[innerWidth, document.documentElement.scrollWidth]") == [width, width]
    wide = (
        "[...document.querySelectorAll('h1,h2,h3,h4,p,li,dd,pre,img,caption span')].filter(e => !e.closest('.hidden')"
        f"&& e.getBoundingClientRect().right > {width}).map(e => e.outerHTML.slice(0, 80))"
    )
    assert shown.value(wide) == []


def test_in_print_nothing_is_cut_and_what_is_folded_is_seen(report, shown):
    shown.open(report, width=720)
    shown.media("print")
    assert shown.value("[...document.querySelectorAll('.table')].every(t => t.scrollWidth <= t.clientWidth)")
    assert shown.value("[...document.querySelectorAll('details dl')].every(e => e.getBoundingClientRect().height > 20)")
    assert shown.value("getComputedStyle(document.querySelector('.skip')).display") == "none"
    shown.media()


@pytest.mark.parametrize("dark", [False, True])
def test_words_stand_out_from_their_ground(report, shown, dark):
    """WCAG 2.2, AA: 4.5 to 1; computed from the colours that the browser uses."""
    shown.open(report, dark=dark)
    pairs = shown.value(
        """(() => {
          const words = 'h1, h2, h3, h4, p, a, dt, dd, td, th, th button, pre, figcaption, summary, strong, .broken';
          return [...document.querySelectorAll(words)].map(e => {
            let ground = e;
            const clear = () => getComputedStyle(ground).backgroundColor === 'rgba(0, 0, 0, 0)';
            while (ground.parentElement && clear()) ground = ground.parentElement;
            return [getComputedStyle(e).color, getComputedStyle(ground).backgroundColor] + '' })})()"""
    )
    assert len(pairs) > 100
    for pair in set(pairs):
        numbers = [int(value) for value in re.findall(r"\d+", pair)]
        assert contrast(numbers[:3], numbers[3:6]) >= 4.5, pair


def contrast(one, other):
    def luminance(colour):
        shares = [value / 255 for value in colour]
        linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_what_would_be_fetched_is_refused(report, shown):
    """The policy holds: even a script that ran could load and send nothing."""
    shown.open(report)
    shown.requests.clear()
    tried = "fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')"
    assert shown.value(tried) == "refused"
    assert any("Content Security Policy" in line for line in shown.said)
    assert not any(url.startswith("http") for url in shown.requests)
