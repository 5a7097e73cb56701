"""What is checked of built images: one id of two builds, whom they run as, and their bills of materials."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from buildah import Store
from differences import differences
from sbom import normalised, system_components

USER = "10001"
BILL = "opt/toolkit/sbom.cdx.json"
SHOWN = 40
"""Most lines of a difference that are printed."""


class Differs(RuntimeError):
    """Two things that must be the same are not."""


def check_ids(store: Store, tags: Sequence[str], ids: Sequence[str]) -> None:
    """Raises Differs, with the files that are not the same, unless two builds have one id."""
    if ids[0] == ids[1]:
        return
    with store.mounted(tags[0]) as one, store.mounted(tags[1]) as other:
        lines = differences(one, other) or ["no file differs: the images' configurations do"]
    shown = "\n  ".join(lines[:SHOWN])
    raise Differs(f"two builds have the ids {ids[0]} ({tags[0]}) and {ids[1]} ({tags[1]})\n  {shown}")


def check_contents(store: Store, image: str, out: Path) -> str:
    """Checks the user and the bill of materials against the image's files; returns what was counted.

    Args:
        store: where the image lies.
        image: its tag.
        out: file the bill is copied to, a CycloneDX document.

    Raises:
        Differs: it runs as another user, or the bill lists too much or too little.
    """
    if store.user(image) != USER:
        raise Differs(f"{image} runs as {store.user(image) or 'root'}, not as {USER}")
    with store.mounted(image) as files:
        text = (files / BILL).read_text(encoding="utf-8")
        bill = json.loads(text)
        wrong = bill_faults(bill, files)
    if wrong:
        raise Differs(f"{image}: the bill of materials\n  " + "\n  ".join(wrong))
    out.write_text(text, encoding="utf-8")
    kinds = [sum(c["purl"].startswith(kind) for c in bill["components"]) for kind in ("pkg:pypi/", "pkg:deb/")]
    return f"user {USER}, bill of materials: {kinds[0]} Python and {kinds[1]} Debian packages, as installed"


def bill_faults(bill: dict[str, Any], files: Path) -> list[str]:
    """What a bill of materials lists too much or too little of an image's files; the toolkit is its subject."""
    (packages,) = (files / "opt/toolkit/lib").glob("python3*/site-packages")
    # Most packages are wheels; one that pip built itself with an old build system leaves an egg-info.
    infos = [*packages.glob("*.dist-info"), *packages.glob("*.egg-info")]
    there = {f"pypi/{normalised(path.stem.partition('-')[0])}" for path in infos} - {"pypi/flowlite-toolkit"}
    status = (files / "var/lib/dpkg/status").read_text(encoding="utf-8")
    there |= {f"deb/debian/{component['name']}" for component in system_components(status)}
    listed = {component["purl"].removeprefix("pkg:").partition("@")[0] for component in bill["components"]}
    faults = [f"lacks {name}, which is installed" for name in there - listed]
    return sorted(faults + [f"lists {name}, which is not installed" for name in listed - there])
