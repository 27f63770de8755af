"""The HTML report and the verdict table: in a real browser, with names that are out to break them."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import html5lib
import pytest
from sample_report import DEBUG, NOT_APPLICABLE, PROVED, TRACE, UNKNOWN, VIOLATED, report
from test_cli import Fake, engine
from test_contract_documents import check_log, compiled

from dentryproof.commands.main import main
from dentryproof.errors import UsageError
from dentryproof.paper.page import checked_pattern, linker, page
from dentryproof.paper.verdicts import verdict_table
from dentryproof.proofs.verdict import ClauseEntry, Opinion, Report, TraceStep
from dentryproof.report.drawing import Box, Line, Picture, Text
from dentryproof.report.pictures import cause_of, lifecycle_picture, trace_picture
from dentryproof.report.svg import svg
from dentryproof.report.tikz import PREAMBLE, tikz
from dentryproof.spec.lifecycle import lifecycle
from dentryproof.spec.vfs import vfs

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["engine"]

EVIL = "\"'><script>document.title='owned'</script><img src=x onerror=document.title='owned'>&amp;{{7*7}}"
PATTERN = "https://example.org/v{file}?h=1#n{line}"
RULE = ClauseEntry(
    "rcu-delay-dentry", f"what {EVIL} says", "always (access(o) -> !once destroyed(o))", (), "all", "x"
)


def hostile() -> Report:
    """A report whose every name is out to become markup."""
    steps = tuple(
        replace(s, function=s.function and f"f{EVIL}", file=s.file and f"fs/{EVIL}/x.c", object=f"d{EVIL}")
        for s in TRACE
    )
    evil = [
        replace(
            r,
            filesystem=f"evil {EVIL}",
            table=f"t{EVIL}",
            object=f"o{EVIL}\x1b[31m\u202e",
            reason=EVIL,
            summary=r.summary and EVIL,
            fix=EVIL,
            assumptions=(EVIL,),
            core=(EVIL,),
            witness=EVIL,
            bound=EVIL,
            trace=r.trace and steps,
        )
        for r in (VIOLATED, PROVED, UNKNOWN)
    ]
    demo = (VIOLATED, DEBUG, PROVED, UNKNOWN, NOT_APPLICABLE)
    return replace(report(*demo, *evil), rules=(RULE,), messages=(EVIL,))


# -- in a browser --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium: the one that is installed."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: dev)")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium is installed")
    with sync_api.sync_playwright() as play:
        running = play.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


@pytest.fixture
def shown(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """The hostile report on a page. Whatever it logs to the console, throws or asks of the network fails the
    test."""
    file = tmp_path / "report.html"
    file.write_text(page(hostile(), PATTERN), encoding="utf-8")
    view = browser.new_page(viewport={"width": 1200, "height": 900})
    wrong: list[str] = []
    view.on("console", lambda message: wrong.append(message.text))
    view.on("pageerror", lambda error: wrong.append(str(error)))
    view.on("request", lambda asked: wrong.append(asked.url) if asked.url != file.as_uri() else None)
    view.goto(file.as_uri())
    yield view
    view.close()
    assert wrong == []


def visible(view: Page) -> list[str]:
    """The ids of the obligations that are to be seen."""
    return [e.get_attribute("id") or "" for e in view.locator("details.result:visible").all()]


def test_opens_and_says_what_there_is(shown: Page) -> None:
    assert shown.title() == "dentryproof: kernel 9.9.9"
    assert shown.locator("#shown").text_content() == "8 of 8 obligations"
    assert len(visible(shown)) == 8
    assert shown.locator(".matrix tbody tr").count() == 2


def test_hostile_names_are_text(shown: Page) -> None:
    assert shown.title() == "dentryproof: kernel 9.9.9"
    assert shown.locator("script").count() == 1 and shown.locator("img").count() == 0
    text = shown.locator("#r6").text_content() or ""
    assert EVIL in text and "49" not in text
    assert "[U+001B]" in text and "[U+202E]" in text
    assert EVIL in (shown.locator("#r6 svg title").first.text_content() or "")


def test_filters_by_name(shown: Page) -> None:
    shown.fill("#name", "DEMO")
    assert visible(shown) == ["r1", "r2", "r3", "r4", "r5"]
    assert shown.locator(".matrix tbody tr:visible").count() == 1
    shown.fill("#name", "no such thing")
    assert visible(shown) == []
    assert shown.locator("#shown").text_content() == "0 of 8 obligations"


def test_filters_by_verdict_and_clause(shown: Page) -> None:
    for verdict in ("proved", "unknown", "not-applicable"):
        shown.uncheck(f"input[value={verdict}]")
    assert visible(shown) == ["r1", "r2", "r6"]
    shown.select_option("#clause", "null-inode")
    assert visible(shown) == []
    shown.check("input[value=proved]")
    assert visible(shown) == ["r3", "r7"]
    assert shown.locator(".matrix thead th[data-clause]:visible").count() == 1


def test_a_trace_is_expanded_by_keyboard(shown: Page) -> None:
    picture = shown.locator("#r1 svg")
    assert not picture.is_visible()
    shown.locator("#r1 > summary").focus()
    shown.keyboard.press("Enter")
    assert picture.is_visible()
    box = picture.bounding_box()
    assert box is not None and box["width"] > 500 and box["height"] > 200


def test_a_cell_leads_to_its_obligation(shown: Page) -> None:
    shown.fill("#name", "demo")
    shown.locator('.matrix tbody tr:visible [data-clause="rcu-delay-dentry"] a').first.click()
    assert shown.locator("#r1 svg").is_visible()
    assert shown.evaluate("document.activeElement.parentElement.id") == "r1"


def test_places_are_links(shown: Page) -> None:
    links = [a.get_attribute("href") or "" for a in shown.locator("#r1 table a").all()]
    assert "https://example.org/vfs/demo/inode.c?h=1#n37" in links
    in_picture = [a.get_attribute("href") or "" for a in shown.locator("#r1 svg a").all()]
    assert in_picture == links
    assert all(
        re.fullmatch(r"https://example\.org/vfs/[\w.%/-]+\?h=1#n\d+", a.get_attribute("href") or "")
        for a in shown.locator("#r6 a").all()
    )


@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_runs_off_the_page(shown: Page, width: int) -> None:
    shown.set_viewport_size({"width": width, "height": 800})
    shown.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    assert shown.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_can_be_read(shown: Page, scheme: str) -> None:
    """Text stands out from its background: a contrast of 4.5 at least (WCAG 2.1, AA)."""
    shown.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    names = ("--dp-ink", "--dp-muted", "--dp-link", "--dp-bad", "--dp-good", "--dp-warn", "--dp-paper")
    style = shown.evaluate(
        "names => names.map(n => getComputedStyle(document.documentElement).getPropertyValue(n).trim())",
        list(names),
    )
    *inks, paper = map(_luminance, style)
    for name, ink in zip(names, inks, strict=False):
        low, high = sorted((ink, paper))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (scheme, name)
    assert (paper < 0.2) == (scheme == "dark")


def _luminance(colour: str) -> float:
    """Relative luminance of ``#rgb`` or ``#rrggbb``."""
    digits = colour.lstrip("#")
    digits = digits if len(digits) == 6 else "".join(2 * d for d in digits)
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_printing_shows_the_traces(shown: Page) -> None:
    shown.emulate_media(media="print")
    shown.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert shown.locator("#r1 svg").is_visible()
    assert not shown.locator("#filters").is_visible()


