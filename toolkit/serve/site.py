"""The list of everything the page's server may hand out. What is not on it does not exist, whatever a request says."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

MIME = {
    ".css": "text/css; charset=utf-8",
    ".flac": "audio/flac",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/plain; charset=utf-8",
    ".tflite": "application/octet-stream",
    ".wasm": "application/wasm",
    ".wav": "audio/wav",
}
_REPORT_FILES = (
    "index.html",
    "report.md",
    "results.json",
    "model_card.md",
    "trace.json",
    "model_explorer/*.json",
    "audio/*.wav",
    "audio/*.flac",
)
_IMPORT_MAP = re.compile(r'<script type="importmap">(.*?)</script>', re.S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What is served.

    Attributes:
        files: path of a request, exactly, to the file on disk.
        policy: the ``Content-Security-Policy`` of every answer.
    """

    files: Mapping[str, Path]
    policy: str


def site_of(bundle: Path, graphs: tuple[str, ...], run: Path | None, litertjs: Mapping[str, Path]) -> Site:
    """The page, LiteRT.js, the graphs of a bundle and, of a run, its report with its audio.

    A file that is a link to outside the folder it was found in is left out.

    Args:
        bundle: folder of the bundle.
        graphs: names of its ``.tflite`` files.
        run: the run directory, where the bundle is in one.
        litertjs: files of LiteRT.js by their path below ``@litertjs``.
    """
    page = Path(str(files("toolkit.serve") / "page"))
    found: dict[str, Path] = {"/": page / "index.html"}
    found |= {f"/page/{path.name}": path for path in sorted(page.iterdir()) if path.suffix in (".js", ".css")}
    found["/page/style.css"] = Path(str(files("toolkit.report") / "templates" / "style.css"))
    found |= {f"/litertjs/{name}": path for name, path in litertjs.items()}
    found |= {f"/bundle/{name}": bundle / name for name in graphs if _within(bundle, bundle / name)}
    if run is not None:
        for pattern in _REPORT_FILES:
            for path in sorted(run.glob(pattern)):
                if path.is_file() and _within(run, path):
                    found[f"/report/{path.relative_to(run).as_posix()}"] = path
    return Site(files=found, policy=_policy((page / "index.html").read_text(encoding="utf-8")))


def _within(folder: Path, path: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _policy(html: str) -> str:
    """Own files only; the one inline script allowed is the page's import map, by its digest.

    The threaded LiteRT.js starts its workers from its own script; WebAssembly needs ``wasm-unsafe-eval``. The report
    carries its style inline.
    """
    maps = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in _IMPORT_MAP.findall(html)]
    scripts = " ".join(["'self'", "'wasm-unsafe-eval'", *(f"'sha256-{digest}'" for digest in maps)])
    return (
        f"default-src 'self'; script-src {scripts}; worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    )
