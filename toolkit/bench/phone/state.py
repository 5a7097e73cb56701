"""Heat, clocks and battery of a phone, before and after; and what of it makes a measurement worthless."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Any

from toolkit.bench.phone.adb import Adb
from toolkit.results import PhoneState
from toolkit.results.phone import THERMAL_NAMES

_CLOCKS = (
    "for p in /sys/devices/system/cpu/cpufreq/policy*; do "
    'echo "${p##*/} $(cat $p/scaling_governor 2>/dev/null) $(cat $p/scaling_max_freq 2>/dev/null)"; done'
)
_STATUS = re.compile(r"^\s*Thermal Status: ([0-9]{1,3})\s*$", re.MULTILINE)
_TEMPERATURE = re.compile(r"Temperature\{mValue=(-?[0-9]{1,9}(?:\.[0-9]+)?), mType=(-?[0-9]{1,3}), mName=([^,}]+)")
_TEMPERATURE_TYPES = frozenset(range(6)) | {9}  # 6 to 8 are battery limits in volts, amperes and percent
_POLICY = re.compile(r"(policy[0-9]{1,3}) ([A-Za-z_]+) ([0-9]{1,12})")
_SMALL = re.compile(r"-?[0-9]{1,6}")
_BATTERY = re.compile(r"^\s*([A-Za-z ]+): (\S+)\s*$", re.MULTILINE)
_POWERED = ("AC powered", "USB powered", "Wireless powered", "Dock powered")


def read_state(adb: Adb) -> PhoneState:
    """Reads, in one go, all that the phone lets be read; the rest is named in ``unreadable``.

    Raises:
        DeviceGone: the phone is gone.
        BenchError: it does not answer in time.
    """
    sources: tuple[tuple[str, str, Callable[[str], dict[str, Any]]], ...] = (
        ("thermal state", "dumpsys thermalservice", parse_thermal),
        ("governor and clocks", _CLOCKS, parse_clocks),
        ("battery", "dumpsys battery", parse_battery),
        ("battery saver", "settings get global low_power", parse_saver),
    )
    mark = f"toolkit-{secrets.token_hex(8)}"
    command = "; ".join(f"{command}; echo; echo {mark}" for _, command, _ in sources)
    said = adb.shell(command, "reading the phone's heat, clocks and battery").text.split(f"{mark}\n")
    found: dict[str, Any] = {}
    unreadable: dict[str, str] = {}
    for number, (what, _, parse) in enumerate(sources):
        try:
            found |= parse(said[number] if number < len(said) - 1 else "")
        except ValueError as error:
            unreadable[what] = str(error)
    return PhoneState(**found, unreadable=unreadable)


def parse_thermal(text: str) -> dict[str, Any]:
    """Status and current temperatures of ``dumpsys thermalservice`` (Android 10 and newer).

    Raises:
        ValueError: there is no status in it.
    """
    status = _STATUS.search(text)
    if status is None or int(status[1]) >= len(THERMAL_NAMES):
        raise ValueError(f"dumpsys thermalservice says {text.strip()[:80]!r}, without a thermal status")
    current = text.partition("Current temperatures from HAL:")[2].partition("Current cooling devices")[0]
    temperatures = {
        name: float(value)
        for value, kind, name in _TEMPERATURE.findall(current)
        if int(kind) in _TEMPERATURE_TYPES and -50 < float(value) < 200
    }
    return {"thermal_status": int(status[1]), "temperatures_c": temperatures}


def parse_clocks(text: str) -> dict[str, Any]:
    """Governor and highest allowed clock of each cpufreq policy, one a line.

    Raises:
        ValueError: a policy does not let it be read, or there is none.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    rows = [_POLICY.fullmatch(line) for line in lines]
    if not rows or None in rows:
        raise ValueError("the kernel does not let governor and clock be read" if lines else "there is no cpufreq")
    read = [row for row in rows if row is not None]
    return {"governors": {row[1]: row[2] for row in read}, "max_khz": {row[1]: int(row[3]) for row in read}}


def parse_battery(text: str) -> dict[str, Any]:
    """Charge, temperature and charging of ``dumpsys battery``.

    Raises:
        ValueError: it is no such dump.
    """
    fields = dict(_BATTERY.findall(text))
    level, scale, tenths = (fields.get(name, "") for name in ("level", "scale", "temperature"))
    if not all(_SMALL.fullmatch(word) for word in (level, scale, tenths)) or int(scale) <= 0 or int(level) < 0:
        raise ValueError(f"dumpsys battery says {text.strip()[:80]!r}, without level and temperature")
    return {
        "battery_percent": 100.0 * int(level) / int(scale),
        "battery_c": int(tenths) / 10.0,
        "charging": any(fields.get(name) == "true" for name in _POWERED),
    }


def parse_saver(text: str) -> dict[str, Any]:
    """Whether the battery saver is on; ``null`` stands for never touched.

    Raises:
        ValueError: neither of those.
    """
    word = text.strip()
    if word not in ("0", "1", "null"):
        raise ValueError(f"settings say {word[:80]!r}")
    return {"battery_saver": word == "1"}


def objections(before: PhoneState, after: PhoneState) -> tuple[str, ...]:
    """Why nothing measured between two moments may be quoted: heat, a changed governor, a capped clock."""
    reasons = []
    for name, state in (("before", before), ("after", after)):
        if state.thermal_status:
            reasons.append(f"thermal status {THERMAL_NAMES[state.thermal_status]} {name} the run: the phone throttles")
        if state.battery_saver:
            reasons.append(f"battery saver on {name} the run")
    for policy in sorted(set(before.governors) & set(after.governors)):
        if before.governors[policy] != after.governors[policy]:
            reasons.append(f"governor of {policy} changed from {before.governors[policy]} to {after.governors[policy]}")
    for policy in sorted(set(before.max_khz) & set(after.max_khz)):
        low, high = sorted((before.max_khz[policy], after.max_khz[policy]))
        if low < high:
            reasons.append(
                f"highest clock of {policy} changed from {before.max_khz[policy] / 1e3:.0f} to "
                f"{after.max_khz[policy] / 1e3:.0f} MHz"
            )
    lost = (set(before.governors) ^ set(after.governors)) if before.governors and after.governors else set()
    reasons += [f"{policy} was there only once: its cores were switched off or on" for policy in sorted(lost)]
    return tuple(reasons)


def remarks(before: PhoneState, after: PhoneState) -> tuple[str, ...]:
    """What a reader must know and what does not spoil the measurement by itself."""
    notes = [
        f"the {what} could not be read: {why}; that it was steady is not known"
        for what, why in sorted((before.unreadable | after.unreadable).items())
    ]
    if before.charging != after.charging and None not in (before.charging, after.charging):
        notes.append("the charger was plugged in or out during the run")
    return tuple(notes)
