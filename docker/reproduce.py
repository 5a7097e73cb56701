#!/usr/bin/env python3
"""Builds the images twice without a daemon and converts inside and outside of them; any difference is an error.

    docker/reproduce.py --python .venv/bin/python        (or: make images)

As root, with Debian's buildah, mmdebstrap and util-linux. What is done, each line printed as it begins and ends:

1. the Dockerfiles pass hadolint;
2. the base image, made of Debian packages, is the one that base.lock pins; of Debian's mirrors, or, where those have
   moved on, of snapshot.debian.org;
3. two builds of each image, nothing reused, have the same id; where they have not, the files that differ are listed;
4. each image runs as user 10001, and its bill of materials (CycloneDX) lists exactly what is installed in it;
5. the embedded default voice converted inside the convert image, without a network, and outside: every file of both
   runs has the same sha256, the report and other measurements apart; gates of the recipe that do not hold are told,
   do not stop the comparison, and fail the protocol at its end; a gate on times that the run calls INVALID, as they are
   on a crowded machine, is told only;
6. the bench image, without a network, inspects and measures what was converted.

An interrupted or failed protocol keeps its store and goes on where it was, as long as nothing it was made of has
changed; one that holds removes the store. Ids, sizes, sha256 and times stay in --record, with the bills.

Exit codes: 0 all equal and every gate held, 1 something differs or a gate did not hold, 2 something could not be done,
130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import base_image
import conversions
import index_settings
from buildah import CommandFailed, ImageRecipe, Store, call
from image_checks import SHOWN, Differs, check_contents, check_ids
from journal import Journal, context_digest, digest_of
from progress import Progress, duration

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "docker/base.lock"
IMAGES = ("convert", "bench")
_INTERRUPTED = 130
_MARK = ".flowlite-images"
_CONVERSIONS = ("conversion inside", "conversion outside")


class GatesFailed(RuntimeError):
    """The images and files are equal, and what was converted does not keep the limits of its recipe."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n  ".join(["all is equal, but gates of the recipe did not hold", *lines]))


