"""Builds really made: the same twice, and one made to differ is caught. Skipped where buildah is missing."""

import io
import json
import os
import shutil
import subprocess
import types
from datetime import UTC, datetime

import base_image
import conversions
import image_checks
import index_settings
import pytest
import reproduce
from buildah import CommandFailed, ImageRecipe, Store

needs_buildah = pytest.mark.skipif(
    shutil.which("buildah") is None or os.geteuid() != 0, reason="needs root and Debian's buildah"
)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "images", "vfs")


def _recipe(folder, *, timestamp_s, user="USER 10001\n"):
    folder.mkdir(exist_ok=True)
    (folder / "file").write_text("content")
    (folder / "Dockerfile").write_text(f"FROM scratch\nCOPY file /file\n{user}")
    return ImageRecipe(dockerfile=folder / "Dockerfile", context=folder, arguments={}, timestamp_s=timestamp_s)


class Restless(Store):
    """Touches the context before each build, as a checkout at another time does."""

    seconds = 100_000_000

    def build(self, recipe, tag, heard=lambda line: None):
        self.seconds += 3600
        os.utime(recipe.context / "file", (self.seconds, self.seconds))
        return super().build(recipe, tag, heard)


TAGS = ("localhost/small:first", "localhost/small:second")


@needs_buildah
def test_two_builds_have_one_id_though_the_files_times_differ(tmp_path):
    store = Restless(tmp_path / "images", "vfs")
    heard = []
    ids = [store.build(_recipe(tmp_path / "context", timestamp_s=0), tag, heard.append) for tag in TAGS]
    image_checks.check_ids(store, TAGS, ids)
    assert store.known_id(TAGS[1]) == ids[0]
    assert store.known_id("localhost/small:third") is None
    assert store.size_bytes(TAGS[0]) > len("content")
    assert "STEP 2/3: COPY file /file" in heard[1]


@needs_buildah
def test_a_time_let_through_is_caught_and_the_file_named(tmp_path):
    store = Restless(tmp_path / "images", "vfs")
    ids = [store.build(_recipe(tmp_path / "context", timestamp_s=None), tag) for tag in TAGS]
    with pytest.raises(image_checks.Differs, match="two builds have the ids") as caught:
        image_checks.check_ids(store, TAGS, ids)
    assert "\n  file: -rw" in str(caught.value)


@needs_buildah
def test_an_image_of_root_is_caught(tmp_path, store):
    store.build(_recipe(tmp_path / "context", timestamp_s=0, user=""), "localhost/small")
    with pytest.raises(image_checks.Differs, match="runs as root"):
        image_checks.check_contents(store, "localhost/small", tmp_path / "bill.json")


@needs_buildah
def test_a_store_is_removed_with_containers_left_behind(tmp_path, store):
    store.build(_recipe(tmp_path / "context", timestamp_s=0), "localhost/small")
    store("from", "--pull-never", "localhost/small")
    store.remove()
    assert store.known_id("localhost/small") is None
    shutil.rmtree(tmp_path / "images")


@needs_buildah
def test_a_failed_build_says_what_the_builder_said(tmp_path, store):
    recipe = _recipe(tmp_path / "context", timestamp_s=0)
    recipe.dockerfile.write_text("FROM scratch\nCOPY absent /absent\n")
    with pytest.raises(CommandFailed, match="absent"):
        store.build(recipe, "localhost/small")


def test_a_folder_of_other_files_is_not_taken_nor_removed(tmp_path, capsys, monkeypatch):
    (tmp_path / "letter.txt").write_text("dear")
    monkeypatch.setattr(reproduce, "call", lambda command: "")
    assert reproduce.main(["--store", str(tmp_path)]) == 2
    assert "choose an empty --store" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_two_ids_without_a_differing_file_are_still_two(tmp_path):
    class Fake:
        def mounted(self, image):
            return _Entered(tmp_path)

    with pytest.raises(image_checks.Differs, match="configurations do"):
        image_checks.check_ids(Fake(), TAGS, ["sha-one", "sha-two"])


class _Entered(types.SimpleNamespace):
    def __init__(self, folder):
        super().__init__(folder=folder)

    def __enter__(self):
        return self.folder

    def __exit__(self, *error):
        return False


class Pretended:
    """A store whose builds are names; everything else of the protocol is real."""

    def __init__(self, folder, driver):
        self.images = IMAGES_OF.setdefault(folder, {})

    def build(self, recipe, tag, heard):
        BUILT.append(tag)
        if tag == FAILS.get("at"):
            raise CommandFailed("the disk is full", 1)
        self.images[tag] = f"id of {tag.partition(':')[0]}{FAILS.get(tag, '')}"
        return self.images[tag]

    def known_id(self, tag):
        return self.images.get(tag)

    def size_bytes(self, tag):
        return 1

    def clear_containers(self):
        return None

    def mounted(self, image):
        return _Entered(FAILS["folder"])

    def run_offline(self, image, words, volumes=()):
        return f"{words[1]} said\n"

    def remove(self):
        self.images.clear()


