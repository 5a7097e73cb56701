"""A base image of Debian packages, where no image registry is reachable.

mmdebstrap writes the same bytes from the same packages when SOURCE_DATE_EPOCH is set
(https://manpages.debian.org/bookworm/mmdebstrap/mmdebstrap.1.en.html). Which packages they are is pinned by
`base.lock`: the archive's digest and each package's version. Debian replaces packages when it mends them: the lock then
no longer fits, and the error lists which.
"""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
from pathlib import Path

from buildah import ImageRecipe, Store, call

SUITE = "bookworm"
PACKAGES = ("python3", "python3-venv", "ca-certificates")
TAG = "localhost/flowlite-base"
_DOCKERFILE = 'FROM scratch\nADD base.tar /\nCMD ["python3"]\n'


class LockDiffers(RuntimeError):
    """The archive of Debian packages is not the one that base.lock pins."""


def make_archive(out: Path) -> None:
    """Writes the file system of a small Debian with Python to ``out`` (.tar), whole or not at all.

    Takes minutes and the network.
    """
    partial = out.with_suffix(".partial.tar")  # mmdebstrap tells the format by the ending
    # What the machine that builds would otherwise write into it.
    foreign = 'rm -f "$1/etc/hostname" "$1/etc/resolv.conf"'
    options = ["--variant=minbase", f"--include={','.join(PACKAGES)}", f"--customize-hook={foreign}", "--quiet"]
    call(["mmdebstrap", *options, SUITE, str(partial)], environment={**os.environ, "SOURCE_DATE_EPOCH": "0"})
    partial.replace(out)


def lock_text(archive: Path) -> str:
    """What base.lock says of an archive: its sha256, then `name=version` of each package, sorted."""
    with archive.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    with tarfile.open(archive) as files:
        status = files.extractfile("./var/lib/dpkg/status")
        if status is None:
            raise LockDiffers(f"{archive} holds no list of packages")
        text = status.read().decode()
    found = re.findall(r"^Package: (.*)\n(?:.*\n)*?Version: (.*)$", text, re.M)
    return "\n".join([f"sha256:{digest}", *sorted(f"{name}={version}" for name, version in found)]) + "\n"


def check(archive: Path, lock: Path) -> None:
    """Raises LockDiffers, with the packages that changed, when ``archive`` is not the one pinned."""
    is_now, pinned = lock_text(archive).splitlines(), lock.read_text(encoding="utf-8").splitlines()
    if is_now == pinned:
        return
    changed = [f"- {line}" for line in pinned if line not in is_now] + [
        f"+ {line}" for line in is_now if line not in pinned
    ]
    raise LockDiffers(
        f"the base differs from {lock}:\n  " + "\n  ".join(changed) + "\n  hint: Debian has moved on? --renew-base"
    )


def build_base(store: Store, archive: Path) -> str:
    """Makes the archive an image; returns its id."""
    folder = archive.parent
    (folder / "Dockerfile").write_text(_DOCKERFILE, encoding="utf-8")
    if archive.name != "base.tar":
        raise LockDiffers(f"{archive} must be named base.tar")
    return store.build(ImageRecipe(dockerfile=folder / "Dockerfile", context=folder, arguments={}), TAG)
