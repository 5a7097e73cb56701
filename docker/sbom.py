"""Software bill of materials of an image, CycloneDX 1.6 JSON. Runs inside the image's build; needs Python alone.

What is listed is what is installed: the Python packages of the environment that runs this, each with the sha256 digests
the lock allows for it, and the system's packages. There is no time and no random number in it, so that two builds of
the same image hold the same file. A package that is installed and not in the lock stops the build.

Format: https://cyclonedx.org/docs/1.6/json/ ; package URLs: https://github.com/package-url/purl-spec
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import sys
import sysconfig
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

_UNLOCKED = {"pip"}
"""What the virtual environment itself brings; it comes out of the base image, which is pinned by its digest."""


def normalised(name: str) -> str:
    """A Python package's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked_digests(lock: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Version and allowed sha256 digests of every package in a pip lock, by normalised name."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for block in re.split(r"\n(?=[A-Za-z0-9])", lock):
        pin = re.match(r"([A-Za-z0-9][\w.-]*)==(\S+)", block)
        if pin:
            found[normalised(pin[1])] = (pin[2], tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", block)))
    return found


def installed() -> list[importlib.metadata.Distribution]:
    """Packages of this environment; not the copies that setuptools carries and puts on the path when imported."""
    places = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    return list(importlib.metadata.distributions(path=list(places)))


def python_components(
    distributions: Iterable[importlib.metadata.Distribution], lock: str, own: str
) -> list[dict[str, Any]]:
    """One component for each installed Python package but the image's own.

    Raises:
        ValueError: a package is not in the lock or has another version than it.
    """
    locked, found = locked_digests(lock), {}
    for distribution in distributions:
        name, version = normalised(distribution.metadata["Name"]), distribution.version
        if name in (own, "flowlite-toolkit"):
            continue
        pinned, digests = locked.get(name, ("", ()))
        if name not in _UNLOCKED and pinned != version.split("+")[0]:
            raise ValueError(f"{name} {version} is installed, the lock has {pinned or 'no such package'}")
        url = f"pkg:pypi/{name}@{quote(version, safe='')}"
        found[name] = {
            "type": "library",
            "bom-ref": url,
            "name": name,
            "version": version,
            "purl": url,
            **_licences(distribution),
            "properties": [{"name": "flowlite:locked-sha256", "value": digest} for digest in sorted(digests)],
        }
    return [found[name] for name in sorted(found)]


def _licences(distribution: importlib.metadata.Distribution) -> dict[str, Any]:
    expression = distribution.metadata.get("License-Expression")
    if expression:
        return {"licenses": [{"expression": expression}]}
    classified = [
        text.rpartition(" :: ")[2]
        for text in distribution.metadata.get_all("Classifier") or ()
        if text.startswith("License :: ") and not text.endswith("OSI Approved")
    ]
    written = (distribution.metadata.get("License") or "").strip()
    names = classified or ([written] if written and "\n" not in written and len(written) < 100 else [])
    return {"licenses": [{"license": {"name": name}} for name in names]} if names else {}


def system_components(status: str) -> list[dict[str, Any]]:
    """One component for each package that dpkg's status file says is installed."""
    found = []
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Architecture|Status): (.*)$", paragraph, re.M))
        if fields.get("Status") == "install ok installed":
            version, architecture = quote(fields["Version"], safe=""), fields["Architecture"]
            url = f"pkg:deb/debian/{fields['Package']}@{version}?arch={architecture}"
            entry = {"type": "library", "bom-ref": url, "name": fields["Package"], "version": fields["Version"]}
            found.append({**entry, "purl": url})
    return sorted(found, key=lambda component: (component["name"], component["bom-ref"]))


def document(name: str, components: list[dict[str, Any]], version: str) -> dict[str, Any]:
    """The whole bill. Its serial number is made of its content."""
    listed = json.dumps([name, version, components], sort_keys=True)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, listed)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": name,
                "name": name,
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": components,
    }


def main(arguments: list[str]) -> int:
    """Writes the bill of the environment that runs this."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", required=True)
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--dpkg", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    lock = given.lock.read_text(encoding="utf-8")
    components = python_components(installed(), lock, given.name)
    components += system_components(given.dpkg.read_text(encoding="utf-8"))
    version = importlib.metadata.version("flowlite-toolkit")
    text = json.dumps(document(given.name, components, version), indent=1, ensure_ascii=False)
    given.out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
