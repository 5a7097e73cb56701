"""The page in a real browser: headless Chromium, LiteRT.js from npm, a bundle of tiny networks.

Needs both installed (``apt-get install chromium``; the npm command of ``toolkit serve``); else it is skipped.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from converters.errors import ExtraMissing
from tests.toolkit.serve.chromium import PROGRAM, WEBGPU, Chromium
from tests.toolkit.serve.made_bundle import DECODER, PHONEMES, SAID, make_bundle
from toolkit.serve.litertjs import default_directory, litertjs_files
from toolkit.serve.open_page import VoiceSettings, open_page
from toolkit.serve.server import PageServer

STATE = "document.documentElement?.dataset.state"
GRAPHS = {f"encoder_{PHONEMES}", "flow_96", f"decoder_{DECODER}"}


def _missing() -> str:
    if PROGRAM is None:
        return "no Chromium (Debian: chromium)"
    try:
        litertjs_files(default_directory())
    except ExtraMissing as error:
        return f"no LiteRT.js: {error.message} ({error.hint})"
    return ""


pytestmark = pytest.mark.skipif(bool(_missing()), reason=_missing() or "both are there")


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[PageServer]:
    bundle = make_bundle(tmp_path_factory.mktemp("made") / "bundle")
    settings = VoiceSettings(threads=1, phones=SAID)
    with open_page(bundle, litertjs=default_directory(), port=0, settings=settings) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def browser(tmp_path) -> Iterator[Chromium]:
    with Chromium(tmp_path / "profile") as browser:
        yield browser


def opened(browser: Chromium, server: PageServer) -> None:
    browser.call("Page.navigate", url=server.url)
    browser.wait_for(f"['ready', 'failed'].includes({STATE})", 120)


def ran(browser: Chromium, backend: str) -> dict:
    """Presses the button and waits; numbers that JSON has no form for come as text."""
    browser.evaluate(f"document.getElementById('backend').value = '{backend}'; document.getElementById('run').click()")
    browser.wait_for(f"['done', 'failed'].includes({STATE})", 300)
    problem = browser.evaluate("document.getElementById('problem').textContent")
    assert browser.evaluate(STATE) == "done", problem
    return browser.evaluate(
        "JSON.parse(JSON.stringify(result, (_, v) => Number.isFinite(v) ? v : v === Infinity ? 999 : v))"
    )


def errors(browser: Chromium) -> list[str]:
    """What went wrong; LiteRT.js prints its log as console errors, each line with its level."""
    return [
        line for line in browser.console if not line.startswith(("console.error: INFO:", "console.error: WARNING:"))
    ]


@pytest.mark.parametrize("backend", ["threads", "wasm"])
def test_the_browser_gives_pythons_samples(browser, server, backend):
    opened(browser, server)
    result = ran(browser, backend)
    assert set(result["graphs"]) == GRAPHS and result["errors"] == {}
    assert min(graph["snr_db"] for graph in result["graphs"].values()) > 90
    assert result["snr_db"] > 90 and result["samples"] > 2 * DECODER
    assert all(graph["latency_ms"] > 0 for graph in result["graphs"].values())
    assert browser.evaluate("document.getElementById('badge').textContent") == "✓ RAN HERE"
    assert browser.evaluate("document.getElementById('browser-audio').src").startswith("blob:")
    duration = "new Promise(r => { const a = new Audio(document.getElementById('browser-audio').src);"
    seconds = browser.evaluate(duration + " a.onloadedmetadata = () => r(a.duration); a.onerror = () => r(-1) })")
    assert seconds == pytest.approx(result["samples"] / 8000, abs=1e-3)
    assert errors(browser) == []


def test_samples_that_differ_are_seen(browser, server):
    """The twin: Python's record is spoilt, so what is compared is really compared."""
    spoken = server.speaker

    def spoilt(asked: dict[str, str]) -> bytes:
        packed = bytearray(spoken(asked))
        packed[-1000:] = bytes(1000)  # the last array is Python's audio: its end is silence now
        return bytes(packed)

    server.speaker = spoilt
    try:
        opened(browser, server)
        result = ran(browser, "wasm")
    finally:
        server.speaker = spoken
    assert result["snr_db"] < 20
    assert min(graph["snr_db"] for graph in result["graphs"].values()) > 90


def test_a_damaged_file_fails_in_its_row_and_in_the_badge(browser, server, tmp_path):
    kept = dict(server.site.files)
    broken = tmp_path / "encoder.tflite"
    broken.write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(100))
    server.site.files["/bundle/encoder.tflite"] = broken  # type: ignore[index]
    try:
        opened(browser, server)
        result = ran(browser, "wasm")
    finally:
        server.site.files.update(kept)  # type: ignore[attr-defined]
    assert set(result["errors"]) == {f"encoder_{PHONEMES}"}
    assert browser.evaluate("document.getElementById('badge').textContent") == "✕ NOT ALL RAN"


def test_another_sentence_is_said_and_a_wrong_one_is_explained(browser, server):
    opened(browser, server)
    ask = "document.getElementById('asked').value = '{}'; document.getElementById('say').click()"
    browser.evaluate(ask.format("abc"))
    browser.wait_for(f"{STATE} === 'ready' && document.getElementById('said').textContent === 'abc'", 60)
    browser.evaluate(ask.format("€"))
    browser.wait_for("!document.getElementById('problem').hidden", 60)
    assert "input/unknown-phonemes" in browser.evaluate("document.getElementById('problem').textContent")


def test_nothing_but_this_server_is_asked(browser, server):
    opened(browser, server)
    ran(browser, "wasm")
    names = "performance.getEntriesByType('resource').map(e => e.name).filter(n => !n.startsWith('blob:'))"
    asked = browser.evaluate(names)
    assert len(asked) > 10 and all(name.startswith((server.url, "data:")) for name in asked)
    assert browser.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'blocked')") == "blocked"
    assert any("Content Security Policy" in line for line in browser.console)


@pytest.mark.slow
def test_webgpu_gives_pythons_samples(tmp_path, server):
    with Chromium(tmp_path / "profile", *WEBGPU) as browser:
        opened(browser, server)
        if not browser.evaluate("!!document.querySelector('#backend [value=webgpu-fp32]')"):
            pytest.skip("this Chromium gives no WebGPU adapter")
        result = ran(browser, "webgpu-fp32")
        assert result["errors"] == {} and result["snr_db"] > 90
        assert result["graphs"]["flow_96"]["accelerated"] and result["graphs"][f"decoder_{DECODER}"]["accelerated"]


def test_the_page_reads_well_when_narrow(browser, server, tmp_path: Path):
    opened(browser, server)
    ran(browser, "wasm")
    browser.call("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True)
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390