# -- without one -----------------------------------------------------------------------------------------


def test_the_page_is_valid_and_asks_for_nothing() -> None:
    text = page(hostile(), PATTERN)
    html5lib.HTMLParser(strict=True).parse(text)
    assert not re.search(r"<(link|iframe|object|embed|base)\b|@import|url\((?!#)", text)
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_what_a_proof_can_be_checked_with_is_named() -> None:
    opinions = (Opinion("z3", "unsat"), Opinion("cvc5", "", "gave up"))
    exported = (("smt2", "s/7.smt2"),)
    certified = replace(PROVED, certificate="c/7.lrat", exported=exported, cross_check=opinions)
    text = page(report(certified, replace(UNKNOWN, uncertified="it is unknown")))
    for said in ("c/7.lrat", "s/7.smt2", "z3: unsat", "cvc5: gave up", "none: it is unknown"):
        assert said in text, said


def test_without_a_pattern_there_are_no_links_to_source() -> None:
    assert "example.org" not in page(hostile())
    assert not re.search(r'<a href="(?!#)', page(hostile()))


@pytest.mark.parametrize(
    "pattern",
    [
        "javascript:alert({file})",
        "https://example.org/",
        "https://x/{file}{0}",
        "{file}",
        "https://x/{file",
        "data:{file}",
    ],
)
def test_patterns_that_are_none(pattern: str, capsys: pytest.CaptureFixture[str], engine: Fake) -> None:
    with pytest.raises(UsageError):
        checked_pattern(pattern)
    assert main(["demo", "--format", "html", "--source-url", pattern]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "--source-url" in err and err.count("\n") == 1


def test_a_place_cannot_leave_its_link() -> None:
    assert linker(PATTERN)('a"b c?{line}#', 3) == "https://example.org/va%22b%20c%3F%7Bline%7D%23?h=1#n3"


def test_command_writes_both(engine: Fake, tmp_path: Path) -> None:
    engine.answer = hostile()
    outputs = [f"--output={form}:{tmp_path / form}" for form in ("html", "latex")]
    assert main(["demo", "--source-url", PATTERN, *outputs]) == 1
    assert (tmp_path / "html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert r"\begin{longtable}" in (tmp_path / "latex").read_text(encoding="utf-8")


# -- the verdict table -------------------------------------------------------------------------------------


def test_verdict_table_compiles(tmp_path: Path) -> None:
    check_log(compiled(verdict_table(hostile()), tmp_path))


def test_verdict_table_has_marks_and_notes() -> None:
    text = verdict_table(report(VIOLATED, DEBUG, PROVED, UNKNOWN, NOT_APPLICABLE))
    (row,) = re.findall(r"^demo &.*$", text, re.M)
    first, second = r"\textbf{V}\textsuperscript{1,\allowbreak{}2}", r"$\bullet$\textsuperscript{a}"
    assert row == rf"demo & {first} & {second} & ? & -- \\"
    notes = re.findall(r"\\item\[\\textsuperscript\{(\w+)\}\] (.*)", text)
    assert [n for n, _ in notes] == ["1", "2", "a"]
    assert "(debug build only)" in notes[1][1] and "printk() touches nothing" in notes[2][1]


# -- pictures ------------------------------------------------------------------------------------------------


def drawn(trace: tuple[TraceStep, ...] = TRACE) -> Picture:
    return trace_picture(trace, "a trace", "what it shows")


def _boxes(picture: Picture, role: str) -> list[Box]:
    return [s for s in picture.shapes if isinstance(s, Box) and s.role == role and s.title]


def test_a_picture_has_every_step_and_place() -> None:
    texts = [s for s in drawn().shapes if isinstance(s, Text)]
    said = " ".join(t.text for t in texts)
    for step in TRACE:
        assert (step.note or step.object) in said
    assert {(t.file, t.line) for t in texts if t.file} == {(s.file, s.line) for s in TRACE if s.file}
    assert [t.text for t in texts if t.role == "number"] == [str(s.step) for s in TRACE]
    rows = [t.y for t in texts if t.role == "number"]
    assert rows == sorted(rows)


def test_bars_span_what_they_stand_for() -> None:
    numbers = {t.text: t.y for t in drawn().shapes if isinstance(t, Text) and t.role == "number"}
    (section,) = _boxes(drawn(), "section")
    (lock,) = _boxes(drawn(), "lock")
    assert section.y < numbers["1"] and section.y + section.height > numbers["7"]
    assert numbers["2"] < lock.y < numbers["3"] < numbers["4"] < lock.y + lock.height < numbers["5"]
    assert section.x < lock.x
    (grace,) = _boxes(drawn(), "grace")
    assert numbers["4"] < grace.y < numbers["6"] < grace.y + grace.height


def test_an_arrow_leads_from_the_free_to_the_access() -> None:
    assert cause_of(TRACE) == 5
    (arrow,) = [s for s in drawn().shapes if isinstance(s, Line) and s.role == "cause"]
    numbers = {t.text: t.y for t in drawn().shapes if isinstance(t, Text) and t.role == "number"}
    assert numbers["6"] < arrow.points[0][1] < numbers["7"] < arrow.points[-1][1]


def test_no_text_leaves_its_lane() -> None:
    long = tuple(
        replace(s, note="", object="dentry->" + "d_fsdata->" * 9, file="fs/" + "x" * 70) for s in TRACE
    )
    for picture in (drawn(), drawn(long), lifecycle_picture(lifecycle(vfs("6.1")), "6.1", ["i_lock"])):
        for t in picture.shapes:
            if isinstance(t, Text) and not t.upwards:
                left = t.x - (7.25 * len(t.text) if t.anchor == "end" else 0)
                assert left >= 0 and t.y <= picture.height
                assert t.anchor != "start" or t.x + 7.25 * len(t.text) <= picture.width


def test_an_svg_is_accessible_and_well_formed() -> None:
    root = ElementTree.fromstring(svg(drawn(), "t", linker(PATTERN), alone=True))
    space = "{http://www.w3.org/2000/svg}"
    assert root.get("role") == "img" and root.get("aria-labelledby") == "t-title t-desc"
    described = root.find(f"{space}desc")
    assert described is not None and described.text is not None
    assert all(f"{s.step}. " in described.text for s in TRACE)


def test_tikz_compiles_on_a_page(tmp_path: Path) -> None:
    evil = tuple(replace(s, function="f_$%&{}", note=EVIL) for s in TRACE * 6)
    pictures = (drawn(), drawn(evil), lifecycle_picture(lifecycle(vfs("5.0")), "5.0"))
    head = r"\documentclass[a4paper]{article}\usepackage[margin=2cm]{geometry}\pagestyle{empty}"
    body = r"\clearpage ".join(rf"\noindent {tikz(p)}" for p in pictures)
    log = compiled(rf"{head}{PREAMBLE}\begin{{document}}{body}\end{{document}}", tmp_path)
    check_log(log)
    assert "Overfull \\vbox" not in log and "(3 pages" in log
