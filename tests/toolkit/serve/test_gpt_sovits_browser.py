"""The page of a GPT-SoVITS bundle in a real browser: its five kinds of graphs, its chunks, its samples.

Needs Chromium and LiteRT.js, as ``test_browser`` does; else it is skipped.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.toolkit.serve.chromium import Chromium
from tests.toolkit.serve.made_gpt_sovits import CHUNK, GRAPHS, HOP, RATE, SAID, USER, make_gpt_sovits
from tests.toolkit.serve.test_browser import _missing, browser, errors, opened, ran  # noqa: F401 (a fixture)
from toolkit.serve.litertjs import default_directory
from toolkit.serve.open_page import VoiceSettings, open_page
from toolkit.serve.server import PageServer

STATE = "document.documentElement?.dataset.state"
pytestmark = pytest.mark.skipif(bool(_missing()), reason=_missing() or "both are there")


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[PageServer]:
    bundle, database = make_gpt_sovits(tmp_path_factory.mktemp("gpt-sovits"))
    settings = VoiceSettings(threads=1, phones=SAID, user_id=USER, database=database)
    with open_page(bundle, litertjs=default_directory(), port=0, settings=settings) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_browser_sings_what_python_sings(browser: Chromium, server: PageServer) -> None:  # noqa: F811
    opened(browser, server)
    result = ran(browser, "wasm")
    assert set(result["graphs"]) == GRAPHS and result["errors"] == {}
    assert min(graph["snr_db"] for graph in result["graphs"].values()) > 90
    assert result["snr_db"] > 90 and result["samples"] > CHUNK * HOP  # several chunks
    assert result["samples"] % (2 * HOP) == 0
    assert browser.evaluate("document.getElementById('badge').textContent") == "✓ RAN HERE"
    duration = "new Promise(r => { const a = new Audio(document.getElementById('browser-audio').src);"
    seconds = browser.evaluate(duration + " a.onloadedmetadata = () => r(a.duration); a.onerror = () => r(-1) })")
    assert seconds == pytest.approx(result["samples"] / RATE, abs=1e-3)
    assert "five tiny networks as anna" in browser.evaluate("document.body.textContent")
    assert errors(browser) == []


def test_two_sentences_are_said_and_an_unknown_phone_is_explained(
    browser: Chromium,  # noqa: F811
    server: PageServer,
) -> None:
    opened(browser, server)
    ask = "document.getElementById('asked').value = '{}'; document.getElementById('say').click()"
    browser.evaluate(ask.format("7 8 9 10 11 | 12 13 14 15"))
    browser.wait_for(f"{STATE} === 'ready' && document.getElementById('said').textContent.includes('|')", 60)
    assert ran(browser, "wasm")["snr_db"] > 90
    browser.evaluate(ask.format("1 2 999"))
    browser.wait_for("!document.getElementById('problem').hidden", 60)
    assert "text/unknown-phone" in browser.evaluate("document.getElementById('problem').textContent")


def test_a_spoilt_record_is_seen(browser: Chromium, server: PageServer) -> None:  # noqa: F811
    """The twin: what the page compares itself with ends in silence."""
    spoken = server.speaker

    def spoilt(asked: dict[str, str]) -> bytes:
        packed = bytearray(spoken(asked))
        packed[-400:] = bytes(400)
        return bytes(packed)

    server.speaker = spoilt
    try:
        opened(browser, server)
        result = ran(browser, "wasm")
    finally:
        server.speaker = spoken
    assert result["snr_db"] < 40 and min(graph["snr_db"] for graph in result["graphs"].values()) > 90
