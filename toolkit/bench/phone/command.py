"""benchmark_model's command line (tflite/tools/benchmark/README.md and tflite/tools/delegates/README.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolkit.bench.phone.target import Target
from toolkit.errors import BenchError
from toolkit.results import PhoneDelegate

QNN_LIBRARY = "libQnnTFLiteDelegate.so"
PRINTED_NAMES: dict[PhoneDelegate, str] = {"nnapi": "NNAPI", "gpu": "GPU", "xnnpack": "XNNPACK", "qnn": "EXTERNAL"}
"""What benchmark_model calls a delegate."""

NOTES: dict[PhoneDelegate, str] = {
    "nnapi": "NNAPI is deprecated since Android 15 (still present there)",
    "gpu": "the GPU delegate computes in float16 unless told otherwise (--gpu_precision_loss_allowed)",
    "qnn": "the QNN delegate and its libraries are those the user gave",
}
RESULT, GRAPH, PROFILE = "result.pb", "graph.pb", "profile.out"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhonePlan:
    """How to measure.

    Attributes:
        delegate: which one.
        threads: thread counts; each is measured by itself.
        runs: measured runs of each process, at least.
        warmup: runs before, at least.
        repeats: processes, without profiling; their spread makes the interval.
        max_seconds: after so long benchmark_model starts no further run.
        timeout_seconds: for one process, loading included.
        profile: form of the profile: ``stdout``, ``csv`` or ``proto``.
        full_delegation: refuse to run when anything is left to the CPU.
        qnn_libraries: Qualcomm's libraries for the phone; needed for ``qnn``.
    """

    delegate: PhoneDelegate
    threads: tuple[int, ...] = (4,)
    runs: int = 50
    warmup: int = 3
    repeats: int = 3
    max_seconds: float = 60.0
    timeout_seconds: float = 600.0
    profile: str = "stdout"
    full_delegation: bool = False
    qnn_libraries: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if self.profile not in ("stdout", "csv", "proto"):
            raise BenchError(f"no profile has the form {self.profile!r}", hint="stdout, csv or proto")
        if min(self.runs, self.repeats, *self.threads) < 1 or self.warmup < 1 or not self.threads:
            raise BenchError("a phone needs one run, one warm-up run, one process and one thread at least")
        names = {path.name for path in self.qnn_libraries}
        if self.delegate == "qnn" and QNN_LIBRARY not in names:
            raise BenchError(
                f"--delegate qnn needs {QNN_LIBRARY}" + (f", found {sorted(names)}" if names else ""),
                code="bench/no-qnn-libraries",
                hint="give the folder of Qualcomm's Android libraries: --qnn-libraries DIR",
            )


def arguments(plan: PhonePlan, target: Target, model: str, folder: str, threads: int, *, profiled: bool) -> list[str]:
    """The words of one process.

    Args:
        plan: how to measure.
        target: which graph.
        model: the file on the phone.
        folder: where the tool, its libraries and its outputs are.
        threads: thread count.
        profiled: with the profile; its time does not count.
    """
    words = [
        f"{folder}/benchmark_model",
        f"--graph={model}",
        f"--num_threads={threads}",
        f"--num_runs={plan.runs}",
        f"--warmup_runs={plan.warmup}",
        f"--max_secs={plan.max_seconds:g}",
        f"--result_file_path={folder}/{RESULT}",
        *_delegate(plan, folder),
        *_inputs(target, folder),
    ]
    if target.signature is not None:
        words.append(f"--signature_to_run_for={target.signature}")
    if plan.full_delegation:
        words.append("--require_full_delegation=true")
    if profiled:
        words += [
            "--enable_op_profiling=true",
            f"--op_profiling_output_mode={plan.profile}",
            "--export_model_runtime_info=true",
            f"--model_runtime_info_output_file={folder}/{GRAPH}",
        ]
        if plan.profile != "stdout":
            words.append(f"--op_profiling_output_file={folder}/{PROFILE}")
    return words


def environment(plan: PhonePlan, folder: str) -> str:
    """Variables of the process, in the phone's shell."""
    return f"LD_LIBRARY_PATH={folder} ADSP_LIBRARY_PATH={folder}" if plan.delegate == "qnn" else ""


def _delegate(plan: PhonePlan, folder: str) -> list[str]:
    if plan.delegate != "qnn":
        return [f"--use_{plan.delegate}=true"]
    options = f"backend_type:htp;library_path:{folder}/libQnnHtp.so;skel_library_dir:{folder}"
    return [f"--external_delegate_path={folder}/{QNN_LIBRARY}", f"--external_delegate_options={options}"]


def _inputs(target: Target, folder: str) -> list[str]:
    """Names and shapes of all inputs, and files for some: the tool takes all of them or none."""
    if not target.zeros:
        return []
    if any("," in name for name in target.names):
        raise BenchError(
            f"an input's name has a comma: {target.names}",
            code="bench/wrong-inputs",
            where=str(target.path),
            hint="benchmark_model separates names by commas; rename it",
        )
    shapes = ":".join(",".join(str(length) for length in shape) for shape in target.shapes)
    files = ",".join(
        f"{each.tensor.replace(':', chr(92) + ':')}:{folder}/{zeros_name(number)}"
        for number, each in enumerate(target.zeros)
    )
    return [
        f"--input_layer={','.join(target.names)}",
        f"--input_layer_shape={shapes}",
        f"--input_layer_value_files={files}",
    ]


def zeros_name(number: int) -> str:
    """File of the n-th input filled with zeros."""
    return f"zeros-{number}.bin"
