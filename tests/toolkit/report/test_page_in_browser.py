"""The page in a real browser: headless Chromium, as a reader has it. Skipped where there is none."""

from __future__ import annotations

import base64
import re
import shutil
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.toolkit.report.synthetic_run import synthetic, write_clips
from tests.toolkit.report.synthetic_stack import stack
from tests.toolkit.search.made_versions import result, version
from tests.toolkit.serve.chromium import PROGRAM, Chromium
from toolkit.report import write_report
from toolkit.report.search_page import render_search
from toolkit.report.stack_page import render_stack

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium (Debian: chromium)")

AUDIT = Path(__file__).with_name("page_audit.js").read_text(encoding="utf-8")
NARROW_PX = 360
WIDE_PX = 1200
PAPER_PX = 695
"""A4 less the margins, at 96 pixels an inch."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """One run that passes, with audio, one that fails, a search, and a stack."""
    folder = tmp_path_factory.mktemp("reports")
    write_clips(synthetic(), folder / "passing")
    passing = write_report(synthetic(), folder / "passing").html
    found = {"passing": passing, "failing": write_report(synthetic(failing=True), folder / "failing").html}
    versions = (version(1, score=20, size=80, ms=10), version(2, score=30, size=120, ms=15))
    (folder / "search").mkdir()
    found["search"] = folder / "search/index.html"
    found["search"].write_text(render_search(result(*versions, best=1, front=(1, 2))), encoding="utf-8")
    (folder / "stack/audio").mkdir(parents=True)
    for path in (path for clip in stack().clips for path in clip.paths.values()):
        shutil.copyfile(next((folder / "passing").rglob("*.flac")), folder / "stack" / path)
    found["stack"] = folder / "stack/index.html"
    found["stack"].write_text(render_stack(stack()), encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile"), "--allow-file-access-from-files", "--disable-gpu") as browser:
        yield browser


def shown(browser: Chromium, page: Path, *, width_px: int = WIDE_PX, scheme: str = "light", media: str = "") -> None:
    """Loads the page as one reader sees it; details are opened, since what is folded is read too."""
    browser.console.clear()
    browser.call(
        "Emulation.setDeviceMetricsOverride", width=width_px, height=1400, deviceScaleFactor=1, mobile=width_px < 600
    )
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.call("Emulation.setEmulatedMedia", media=media, features=features)
    browser.call("Page.navigate", url=page.as_uri())
    browser.wait_for("document.readyState === 'complete' && document.querySelector('footer') !== null", 60)
    browser.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")


@pytest.mark.parametrize("name", ["passing", "failing", "search", "stack"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width_px", [WIDE_PX, NARROW_PX])
def test_audit_finds_nothing_and_the_console_is_empty(browser, pages, name, scheme, width_px):
    shown(browser, pages[name], width_px=width_px, scheme=scheme)
    assert browser.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")
    assert browser.evaluate(AUDIT) == []
    assert browser.console == []


DEFECTS = {
    "no alt text": ("</main>", '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw="></main>'),
    "heading jumps": ("</main>", "<h6>deep</h6></main>"),
    "chart without a name": ("</main>", '<svg width="9" height="9"><rect width="9" height="9"/></svg></main>'),
    "contrast": ("</main>", '<p style="color: #999; background: #aaa">pale</p></main>'),
    "px wide on": ("</main>", '<div style="width: 3000px">wide</div></main>'),
    "no label": ("</main>", "<audio controls></audio></main>"),
    "link to nowhere": ("</main>", '<a href="#gone">there</a></main>'),
    "id twice": ("</main>", '<p id="verdict">again</p></main>'),
    "labels overlap": (
        "</main>",
        '<svg role="img" aria-label="x"><text x="9" y="20">one</text><text x="12" y="20">two</text></svg></main>',
    ),
    "no language": ('<html lang="en">', "<html>"),
    "table without headers": ("</main>", "<table><tr><td>1</td></tr></table></main>"),
}


@pytest.fixture(scope="module")
def defective(pages) -> dict[str, Path]:
    text = pages["failing"].read_text(encoding="utf-8")
    found = {}
    for number, (defect, (old, new)) in enumerate(DEFECTS.items()):
        assert old in text
        found[defect] = pages["failing"].with_name(f"defect-{number}.html")
        found[defect].write_text(text.replace(old, new, 1), encoding="utf-8")
    return found


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_audit_finds_each_defect(browser, defective, defect):
    shown(browser, defective[defect], width_px=NARROW_PX)
    found = browser.evaluate(AUDIT)
    assert any(defect in line for line in found), found


def test_an_error_in_the_console_is_noticed(browser, pages):
    text = pages["failing"].read_text(encoding="utf-8")
    broken = pages["failing"].with_name("broken.html")
    broken.write_text(text.replace("</main>", '<img src="gone.png" alt=""></main>', 1), encoding="utf-8")
    shown(browser, broken)
    assert any("gone.png" in line for line in browser.console)


def settled_shot(browser: Chromium, path: Path, seconds: float = 60) -> bytes:
    """The page when it has stopped changing: a busy machine draws it piece by piece, some after it has loaded.

    Raises:
        TimeoutError: it goes on changing.
    """
    browser.wait_for("document.readyState === 'complete' && document.querySelector('footer') !== null", 60)
    end, before = time.monotonic() + seconds, b""
    while True:
        browser.screenshot(path)
        now = path.read_bytes()
        if now == before:
            return now
        if time.monotonic() > end:
            raise TimeoutError(f"{path.name}: the page does not come to rest")
        before = now
        time.sleep(0.3)


def without_scripts_it_looks_the_same(browser: Chromium, page: Path, folder: Path) -> bool:
    shots = []
    for name in ("with", "without"):
        browser.call("Emulation.setScriptExecutionDisabled", value=name == "without")
        try:
            browser.call(
                "Emulation.setDeviceMetricsOverride", width=WIDE_PX, height=1400, deviceScaleFactor=1, mobile=False
            )
            browser.call("Page.navigate", url=page.as_uri())
            shots.append(settled_shot(browser, folder / f"{name}.png"))
        finally:
            browser.call("Emulation.setScriptExecutionDisabled", value=False)
    return shots[0] == shots[1]


def test_without_scripts_the_page_looks_the_same(browser, pages, tmp_path):
    assert without_scripts_it_looks_the_same(browser, pages["passing"], tmp_path)


def test_a_page_that_needs_its_script_is_noticed(browser, pages, tmp_path):
    """The twin: one word that a script writes."""
    text = pages["passing"].read_text(encoding="utf-8")
    written = pages["passing"].with_name("written.html")
    said = "<script>document.querySelector('h1').append(' and more')</script></body>"
    written.write_text(text.replace("</body>", said, 1), encoding="utf-8")
    assert not without_scripts_it_looks_the_same(browser, written, tmp_path)


def test_a_page_that_never_rests_is_an_error(browser, pages, tmp_path):
    text = pages["passing"].read_text(encoding="utf-8")
    restless = pages["passing"].with_name("restless.html")
    ticking = "<script>setInterval(() => document.querySelector('h1').append('.'), 20)</script></body>"
    restless.write_text(text.replace("</body>", ticking, 1), encoding="utf-8")
    browser.call("Page.navigate", url=restless.as_uri())
    with pytest.raises(TimeoutError, match="does not come to rest"):
        settled_shot(browser, tmp_path / "restless.png", seconds=2)


def test_printed_it_is_dark_on_white_and_whole(browser, pages):
    shown(browser, pages["passing"], width_px=PAPER_PX, scheme="dark", media="print")
    colour = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colour in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)"), colour
    assert browser.evaluate(AUDIT) == []
    assert browser.evaluate("[...document.querySelectorAll('h2')].every((h) => h.checkVisibility())")
    pdf = base64.b64decode(browser.call("Page.printToPDF", printBackground=False)["data"])
    assert pdf.startswith(b"%PDF-")
    count = len(re.findall(rb"/Type\s*/Page\b", pdf)) or _compressed_pages(pdf)
    assert 3 <= count <= 40


def _compressed_pages(pdf: bytes) -> int:
    blocks = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.S)
    text = b"".join(zlib.decompress(block) for block in blocks if block.startswith(b"x"))
    return len(re.findall(rb"/Type\s*/Page\b", text))