IMAGES_OF, BUILT, FAILS = {}, [], {}
HELD = {"gates": [], "validity": {"valid": True, "reasons": []}}


def broken(name, *, valid=True):
    """Results in which a gate did not hold."""
    gate = {"id": name, "title": f"The {name}", "value": 0.305, "unit": "points", "limit": 0.25, "comparison": "<=",
            "status": "fail"}  # fmt: skip
    return {"gates": [gate], "validity": {"valid": valid, "reasons": [] if valid else ["second half 42% slower"]}}


@pytest.fixture
def pretended(tmp_path, monkeypatch):
    """`make images` with pretended builds and conversions, in ``tmp_path``."""
    for kept in (IMAGES_OF, BUILT, FAILS):
        kept.clear()
    FAILS["folder"] = tmp_path
    monkeypatch.setattr(reproduce, "Store", Pretended)
    monkeypatch.setattr(reproduce, "call", lambda command: "")
    monkeypatch.setattr(index_settings, "pip_settings", dict)
    monkeypatch.setattr(base_image, "make_archive", lambda out, mirrors=(): out.write_text("archive"))
    monkeypatch.setattr(base_image, "check", lambda archive, lock: None)
    monkeypatch.setattr(base_image, "build_base", lambda store, archive: store.build(None, base_image.TAG, None))
    monkeypatch.setattr(
        reproduce, "check_contents", lambda store, image, out: out.write_text("{}") and "user, bill of materials"
    )

    def convert(side):
        def run(first, second, arguments, folder, heard):
            BUILT.append(side)
            heard("decoder: float32 TFLite")
            for name in ("bundle/decoder.tflite", "audio/one.flac", "report.md"):
                (folder / "run" / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / "run" / name).write_text(FAILS.get(f"{side} {name}", "same"))
            (folder / "run/manifest.json").write_text('{"tools": {"python": "3"}}')
            (folder / "run/results.json").write_text(json.dumps(FAILS.get(f"{side} results", HELD)))
            return folder / "run"

        return run

    monkeypatch.setattr(conversions, "convert_inside", convert("inside"))
    monkeypatch.setattr(conversions, "convert_outside", convert("outside"))

    def run(*arguments):
        BUILT.clear()
        return reproduce.main(["--store", str(tmp_path / "store"), "--record", str(tmp_path / "record"), *arguments])

    return run


CONVERT, BENCH = (
    ["localhost/convert:first", "localhost/convert:second"],
    ["localhost/bench:first", "localhost/bench:second"],
)
WHOLE_PROTOCOL = [base_image.TAG, *CONVERT, *BENCH, "inside", "outside"]


def test_the_whole_protocol_records_ids_digests_and_times_and_removes_its_store(pretended, tmp_path, capsys):
    assert pretended() == 0
    assert BUILT == WHOLE_PROTOCOL
    assert not (tmp_path / "store").exists()
    record = json.loads((tmp_path / "record/protocol.json").read_text())
    assert record["images"]["bench"] == {"id": "id of localhost/bench", "size_bytes": 1, "bill": "bench.cdx.json"}
    assert list(record["conversion"]["sha256"]) == ["audio/one.flac", "bundle/decoder.tflite"]
    assert record["conversion"]["voice"] == "the embedded default voice"
    assert {"convert: first build", "conversion outside"} <= record["seconds"].keys()
    assert "ok  bench image: inspect: inspect said" in capsys.readouterr().out


def test_a_protocol_that_stopped_goes_on_where_it_was(pretended, tmp_path, capsys):
    FAILS["at"] = "localhost/bench:second"
    assert pretended() == 2
    assert "the disk is full" in capsys.readouterr().out
    del FAILS["at"]
    assert pretended() == 0
    assert BUILT == ["localhost/bench:second", "inside", "outside"]
    assert "kept from an interrupted run" in capsys.readouterr().out


def test_what_an_image_was_made_of_changed_so_it_is_built_again(pretended, monkeypatch):
    FAILS["at"] = "localhost/bench:second"
    assert pretended() == 2
    del FAILS["at"]
    monkeypatch.setattr(reproduce, "context_digest", lambda context, ignored: "another")
    assert pretended() == 0
    assert WHOLE_PROTOCOL[1:] == BUILT


def test_builds_of_two_ids_fail_and_are_not_kept(pretended):
    FAILS["localhost/convert:second"] = ", another"
    assert pretended() == 1
    assert pretended() == 1
    assert BUILT == CONVERT


