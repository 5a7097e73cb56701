"""A made-up phone for tests: its files, its answers, and the adb that leads to it."""

import json
import shlex
import sys
from pathlib import Path

from tests.toolkit.bench.phone import outputs

SERIAL = "FAKE01"
PROPERTIES = {
    "ro.product.manufacturer": "Nothing",
    "ro.product.model": "Nothing Phone (2a)",
    "ro.soc.manufacturer": "QTI",
    "ro.soc.model": "SM7550",
    "ro.build.version.release": "14",
    "ro.build.version.sdk": "34",
    "ro.product.cpu.abi": "arm64-v8a",
    "ro.build.fingerprint": "made/up/phone:14/X/1:user/release-keys",
}
BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: true
  status: 2
  level: 82
  scale: 100
  voltage: 4180
  temperature: 295
  technology: Li-ion
"""


def thermal(status=0, degrees=41.5):
    return (
        f"IsStatusOverride: false\nThermal Status: {status}\nCached temperatures:\n"
        "\tTemperature{mValue=99.0, mType=0, mName=stale, mStatus=3}\nHAL Ready: true\n"
        "Current temperatures from HAL:\n"
        f"\tTemperature{{mValue={degrees}, mType=0, mName=CPU0, mStatus={status}}}\n"
        "\tTemperature{mValue=31.25, mType=3, mName=skin, mStatus=0}\n"
        "\tTemperature{mValue=4200.0, mType=6, mName=vbat, mStatus=0}\n"
        "Current cooling devices from HAL:\n\tCoolingDevice{mValue=0, mType=2, mName=cpu}\n"
    )


class FakePhone:
    """What the phone is like before and after benchmark_model ran; change it, then measure."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "fake"
        self.temporary = self.state / "phone/tmp"
        for name in ("bin", "phone/tmp", "before", "after"):
            (self.state / name).mkdir(parents=True)
        self.adb = folder / "path/adb"
        self.adb.parent.mkdir()
        script = Path(__file__).with_name("fake_adb.py")
        words = shlex.join([sys.executable, "-I", "-S", str(script), str(self.state)])
        self._program(self.adb, f'exec {words} "$@"')
        properties = "\n".join(f"[{name}]: [{value}]" for name, value in PROPERTIES.items())
        (self.state / "properties").write_text(properties + "\n")
        self._program(self.state / "bin/getprop", 'cat "$STATE/properties"')
        self._program(self.state / "bin/dumpsys", 'cat "$STATE/now/$1"')
        self._program(self.state / "bin/settings", 'cat "$STATE/now/saver"')
        for moment in ("before", "after"):
            self.at(moment, thermalservice=thermal(), battery=BATTERY, saver="0\n")
        for policy, khz in (("policy0", 1804800), ("policy4", 2400000)):
            self.clock("before", policy, "walt", khz)
        (self.state / "now").symlink_to(self.state / "before")
        self.outputs(outputs.log(), outputs.profile(outputs.NNAPI_OPS))
        (self.state / "bin/benchmark_model").write_text(_BENCHMARK_MODEL)

    @staticmethod
    def _program(path: Path, body: str) -> None:
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def at(self, moment: str, **files: str) -> None:
        """What the phone says at a moment, before or after the runs."""
        for name, text in files.items():
            (self.state / moment / name).write_text(text)

    def clock(self, moment: str, policy: str, governor: str, khz: int) -> None:
        """Governor and highest clock of a policy; ``after`` it is copied over the phone's when a run ends."""
        folder = self.state / ("phone/cpufreq" if moment == "before" else "after-cpufreq") / policy
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "scaling_governor").write_text(governor + "\n")
        (folder / "scaling_max_freq").write_text(f"{khz}\n")

    def outputs(self, log: str, printed_profile: str, code: int = 0, **files: bytes) -> None:
        """What benchmark_model prints, leaves (result, graph, profile) and ends with."""
        (self.state / "log.txt").write_text(log)
        (self.state / "profile.txt").write_text(printed_profile)
        (self.state / "code").write_text(str(code))
        for name, content in files.items():
            (self.state / f"made-{name}").write_bytes(content)

    def trouble(self, *rules: dict) -> None:
        """What goes wrong."""
        (self.state / "trouble.json").write_text(json.dumps(rules))

    def calls(self) -> list[str]:
        """Every call adb had."""
        log = self.state / "calls.log"
        return log.read_text().splitlines() if log.exists() else []

    def left(self) -> list[str]:
        """What lies in /data/local/tmp."""
        return sorted(str(path.relative_to(self.temporary)) for path in self.temporary.rglob("*"))


_BENCHMARK_MODEL = r"""
for word in "$@"; do
  case "$word" in
    --graph=*) [ -s "${word#*=}" ] || { echo "ERROR: no model"; exit 1; };;
    --result_file_path=*) [ -e "$STATE/made-result" ] && cp "$STATE/made-result" "${word#*=}";;
    --model_runtime_info_output_file=*) [ -e "$STATE/made-graph" ] && cp "$STATE/made-graph" "${word#*=}";;
    --op_profiling_output_file=*) [ -e "$STATE/made-profile" ] && cp "$STATE/made-profile" "${word#*=}";;
    --enable_op_profiling=true) PROFILED=1;;
    --input_layer_value_files=*) wc -c "$STATE"/phone/tmp/*/zeros-* > "$STATE/zeros";;
  esac
done
printf '%s\n' "$@" > "$STATE/arguments"
[ -e "$STATE/sleep" ] && { echo started > "$STATE/running"; echo $$ > "$STATE/running-pid"; exec sleep 300; }
cat "$STATE/log.txt"
[ -n "$PROFILED" ] && cat "$STATE/profile.txt"
rm "$STATE/now"; ln -s "$STATE/after" "$STATE/now"
[ -d "$STATE/after-cpufreq" ] && cp -r "$STATE/after-cpufreq/." "$STATE/phone/cpufreq/"
exit "$(cat "$STATE/code")"
"""


def tool(folder: Path, machine: int = 183) -> Path:
    """A file that says it is benchmark_model for a processor, and nothing else."""
    path = folder / "benchmark_model"
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + (3).to_bytes(2, "little") + machine.to_bytes(2, "little")
    path.write_bytes(head + bytes(4096 - len(head)))
    return path
