"""The bill of materials lists what is installed, and refuses what the lock does not know."""

import importlib.metadata
import json
import re
from pathlib import Path

import lock_subset
import pytest
import sbom

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
STATUS = """Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2:2.36-9+deb12u14

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""


def _known(distributions):
    return [d for d in distributions if sbom.normalised(d.metadata["Name"]) in sbom.locked_digests(LOCK)]


@pytest.fixture(scope="module")
def bill():
    components = sbom.python_components(_known(sbom.installed()), LOCK, "flowlite-toolkit")
    return sbom.document("flowlite-toolkit", components + sbom.system_components(STATUS), "1")


def test_bill_follows_the_format(bill):
    # The required fields and patterns of https://cyclonedx.org/schema/bom-1.6.schema.json
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bill["serialNumber"])
    references = [component["bom-ref"] for component in bill["components"]]
    assert len(references) == len(set(references))
    for component in bill["components"]:
        assert {"type", "name", "version", "purl"} <= set(component)
        assert re.fullmatch(r"pkg:(pypi/[a-z0-9.-]+|deb/debian/[a-z0-9.+-]+)@[^@\s]+", component["purl"])
        for licence in component.get("licenses", []):
            assert ("expression" in licence) != ("license" in licence)


def test_every_python_package_carries_the_locks_digests(bill):
    listed = {c["name"]: c for c in bill["components"] if c["purl"].startswith("pkg:pypi/")}
    assert len(listed) > 100
    for name, component in listed.items():
        digests = [prop["value"] for prop in component["properties"]]
        assert digests == sorted(sbom.locked_digests(LOCK)[name][1])
        assert digests


def test_only_installed_system_packages_are_listed(bill):
    (system,) = (c for c in bill["components"] if c["purl"].startswith("pkg:deb/"))
    assert system["purl"] == "pkg:deb/debian/libc6@2%3A2.36-9%2Bdeb12u14?arch=amd64"


def test_same_content_same_bill_other_content_other_number(bill):
    again = sbom.document("flowlite-toolkit", bill["components"], "1")
    assert json.dumps(again) == json.dumps(bill)
    assert sbom.document("flowlite-toolkit", bill["components"][1:], "1")["serialNumber"] != bill["serialNumber"]


def test_what_the_lock_does_not_pin_is_refused():
    numpy = importlib.metadata.distribution("numpy")
    with pytest.raises(ValueError, match=r"numpy 1\.26\.4 is installed, the lock has 1\.26\.5"):
        sbom.python_components([numpy], LOCK.replace("numpy==1.26.4", "numpy==1.26.5"), "x")
    with pytest.raises(ValueError, match="no such package"):
        sbom.python_components([numpy], "", "x")


def test_bench_lock_is_part_of_the_lock_with_its_hashes():
    names = (ROOT / "docker/bench.txt").read_text(encoding="utf-8")
    part = sbom.locked_digests(lock_subset.subset(LOCK, names))
    whole = sbom.locked_digests(LOCK)
    assert "ai-edge-litert" in part
    assert "torch" not in part
    assert all(whole[name] == pin and pin[1] for name, pin in part.items())
    with pytest.raises(ValueError, match="not in the lock: no-such-thing"):
        lock_subset.subset(LOCK, "numpy\nno-such-thing\n")
