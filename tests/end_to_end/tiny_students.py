"""Students that are trained and converted in seconds, and the proof that their bundles need no framework."""

import subprocess
import sys

STUDENT = (
    "encoder.filter_channels=24", "flow.hidden=16", "durations.hidden=16", "durations.draws=2", "sentences=16",
    "flow_sentences=8", "text_training.batch=4",
)  # fmt: skip
CONVERSION = (
    "buckets.phonemes=[160]", "buckets.frames=[128]", "bench.warmup=0", "bench.min_seconds=0", "bench.threads=[1]",
)  # fmt: skip


def settings(*changes):
    """Changes as words of a command line."""
    return [word for change in changes for word in ("--set", change)]


def speaks_alone(bundle, wave):
    """Says something with a bundle, in a process that must load none of the frameworks it was made with."""
    code = (
        "import sys; from toolkit.cli.app import outcome; "
        f"code = outcome(['speak', {str(bundle)!r}, '--phonemes', 'ðɪs ɪz nˈɔɪz.', '-o', {str(wave)!r}]); "
        "print(code, [m for m in ('torch', 'onnx', 'onnxruntime', 'tensorflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
    assert wave.stat().st_size > 1000