@pytest.mark.parametrize("name", ["bundle/decoder.tflite", "audio/one.flac"])
def test_conversions_that_differ_fail_and_are_not_kept(pretended, capsys, name):
    FAILS[f"inside {name}"] = "other"
    assert pretended() == 1
    assert f"\n  {name}: " in capsys.readouterr().out
    assert pretended() == 1
    assert BUILT == ["inside", "outside"]


def test_a_failed_gate_fails_the_protocol_after_all_was_compared(pretended, capsys, tmp_path):
    FAILS["inside results"] = FAILS["outside results"] = broken("mos_drop_worst")
    assert pretended() == 1
    assert BUILT == WHOLE_PROTOCOL
    said = capsys.readouterr().out
    assert "ok  conversion: inside against outside: the same 2 files" in said and "ok  bench image: bench" in said
    line = "The mos_drop_worst (mos_drop_worst): 0.305 points, limit <= 0.25"
    assert f"GATES  all is equal, but gates of the recipe did not hold\n  inside: {line}\n  outside: {line}\n" in said
    assert "all equal," not in said and "DIFFERS" not in said
    record = json.loads((tmp_path / "record/protocol.json").read_text())
    assert record["conversion"]["gates_failed"] == {"inside": [line], "outside": [line]}
    FAILS["inside results"] = FAILS["outside results"] = HELD
    assert pretended() == 0  # the images are kept, the conversions are made again
    assert BUILT == ["inside", "outside"]


def test_a_gate_that_fails_on_one_side_fails_too(pretended, capsys):
    FAILS["outside results"] = broken("mos_drop_worst")
    assert pretended() == 1
    assert "\n  outside: The mos_drop_worst" in capsys.readouterr().out


def test_a_time_on_a_crowded_machine_is_told_and_fails_nothing(pretended, capsys, tmp_path):
    FAILS["inside results"] = broken("latency_ratio", valid=False)
    assert pretended() == 0
    said = capsys.readouterr().out
    assert "inside: The latency_ratio (latency_ratio): 0.305 points, limit <= 0.25: does not count" in said
    assert "inside: its times are INVALID: second half 42% slower" in said
    record = json.loads((tmp_path / "record/protocol.json").read_text())
    assert record["conversion"]["gates_failed"] == {"inside": [], "outside": []}
    assert len(record["conversion"]["noise"]["inside"]) == 2


def test_a_time_that_is_valid_fails(pretended):
    FAILS["inside results"] = broken("latency_ratio")
    assert pretended() == 1


def test_a_difference_is_told_beside_a_failed_gate(pretended, capsys):
    FAILS["inside results"], FAILS["inside bundle/decoder.tflite"] = broken("mos_drop_worst"), "other"
    assert pretended() == 1
    said = capsys.readouterr().out
    assert "DIFFERS" in said and "\n  bundle/decoder.tflite: " in said and "\n  inside: The mos_drop_worst" in said


def test_a_report_that_differs_is_no_difference(pretended):
    FAILS["inside report.md"] = "1 ms"
    assert pretended() == 0


def test_an_interrupted_protocol_says_so_and_keeps_its_store(pretended, monkeypatch, tmp_path, capsys):
    def stop(store, archive):
        raise KeyboardInterrupt

    monkeypatch.setattr(base_image, "build_base", stop)
    assert pretended() == 130
    assert "interrupted" in capsys.readouterr().out
    assert (tmp_path / "store").exists()


CHECK = base_image.check
MADE = datetime(2026, 11, 29, 17, 50, tzinfo=UTC)
STATUS = """Package: apt
Status: install ok installed
Version: {apt}

Package: dash
Status: install ok installed
Source: elsewhere
Version: 0.5
"""


def _archive(folder, apt):
    import tarfile

    root = folder / f"apt-{apt}"
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "var/lib/dpkg/status").write_text(STATUS.format(apt=apt))
    archive = folder / f"base-{apt}.tar"
    with tarfile.open(archive, "w") as files:
        files.add(root / "var/lib/dpkg/status", "./var/lib/dpkg/status")
    return archive


def test_the_pinned_base_is_accepted_and_a_newer_package_named(tmp_path):
    lock = tmp_path / "base.lock"
    pinned = _archive(tmp_path, "2.6.1")
    lock.write_text(base_image.lock_text(pinned, MADE))
    assert lock.read_text().startswith("snapshot=20261129T175000Z\nsha256:")
    assert "apt=2.6.1\ndash=0.5\n" in lock.read_text()
    base_image.check(pinned, lock)
    with pytest.raises(base_image.LockDiffers) as caught:
        base_image.check(_archive(tmp_path, "2.6.2"), lock)
    assert "- apt=2.6.1" in str(caught.value)
    assert "+ apt=2.6.2" in str(caught.value)
    assert "dash" not in str(caught.value)


