"""Which phone it is, and whether the tool fits it."""

from __future__ import annotations

import re
from pathlib import Path

from toolkit.bench.phone.adb import Adb
from toolkit.errors import BenchError
from toolkit.results import Device

_PROPERTY = re.compile(r"\[([^\]]+)\]: \[(.*)\]")
_ELF = b"\x7fELF"
# e_machine of an ELF file, by Android's name of the instruction set.
_MACHINES = {183: "arm64-v8a", 40: "armeabi-v7a", 62: "x86_64", 3: "x86", 243: "riscv64"}


def read_device(adb: Adb) -> Device:
    """Model, SoC, Android version and instruction set of the phone.

    Raises:
        BenchError: it does not say, or is gone.
    """
    properties = parse_properties(adb.shell("getprop", "asking the phone what it is").text)
    abi = properties.get("ro.product.cpu.abi", "")
    if not abi:
        raise BenchError(
            "the phone does not say what it is (getprop names no ro.product.cpu.abi)",
            code="bench/phone-unusable",
            where=adb.serial,
            hint="is it an Android device? adb shell getprop",
        )
    maker, model = properties.get("ro.product.manufacturer", ""), properties.get("ro.product.model", "")
    soc = " ".join(
        word for word in (properties.get("ro.soc.manufacturer", ""), properties.get("ro.soc.model", "")) if word
    )
    api = properties.get("ro.build.version.sdk", "")
    return Device(
        name=model if model.lower().startswith(maker.lower()) else f"{maker} {model}".strip(),
        soc=soc or properties.get("ro.board.platform") or properties.get("ro.hardware") or None,
        android=properties.get("ro.build.version.release") or None,
        api_level=int(api) if re.fullmatch(r"[0-9]{1,4}", api) else None,
        abi=abi,
        build=properties.get("ro.build.fingerprint") or None,
        serial=adb.serial,
    )


def parse_properties(text: str) -> dict[str, str]:
    """The lines ``[name]: [value]`` of getprop; a value may span lines and is then left out."""
    return {found[1]: found[2] for line in text.splitlines() if (found := _PROPERTY.fullmatch(line.strip()))}


def where(device: Device) -> str:
    """Label of every latency measured there."""
    parts = [device.name or "unnamed phone"]
    if device.soc:
        parts.append(f"({device.soc})")
    if device.android:
        parts.append(f"Android {device.android}")
    return " ".join(parts) + f", serial {device.serial}"


def check_tool(path: Path, abi: str) -> None:
    """Makes sure that benchmark_model is a program for that phone.

    Raises:
        BenchError: it is missing, no program, or for another instruction set.
    """
    hint = "build it with Bazel: --config=android_arm64 //tflite/tools/benchmark:benchmark_model"
    try:
        with path.open("rb") as stream:
            head = stream.read(20)
    except OSError as error:
        raise BenchError(
            f"benchmark_model cannot be read: {error.strerror}",
            code="bench/no-benchmark-model",
            where=str(path),
            hint=hint,
        ) from error
    order = "little" if head[5:6] == b"\x01" else "big"
    machine = int.from_bytes(head[18:20], order) if len(head) == 20 and head[:4] == _ELF else 0
    made_for = _MACHINES.get(machine)
    if made_for is None or not (made_for == abi or (made_for, abi) == ("armeabi-v7a", "arm64-v8a")):
        raise BenchError(
            f"benchmark_model is for {made_for or 'no known processor'}, the phone is {abi}",
            code="bench/wrong-abi",
            where=str(path),
            hint=hint,
        )