def claim(folder: Path) -> None:
    """Makes the folder this script's own, since it removes it at the end.

    Raises:
        CommandFailed: something else lies in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()) and not (folder / _MARK).exists():
        raise CommandFailed(f"{folder} holds other files, and is removed at the end: choose an empty --store")
    (folder / _MARK).touch()


class Protocol:
    """Every check, in order; what was finished before is not done again.

    Args:
        given: the command line.
        store: where images lie.
        progress: told of every step.
    """

    def __init__(self, given: argparse.Namespace, store: Store, progress: Progress) -> None:
        self._given, self._store, self._progress = given, store, progress
        self._folder: Path = given.store
        self._journal = Journal(self._folder / "journal.json")
        self._record: dict[str, Any] = {}
        self._failed_gates: list[str] = []

    def run(self) -> None:
        """Carries out every check.

        Raises:
            Differs: two things that must be the same are not.
            LockDiffers: Debian's packages are not those of base.lock.
            CommandFailed: something could not be done.
            GatesFailed: all is equal, and the voice that was converted does not keep its recipe's limits.
        """
        with self._progress.step("hadolint") as step:
            hadolint = Path(self._given.python).with_name("hadolint")
            call([str(hadolint), *(str(ROOT / f"docker/{name}.Dockerfile") for name in IMAGES)])
            step.result = "no finding"
        self._store.clear_containers()
        base, images = self._base(), {}
        for name in self._given.images:
            images[name] = self._image(name, base)
        if "convert" in images:
            self._convert(images["convert"])
        if self._given.images == IMAGES:
            self._bench()
        self._write_record()
        if self._failed_gates:
            self._journal.forget(_CONVERSIONS)
            raise GatesFailed(self._failed_gates)

    def _step(self, name: str, made_of: dict[str, str], do: Callable[[], str], still: Callable[[str], bool]) -> str:
        """A step's result: the kept one where inputs are the same and ``still`` holds for it, else that of ``do``."""
        digest = digest_of(made_of)
        kept = self._journal.result(name, digest)
        if kept is not None and still(kept):
            self._progress.known(name, kept)
            return kept
        with self._progress.step(name) as step:
            step.result = do()
        self._journal.keep(name, digest, step.result, step.seconds)
        return step.result

    def _base(self) -> str:
        archive = self._folder / "base" / "base.tar"
        archive.parent.mkdir(exist_ok=True)
        with self._progress.step("base of Debian packages") as step:
            if self._given.renew_base:
                base_image.make_archive(archive)
                LOCK.write_text(base_image.lock_text(archive, datetime.now(tz=UTC)), encoding="utf-8")
            elif not archive.exists():
                base_image.make_archive(archive)
            step.result = self._pinned(archive)
        built = self._step(
            "base image",
            {"lock": LOCK.read_text(encoding="utf-8")},
            lambda: base_image.build_base(self._store, archive),
            lambda kept: self._store.known_id(base_image.TAG) == kept,
        )
        self._record["base"] = {"id": built, "lock": LOCK.read_text(encoding="utf-8").splitlines()[:2]}
        return built

    def _pinned(self, archive: Path) -> str:
        """Leaves the archive that base.lock pins; today's packages are only tried first, being nearer."""
        try:
            base_image.check(archive, LOCK)
        except base_image.LockDiffers as moved:
            mirrors = base_image.snapshot_mirrors(LOCK)
            if not mirrors:
                raise base_image.LockDiffers(
                    f"{moved}\n  Debian has moved on, and snapshot.debian.org, which keeps what is pinned, cannot be "
                    f"asked from here\n  hint: pin what there is now, which gives images of other ids: "
                    f"docker/reproduce.py --python {self._given.python} --renew-base"
                ) from moved
            self._progress.detail("Debian has moved on: taken from snapshot.debian.org instead")
            base_image.make_archive(archive, mirrors)
            base_image.check(archive, LOCK)
            return "as base.lock pins it, from snapshot.debian.org"
        return "as base.lock pins it"

    def _image(self, name: str, base: str) -> str:
        settings, dockerfile = index_settings.pip_settings(), ROOT / f"docker/{name}.Dockerfile"
        recipe = ImageRecipe(
            dockerfile=dockerfile,
            context=ROOT,
            arguments={"BASE_IMAGE": base_image.TAG, **index_settings.build_arguments(settings)},
            volumes=index_settings.volumes(settings),
        )
        made_of = {
            "base": base,
            "dockerfile": dockerfile.read_text(encoding="utf-8"),
            "context": context_digest(ROOT, dockerfile.with_name(f"{dockerfile.name}.dockerignore")),
            "arguments": json.dumps(dict(recipe.arguments), sort_keys=True),
        }
        tags = {f"{name}: {build} build": f"localhost/{name}:{build}" for build in ("first", "second")}
        ids = [
            self._step(
                step,
                made_of,
                lambda tag=tag: self._store.build(recipe, tag, self._progress.detail),
                lambda kept, tag=tag: self._store.known_id(tag) == kept,
            )
            for step, tag in tags.items()
        ]
        try:
            check_ids(self._store, list(tags.values()), ids)
        except Differs:
            self._journal.forget(tags)
            raise
        image = f"localhost/{name}:first"
        with self._progress.step(f"{name}: one id, user, bill of materials") as step:
            bill = self._given.record / f"{name}.cdx.json"
            step.result = check_contents(self._store, image, bill)
        size = self._store.size_bytes(image)
        self._progress.detail(f"{name}: {ids[0]}, {size:,} bytes")
        self._record.setdefault("images", {})[name] = {"id": ids[0], "size_bytes": size, "bill": bill.name}
        return ids[0]

    def _convert(self, image: str) -> None:
        arguments = conversions.SMALL_VOICE if self._given.random_voice else ()
        code = context_digest(ROOT, ROOT / "docker/convert.Dockerfile.dockerignore")
        inside, outside = self._folder / "inside", self._folder / "outside"
        convert, store = conversions, self._store

        def inside_run() -> str:
            shutil.rmtree(inside, ignore_errors=True)
            return convert.summary(
                convert.convert_inside(store, "localhost/convert:first", arguments, inside, self._progress.detail)
            )

        def outside_run() -> str:
            shutil.rmtree(outside, ignore_errors=True)
            return convert.summary(
                convert.convert_outside(self._given.python, ROOT, arguments, outside, self._progress.detail)
            )

        words = json.dumps(arguments)
        for name, made_of, do, folder in (
            (_CONVERSIONS[0], {"image": image, "arguments": words}, inside_run, inside),
            (_CONVERSIONS[1], {"code": code, "arguments": words}, outside_run, outside),
        ):
            self._step(name, made_of, do, lambda kept, folder=folder: convert.summary(folder / "run") == kept)
        gates = {side: convert.gates_of(folder / "run") for side, folder in (("inside", inside), ("outside", outside))}
        for side, found in gates.items():
            self._failed_gates += [f"{side}: {line}" for line in found.failed]
            for line in (*found.failed, *found.noise):
                self._progress.detail(f"{side}: {line}")
        with self._progress.step("conversion: inside against outside") as step:
            if lines := convert.disagreements(inside / "run", outside / "run"):
                self._journal.forget(_CONVERSIONS)
                head = "the conversion inside and the one outside differ"
                raise Differs("\n  ".join([head, *lines[:SHOWN], *self._failed_gates]))
            step.result = f"the same {convert.summary(inside / 'run')}"
        self._record["conversion"] = {
            "voice": "seeded random weights" if self._given.random_voice else "the embedded default voice",
            "sha256": convert.digests(inside / "run"),
            "gates_failed": {side: list(found.failed) for side, found in gates.items()},
            "noise": {side: list(found.noise) for side, found in gates.items()},
        }

    def _bench(self) -> None:
        volumes = [f"{self._folder / 'inside'}:/work/runs:ro"]
        for command in ("inspect", "bench"):
            with self._progress.step(f"bench image: {command}") as step:
                words = ["toolkit", command, "runs/run/bundle/decoder.tflite"]
                said = self._store.run_offline("localhost/bench:first", words, volumes=volumes).splitlines()
                step.result = said[0].strip()

    def _write_record(self) -> None:
        whole = {"schema": 1, **self._record, "seconds": self._journal.seconds()}
        path = self._given.record / "protocol.json"
        path.write_text(json.dumps(whole, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        self._progress.detail(f"ids, sizes, sha256 and times: {path}")


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=str(ROOT / ".venv/bin/python"), help="interpreter of `make env`")
    parser.add_argument("--store", type=Path, default=ROOT / "build/images", help="where images lie; ~20 GB")
    parser.add_argument("--record", type=Path, default=ROOT / "build/reproduced", help="protocol.json and the bills")
    parser.add_argument("--driver", default="overlay", choices=("overlay", "vfs"), help="vfs needs no kernel support")
    parser.add_argument("--images", nargs="+", choices=IMAGES, default=IMAGES)
    parser.add_argument("--random-voice", action="store_true", help="a small voice of seeded weights: one minute")
    parser.add_argument("--renew-base", action="store_true", help="pin the base that is made now, in base.lock")
    parser.add_argument("--keep", action="store_true", help="leave the store and the runs for a look")
    given = parser.parse_args(arguments)
    given.images = tuple(given.images)
    given.python = str(Path(given.python).absolute())
    given.store, given.record = given.store.absolute(), given.record.absolute()
    return given


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: list[str]) -> int:
    """Runs the protocol; returns the exit code."""
    given, progress = _options(arguments), Progress()
    signal.signal(signal.SIGTERM, _stop)
    code = 0
    try:
        claim(given.store)
        given.record.mkdir(parents=True, exist_ok=True)
        store = Store(given.store, given.driver)
        Protocol(given, store, progress).run()
        if not given.keep:
            store.remove()
            shutil.rmtree(given.store)
    except (Differs, base_image.LockDiffers) as error:
        progress.fault("DIFFERS", str(error))
        code = 1
    except GatesFailed as error:
        progress.fault("GATES", str(error))
        code = 1
    except CommandFailed as error:
        progress.fault("error", str(error))
        code = 2
    except KeyboardInterrupt:
        progress.fault("error", "interrupted")
        code = _INTERRUPTED
    if code and (given.store / "journal.json").exists():
        progress.detail(f"{given.store} is kept: the same command goes on from there")
    elif not code:
        progress.detail(f"all equal, {duration(progress.seconds)}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