@pytest.fixture
def moved_on(pretended, tmp_path, monkeypatch):
    """`make images` where Debian's mirrors hold a newer apt than the lock pins; which mirrors were asked."""
    lock, asked = tmp_path / "base.lock", []
    archives = {"usual": _archive(tmp_path, "2.6.2"), "snapshot": _archive(tmp_path, "2.6.1")}
    lock.write_text(base_image.lock_text(archives["snapshot"], MADE))

    def make(out, mirrors=()):
        asked.append(tuple(mirrors))
        shutil.copyfile(archives["snapshot" if mirrors else "usual"], out)

    monkeypatch.setattr(reproduce, "LOCK", lock)
    monkeypatch.setattr(base_image, "make_archive", make)
    monkeypatch.setattr(base_image, "check", CHECK)
    return pretended, lock, asked


def test_a_base_that_debian_has_moved_on_from_is_taken_from_the_snapshots(moved_on, monkeypatch, capsys):
    run, _, asked = moved_on
    monkeypatch.setattr(base_image.urllib.request, "urlopen", lambda url, timeout: io.BytesIO(b"Suite"))
    assert run() == 0
    assert asked[0] == () and len(asked) == 2 and len(asked[1]) == 3
    assert all(" [check-valid-until=no] http://snapshot.debian.org/archive/debian" in line for line in asked[1])
    assert all("/20261129T175000Z bookworm" in line for line in asked[1])
    assert "as base.lock pins it, from snapshot.debian.org" in capsys.readouterr().out


def test_where_the_snapshots_cannot_be_asked_the_change_and_the_command_are_told(moved_on, monkeypatch, capsys):
    def unreachable(url, timeout):
        raise base_image.urllib.error.URLError("Name or service not known")

    run, lock, asked = moved_on
    monkeypatch.setattr(base_image.urllib.request, "urlopen", unreachable)
    assert run() == 1 and asked == [()]
    said = capsys.readouterr().out
    assert "- apt=2.6.1" in said and "+ apt=2.6.2" in said and "--renew-base" in said
    assert run("--renew-base") == 0
    assert "apt=2.6.2" in lock.read_text()


def test_the_image_names_debians_usual_mirrors_whichever_were_asked(tmp_path, monkeypatch):
    """A snapshot's address in sources.list would make other bytes of the same packages."""
    ran = []
    monkeypatch.setattr(base_image, "call", lambda command, environment: ran.append(command) or _made(tmp_path))
    for mirrors in ((), ("deb http://elsewhere bookworm main",)):
        base_image.make_archive(tmp_path / "base.tar", mirrors)
    usual, other = ran
    assert other[: len(usual)] == usual and other[len(usual) :] == ["deb http://elsewhere bookworm main"]
    (hook,) = (word for word in usual if "sources.list" in word)
    root = tmp_path / "root/etc/apt"
    root.mkdir(parents=True)
    subprocess.run(["sh", "-c", hook.partition("=")[2], "hook", str(tmp_path / "root")], check=True)
    written = (root / "sources.list").read_text()
    assert written.startswith("deb http://deb.debian.org/debian bookworm main\n") and written.count("\n") == 3


def _made(folder):
    (folder / "base.partial.tar").touch()


@pytest.fixture
def image_files(tmp_path):
    packages = tmp_path / "opt/toolkit/lib/python3.11/site-packages"
    for name in ("numpy-1.26.4.dist-info", "jieba-0.42.1.egg-info", "flowlite_toolkit-0.1.0.dist-info"):
        (packages / name).mkdir(parents=True)
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(
        "Package: apt\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.6\n"
    )
    return tmp_path


def _bill(*purls):
    return {"components": [{"purl": purl} for purl in purls]}


WHOLE = ("pkg:pypi/numpy@1.26.4", "pkg:pypi/jieba@0.42.1", "pkg:deb/debian/apt@2.6?arch=amd64")


def test_a_bill_of_what_is_installed_has_no_fault(image_files):
    assert image_checks.bill_faults(_bill(*WHOLE), image_files) == []


@pytest.mark.parametrize("left_out", WHOLE)
def test_a_bill_that_leaves_something_out_is_caught(image_files, left_out):
    (fault,) = image_checks.bill_faults(_bill(*(set(WHOLE) - {left_out})), image_files)
    assert fault.startswith("lacks ") and fault.removeprefix("lacks ").split(",")[0] in left_out


def test_a_bill_that_lists_what_is_not_there_is_caught(image_files):
    (fault,) = image_checks.bill_faults(_bill(*WHOLE, "pkg:pypi/six@1.17.0"), image_files)
    assert fault == "lists pypi/six, which is not installed"
