#!/usr/bin/env python3
"""Builds the images twice without a daemon and converts inside and outside of them; any difference is an error.

    docker/reproduce.py --python .venv/bin/python

As root, with Debian's buildah, mmdebstrap and util-linux. What is checked, each line printed as it is known:

1. the Dockerfiles pass hadolint;
2. the base image, made of Debian packages, is the one that base.lock pins;
3. two builds of each image, nothing reused, have the same id; where they have not, the files that differ are listed;
4. each image runs as user 10001, and its bill of materials lists exactly what is installed in it;
5. a conversion inside the convert image, without a network, and one outside write files of the same sha256;
6. the bench image, without a network, inspects and measures what was converted.

Exit codes: 0 all equal, 1 something differs, 2 something could not be done.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import base_image
import conversions
import index_settings
from buildah import CommandFailed, ImageRecipe, Store, call
from differences import differences

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "docker/base.lock"
IMAGES = ("convert", "bench")
USER = "10001"
_SHOWN = 40
_MARK = ".flowlite-images"


class Differs(RuntimeError):
    """Two things that must be the same are not."""


def say(text: str) -> None:
    """One line of the protocol."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def claim(folder: Path) -> None:
    """Makes the folder this script's own, since it removes it at the end.

    Raises:
        CommandFailed: something else lies in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()) and not (folder / _MARK).exists():
        raise CommandFailed(f"{folder} holds other files, and is removed at the end: choose an empty --store")
    (folder / _MARK).touch()


def built_twice(store: Store, recipe: ImageRecipe, name: str) -> str:
    """Builds an image twice and returns the id that both builds have.

    Raises:
        Differs: they have two ids; the message lists the files that differ.
    """
    tags = [f"localhost/{name}:{build}" for build in ("first", "second")]
    ids = [store.build(recipe, tag) for tag in tags]
    if ids[0] != ids[1]:
        with store.mounted(tags[0]) as one, store.mounted(tags[1]) as other:
            lines = differences(one, other) or ["no file differs: the images' configurations do"]
        shown = "\n  ".join(lines[:_SHOWN])
        raise Differs(f"{name}: two builds have the ids {ids[0]} and {ids[1]}\n  {shown}")
    return ids[0]


def check_contents(store: Store, image: str) -> str:
    """Checks the user and the bill of materials against the image's files; returns what was counted.

    Raises:
        Differs: it runs as another user, or the bill lists too much or too little.
    """
    if store.user(image) != USER:
        raise Differs(f"{image} runs as {store.user(image) or 'root'}, not as {USER}")
    with store.mounted(image) as files:
        bill = json.loads((files / "opt/toolkit/sbom.cdx.json").read_text(encoding="utf-8"))
        listed = {component["purl"].partition("?")[0] for component in bill["components"]}
        (packages,) = (files / "opt/toolkit/lib").glob("python3*/site-packages")
        infos = [path.name.removesuffix(".dist-info") for path in packages.glob("*.dist-info")]
        status = (files / "var/lib/dpkg/status").read_text(encoding="utf-8")
    python, system = len(infos) - 1, status.count("Status: install ok installed")  # the toolkit is the bill's subject
    counted = [sum(purl.startswith(kind) for purl in listed) for kind in ("pkg:pypi/", "pkg:deb/")]
    if counted != [python, system]:
        raise Differs(f"{image}: the bill lists {counted}, installed are {[python, system]} (Python, Debian packages)")
    return f"user {USER}, bill of materials: {python} Python and {system} Debian packages"


def protocol(given: argparse.Namespace) -> Iterator[str]:
    """Carries out every check; yields a line for each that held."""
    hadolint = Path(given.python).with_name("hadolint")
    call([str(hadolint), *(str(ROOT / f"docker/{name}.Dockerfile") for name in IMAGES)])
    yield "hadolint: no finding"
    folder: Path = given.store
    claim(folder)
    store = Store(folder, given.driver)
    archive = folder / "base" / "base.tar"
    archive.parent.mkdir(exist_ok=True)
    if not archive.exists():
        base_image.make_archive(archive)
    if given.renew_base:
        LOCK.write_text(base_image.lock_text(archive), encoding="utf-8")
    base_image.check(archive, LOCK)
    base = base_image.build_base(store, archive)
    yield f"base: as pinned, image {base}"
    settings = index_settings.pip_settings()
    for name in given.images:
        recipe = ImageRecipe(
            dockerfile=ROOT / f"docker/{name}.Dockerfile",
            context=ROOT,
            arguments={"BASE_IMAGE": base_image.TAG, **index_settings.build_arguments(settings)},
            volumes=index_settings.volumes(settings),
        )
        yield f"{name}: two builds, one image {built_twice(store, recipe, name)}"
        yield f"{name}: {check_contents(store, f'localhost/{name}:first')}"
    if "convert" in given.images:
        arguments = () if given.default_voice else conversions.SMALL_VOICE
        inside = conversions.convert_inside(store, "localhost/convert:first", arguments, folder / "inside")
        outside = conversions.convert_outside(given.python, ROOT, arguments, folder / "outside")
        if lines := conversions.disagreements(inside, outside):
            raise Differs("the conversion inside and the one outside differ\n  " + "\n  ".join(lines[:_SHOWN]))
        yield f"conversion inside and outside: {conversions.summary(inside)}"
    if given.images == IMAGES:
        yield from _benched(store, folder / "inside")


def _benched(store: Store, runs: Path) -> Iterator[str]:
    volumes = [f"{runs}:/work/runs:ro"]
    for command in (["inspect", "runs/run/bundle/decoder.tflite"], ["bench", "runs/run/bundle/decoder.tflite"]):
        said = store.run_offline("localhost/bench:first", ["toolkit", *command], volumes=volumes).splitlines()
        yield f"bench image: {command[0]}: {said[0].strip()}"


def main(arguments: list[str]) -> int:
    """Runs the protocol; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=str(ROOT / ".venv/bin/python"), help="interpreter of `make env`")
    parser.add_argument("--store", type=Path, default=ROOT / "build/images", help="where images lie; ~20 GB")
    parser.add_argument("--driver", default="overlay", choices=("overlay", "vfs"), help="vfs needs no kernel support")
    parser.add_argument("--images", nargs="+", choices=IMAGES, default=IMAGES)
    parser.add_argument("--default-voice", action="store_true", help="convert the default voice: minutes, not one")
    parser.add_argument("--renew-base", action="store_true", help="pin the base that is made now, in base.lock")
    parser.add_argument("--keep", action="store_true", help="leave the store and the runs for a look")
    given = parser.parse_args(arguments)
    given.images = tuple(given.images)
    given.python, given.store = str(Path(given.python).absolute()), given.store.absolute()
    try:
        for line in protocol(given):
            say(f"ok  {line}")
    except (Differs, base_image.LockDiffers) as error:
        say(f"DIFFERS  {error}")
        return 1
    except CommandFailed as error:
        say(f"error  {error}")
        return 2
    finally:
        if not given.keep and (given.store / _MARK).exists():
            shutil.rmtree(given.store, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
