"""Images without a daemon: buildah as root, in a store of its own, with chroot isolation.

https://github.com/containers/buildah/tree/main/docs
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LAST_LINES = 30
Heard = Callable[[str], None]
"""Receives what a command prints, line by line, while it runs."""


class CommandFailed(RuntimeError):
    """A command of the build failed; the message ends with what it said.

    Attributes:
        code: the command's exit code; None where it could not be started.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


def call(command: Sequence[str], *, environment: Mapping[str, str] | None = None, folder: Path | None = None) -> str:
    """Standard output of a command.

    Raises:
        CommandFailed: it could not be started or ended with another code than 0.
    """
    try:
        done = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )
    except FileNotFoundError as error:
        raise _missing(command) from error
    if done.returncode:
        raise _ended(command, done.returncode, (done.stdout + done.stderr).splitlines()[-_LAST_LINES:])
    return done.stdout


def follow(
    command: Sequence[str], heard: Heard, *, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> None:
    """Runs a command and hands on what it prints, line by line.

    Raises:
        CommandFailed: it could not be started or ended with another code than 0.
    """
    try:
        running = subprocess.Popen(
            command, env=environment, cwd=folder, text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise _missing(command) from error
    last: deque[str] = deque(maxlen=_LAST_LINES)
    try:
        for line in running.stdout or ():
            last.append(line.rstrip())
            heard(last[-1])
    except BaseException:  # interrupted: nothing goes on behind
        running.terminate()
        running.wait()
        raise
    if code := running.wait():
        raise _ended(command, code, last)


def _missing(command: Sequence[str]) -> CommandFailed:
    return CommandFailed(f"{command[0]} is not installed: apt-get install buildah mmdebstrap")


def _ended(command: Sequence[str], code: int, last: Iterable[str]) -> CommandFailed:
    return CommandFailed(f"{' '.join(command)} ended with {code}:\n" + "\n".join(last), code)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecipe:
    """What an image is built from.

    Attributes:
        dockerfile: the Dockerfile; `<dockerfile>.dockerignore` beside it is obeyed where it exists.
        context: folder that COPY sees.
        arguments: build arguments.
        volumes: `HOST:INSIDE:ro`, seen by RUN and not part of the image.
        timestamp_s: the time every file and layer gets; None lets the real times through.
    """

    dockerfile: Path
    context: Path
    arguments: Mapping[str, str]
    volumes: tuple[str, ...] = ()
    timestamp_s: int | None = 0


class Store:
    """A place where images lie, apart from the machine's own."""

    def __init__(self, folder: Path, driver: str = "overlay") -> None:
        self._folder = folder.absolute()
        self._command = ["buildah", "--storage-driver", driver, "--root", str(folder / "store")]
        self._command += ["--runroot", str(folder / "run")]
        self._environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}

    def __call__(self, *arguments: str) -> str:
        """Runs one buildah command; returns what it printed."""
        return call([*self._command, *arguments], environment=self._environment).strip()

    def build(self, recipe: ImageRecipe, tag: str, heard: Heard = lambda line: None) -> str:
        """Builds an image, nothing reused, and returns its id; ``heard`` is told of each instruction."""
        options = ["--no-cache", "--layers=false", "--tag", tag, "--file", str(recipe.dockerfile)]
        if recipe.timestamp_s is not None:
            options += ["--timestamp", str(recipe.timestamp_s)]
        ignored = recipe.dockerfile.with_name(f"{recipe.dockerfile.name}.dockerignore")
        if ignored.exists():
            options += ["--ignorefile", str(ignored)]
        for name, value in recipe.arguments.items():
            options += ["--build-arg", f"{name}={value}"]
        for volume in recipe.volumes:
            options += ["--volume", volume]

        def instruction(line: str) -> None:
            if "STEP " in line:
                heard(line)

        command = [*self._command, "build", *options, str(recipe.context)]
        follow(command, instruction, environment=self._environment)
        return self.image_id(tag)

    def image_id(self, image: str) -> str:
        """The image's id: the digest of its configuration, and so of its layers."""
        return str(self._facts(image)["FromImageID"])

    def known_id(self, image: str) -> str | None:
        """The image's id, or None where there is no such image."""
        listed = json.loads(self("images", "--all", "--json") or "null") or []
        names = {name for entry in listed for name in entry.get("names") or ()}
        tagged = image if ":" in image.rpartition("/")[2] else f"{image}:latest"
        return self.image_id(image) if tagged in names else None

    def size_bytes(self, image: str) -> int:
        """Bytes of the image's layers as they lie in the store, uncompressed."""
        manifest = json.loads(self._facts(image)["Manifest"])
        return sum(int(layer["size"]) for layer in manifest["layers"])

    def clear_containers(self) -> None:
        """Removes what an interrupted build left behind."""
        self("rm", "--all")

    def remove(self) -> None:
        """Removes every image and container, and lets go of the store's mounts, so that its folder can be removed."""
        self("rm", "--all")
        self("rmi", "--all", "--force")
        for mount in reversed(_mounts_below(self._folder)):
            call(["umount", mount])

    def user(self, image: str) -> str:
        """Whom the image runs as."""
        return str(self._facts(image)["OCIv1"]["config"].get("User", ""))

    def _facts(self, image: str) -> dict[str, Any]:
        return dict(json.loads(self("inspect", "--type", "image", image)))

    @contextmanager
    def container(self, image: str) -> Iterator[str]:
        """A working container of an image, removed at the end."""
        name = self("from", "--pull-never", image)
        try:
            yield name
        finally:
            self("rm", name)

    @contextmanager
    def mounted(self, image: str) -> Iterator[Path]:
        """The image's files."""
        with self.container(image) as name:
            folder = Path(self("mount", name))
            try:
                yield folder
            finally:
                self("umount", name)

    def run_offline(
        self,
        image: str,
        command: Sequence[str],
        *,
        volumes: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        heard: Heard = lambda line: None,
    ) -> str:
        """Runs a command in the image as its user, in a network namespace without a network; returns its output."""
        said: list[str] = []

        def hear(line: str) -> None:
            said.append(line)
            heard(line)

        with self.container(image) as name:
            options = [part for volume in volumes for part in ("--volume", volume)]
            options += [part for key, value in (environment or {}).items() for part in ("--env", f"{key}={value}")]
            whole = ["unshare", "--net", *self._command, "run", *options, name, "--", *command]
            follow(whole, hear, environment=self._environment)
        return "\n".join(said).strip()


def _mounts_below(folder: Path) -> list[str]:
    """Mount points in a folder, outer ones first."""
    with Path("/proc/self/mountinfo").open(encoding="utf-8") as lines:
        points = [line.split()[4].encode().decode("unicode_escape") for line in lines]
    return [point for point in points if Path(point).is_relative_to(folder)]
