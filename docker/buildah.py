"""Images without a daemon: buildah as root, in a store of its own, with chroot isolation.

https://github.com/containers/buildah/tree/main/docs
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class CommandFailed(RuntimeError):
    """A command of the build failed; the message ends with what it said."""


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
        raise CommandFailed(f"{command[0]} is not installed: apt-get install buildah mmdebstrap") from error
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise CommandFailed(f"{' '.join(command)} ended with {done.returncode}:\n{said}")
    return done.stdout


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
        self._command = ["buildah", "--storage-driver", driver, "--root", str(folder / "store")]
        self._command += ["--runroot", str(folder / "run")]
        self._environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}

    def __call__(self, *arguments: str) -> str:
        """Runs one buildah command; returns what it printed."""
        return call([*self._command, *arguments], environment=self._environment).strip()

    def build(self, recipe: ImageRecipe, tag: str) -> str:
        """Builds an image, nothing reused, and returns its id."""
        options = ["--no-cache", "--layers=false", "--quiet", "--tag", tag, "--file", str(recipe.dockerfile)]
        if recipe.timestamp_s is not None:
            options += ["--timestamp", str(recipe.timestamp_s)]
        ignored = recipe.dockerfile.with_name(f"{recipe.dockerfile.name}.dockerignore")
        if ignored.exists():
            options += ["--ignorefile", str(ignored)]
        for name, value in recipe.arguments.items():
            options += ["--build-arg", f"{name}={value}"]
        for volume in recipe.volumes:
            options += ["--volume", volume]
        self("build", *options, str(recipe.context))
        return self.image_id(tag)

    def image_id(self, image: str) -> str:
        """The image's id: the digest of its configuration, and so of its layers."""
        return str(self._facts(image)["FromImageID"])

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
    ) -> str:
        """Runs a command in the image as its user, in a network namespace without a network; returns its output."""
        with self.container(image) as name:
            options = [part for volume in volumes for part in ("--volume", volume)]
            options += [part for key, value in (environment or {}).items() for part in ("--env", f"{key}={value}")]
            whole = ["unshare", "--net", *self._command, "run", *options, name, "--", *command]
            return call(whole, environment=self._environment).strip()
