"""An adb with a phone made of a directory. Run as a program: ``fake_adb.py STATE ARGUMENTS…``.

The phone's shell is this computer's, with the phone's paths mapped into STATE and the phone's commands first on PATH.
As on a real phone, what was started there goes on when the client is killed. STATE holds

    phone/…            the phone's files (/data/local/tmp is phone/tmp)
    bin/               getprop, dumpsys, settings and what stands in for benchmark_model
    trouble.json       what goes wrong: a list of {"when": REGEX, "what": KIND, …}
    calls.log          every call

KIND: ``unplug`` (from then on; ``back_after`` calls it returns), ``break`` (the answer has no end), ``hang``,
``refuse`` (exit 1 with ``text``).
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

GONE = "error: device 'FAKE01' not found"


def main(state, arguments):
    call = " ".join(arguments)
    with Path(state, "calls.log").open("a") as stream:
        stream.write(call.replace("\n", " ") + "\n")
    if arguments[:1] == ["devices"]:
        print(
            "List of devices attached\nFAKE01                 device usb:1-1 product:fake model:Fake transport_id:1\n"
        )
        return 0
    assert arguments[:2] == ["-s", "FAKE01"] or arguments[:2] == ["-s", "OTHER"], arguments
    if arguments[1] != "FAKE01":
        print(f"error: device '{arguments[1]}' not found", file=sys.stderr)
        return 1
    verb, rest = arguments[2], arguments[3:]
    kind, how = trouble(state, call)
    if kind == "unplug":
        print(GONE, file=sys.stderr)
        return 1
    if kind == "refuse":
        print(how.get("text", "refused"), file=sys.stderr)
        return 1
    if kind == "hang":
        time.sleep(600)
    if verb == "get-state":
        print("* daemon not running; starting now at tcp:5037\n* daemon started successfully\ndevice")
        return 0
    if verb == "push":
        return push(state, *rest)
    if verb == "pull":
        return copy(inside(state, rest[0]), rest[1])
    return shell(state, rest[0], how if kind == "break" else None)


def trouble(state, call):
    """The first trouble that fits; an unplugged phone stays so until it is back."""
    unplugged = Path(state, "unplugged")
    if unplugged.exists():
        left = int(unplugged.read_text())
        if left != 1:
            unplugged.write_text(str(left - 1 if left > 0 else left))
            return "unplug", {}
        unplugged.unlink()
    rules = Path(state, "trouble.json")
    for number, rule in enumerate(json.loads(rules.read_text()) if rules.exists() else []):
        done = Path(state, f"done-{number}")
        if re.search(rule["when"], call, re.DOTALL) and not done.exists():
            done.touch()
            if rule["what"] == "unplug":
                unplugged.write_text(str(rule.get("back_after", -1)))
            return rule["what"], rule
    return "", {}


def inside(state, path):
    return path.replace("/data/local/tmp", f"{state}/phone/tmp").replace(
        "/sys/devices/system/cpu/cpufreq", f"{state}/phone/cpufreq"
    )


def push(state, source, target):
    code = copy(source, inside(state, target))
    if code == 0 and target.endswith("/benchmark_model"):
        # A phone's program does not run here: another one of the same size is put in its place.
        program = f'#!/bin/sh\nexec sh {state}/bin/benchmark_model "$@"\n'
        Path(inside(state, target)).write_text(program + "#" * (Path(source).stat().st_size - len(program)))
    return code


def copy(source, target):
    try:
        Path(target).write_bytes(Path(source).read_bytes())
    except OSError as error:
        print(f"adb: error: {error}", file=sys.stderr)
        return 1
    print(f"{source}: 1 file pushed")
    return 0


def shell(state, command, broken):
    environment = {**os.environ, "PATH": f"{state}/bin:" + os.environ["PATH"], "STATE": state}
    # A session of its own: the phone's processes do not die with the client.
    process = subprocess.Popen(
        ["sh", "-c", inside(state, command)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    output, _ = process.communicate()
    if broken is not None:
        output = output[: len(output) // 2]
    sys.stdout.buffer.write(output)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
