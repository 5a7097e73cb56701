"""A base image of Debian packages, where no image registry is reachable.

mmdebstrap writes the same bytes from the same packages when SOURCE_DATE_EPOCH is set
(https://manpages.debian.org/bookworm/mmdebstrap/mmdebstrap.1.en.html). Which packages they are is pinned by
`base.lock`: the archive's digest, the instant it was made, and each package's version. When Debian mends packages its
mirrors lose the pinned ones: those are then taken from snapshot.debian.org, which keeps every state of the archive;
where that cannot be reached, the error lists what changed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import tarfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from buildah import ImageRecipe, Store, call

SUITE = "bookworm"
PACKAGES = ("python3", "python3-venv", "ca-certificates")
TAG = "localhost/flowlite-base"
SNAPSHOTS = "http://snapshot.debian.org/archive"
_SOURCES = (("debian", "bookworm"), ("debian", "bookworm-updates"), ("debian-security", "bookworm-security"))
_USUAL = {"debian": "http://deb.debian.org/debian", "debian-security": "http://security.debian.org/debian-security"}
_INSTANT = re.compile(r"^snapshot=(\d{8}T\d{6}Z)$", re.M)
_ANSWER_SECONDS = 20
_DOCKERFILE = 'FROM scratch\nADD base.tar /\nCMD ["python3"]\n'


class LockDiffers(RuntimeError):
    """The archive of Debian packages is not the one that base.lock pins."""


def make_archive(out: Path, mirrors: Sequence[str] = ()) -> None:
    """Writes the file system of a small Debian with Python to ``out`` (.tar), whole or not at all.

    Takes minutes and the network.

    Args:
        out: the archive.
        mirrors: lines of sources.list to take the packages from; Debian's own mirrors when empty. What is written is
            the same either way: the image names the usual mirrors.
    """
    partial = out.with_suffix(".partial.tar")  # mmdebstrap tells the format by the ending
    usual = "".join(f"deb {_USUAL[archive]} {suite} main\n" for archive, suite in _SOURCES)
    # What the machine that builds, or the mirror, would otherwise write into it.
    foreign = 'rm -f "$1/etc/hostname" "$1/etc/resolv.conf"'
    sources = f'printf %s {shlex.quote(usual)} > "$1/etc/apt/sources.list"'
    hooks = [f"--customize-hook={hook}" for hook in (foreign, sources)]
    options = ["--variant=minbase", f"--include={','.join(PACKAGES)}", *hooks, "--quiet"]
    call(["mmdebstrap", *options, SUITE, str(partial), *mirrors], environment={**os.environ, "SOURCE_DATE_EPOCH": "0"})
    partial.replace(out)


def snapshot_mirrors(lock: Path) -> tuple[str, ...]:
    """The mirrors that still hold what ``lock`` pins; none where it names no instant, or they cannot be reached."""
    instant = _INSTANT.search(lock.read_text(encoding="utf-8"))
    if instant is None:
        return ()
    roots = {archive: f"{SNAPSHOTS}/{archive}/{instant[1]}" for archive in _USUAL}
    try:
        with urllib.request.urlopen(f"{roots['debian']}/dists/{SUITE}/Release", timeout=_ANSWER_SECONDS):
            pass
    except (urllib.error.URLError, TimeoutError):
        return ()
    # A state of the past has run out by its own dates.
    return tuple(f"deb [check-valid-until=no] {roots[archive]} {suite} main" for archive, suite in _SOURCES)


def lock_text(archive: Path, made: datetime) -> str:
    """What base.lock says of an archive: its sha256, when it was made, then `name=version` of each package, sorted."""
    return "\n".join([f"snapshot={made:%Y%m%dT%H%M%SZ}", *_contents(archive)]) + "\n"


def _contents(archive: Path) -> list[str]:
    with archive.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    with tarfile.open(archive) as files:
        status = files.extractfile("./var/lib/dpkg/status")
        if status is None:
            raise LockDiffers(f"{archive} holds no list of packages")
        text = status.read().decode()
    found = re.findall(r"^Package: (.*)\n(?:.*\n)*?Version: (.*)$", text, re.M)
    return [f"sha256:{digest}", *sorted(f"{name}={version}" for name, version in found)]


def check(archive: Path, lock: Path) -> None:
    """Raises LockDiffers, with the packages that changed, when ``archive`` is not the one pinned."""
    is_now = _contents(archive)
    pinned = [line for line in lock.read_text(encoding="utf-8").splitlines() if not _INSTANT.match(line)]
    if is_now == pinned:
        return
    changed = [f"- {line}" for line in pinned if line not in is_now] + [
        f"+ {line}" for line in is_now if line not in pinned
    ]
    raise LockDiffers(f"the base differs from {lock}:\n  " + "\n  ".join(changed))


def build_base(store: Store, archive: Path) -> str:
    """Makes the archive an image; returns its id."""
    folder = archive.parent
    (folder / "Dockerfile").write_text(_DOCKERFILE, encoding="utf-8")
    if archive.name != "base.tar":
        raise LockDiffers(f"{archive} must be named base.tar")
    return store.build(ImageRecipe(dockerfile=folder / "Dockerfile", context=folder, arguments={}), TAG)
