"""``toolkit inspect``: what is in a TFLite file, and what a delegate takes of it; what is in a checkpoint."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import typer

from toolkit.cli.placement_text import placement_lines
from toolkit.cli.safe_text import shown

_SHORT_MINUTES = 2


def inspect(
    model: Path = typer.Argument(
        help=".tflite file, a GPT-SoVITS .ckpt or .pth, or a voice or student file (.safetensors of toolkit distil)."
    ),
    delegate: Literal["nnapi", "gpu", "gpu-classic", "xnnpack", "coreml", "qnn", "none"] = typer.Option(
        "none", help="Show this delegate's placement (gpu: LiteRT's; gpu-classic: the older TFLite one)."
    ),
    android: str = typer.Option("12", help="Android version, API level or NNAPI feature level."),
    ops: bool = typer.Option(False, "--ops", help="List every operator."),
    execute: bool = typer.Option(
        False,
        "--execute",
        help="Also run it against the reference kernels: with --delegate gpu on a software GPU, with xnnpack on ARM "
        "kernels under qemu. No latency.",
    ),
    compute: bool = typer.Option(
        True,
        " /--no-compute",
        help="With --delegate gpu --execute: only which operators the accelerator takes; seconds, where computing a "
        "large graph takes half an hour.",
    ),
    inputs: Path | None = typer.Option(
        None, "--inputs", help="With --execute: .npz of real inputs by name, instead of seeded noise."
    ),
    arm_root: Path | None = typer.Option(
        None, "--arm-root", envvar="TOOLKIT_ARM_ROOT", help="Folder with the ARM Python, made by docker/arm_root.sh."
    ),
    arm_cpu: Literal["cortex-a76", "cortex-a53"] = typer.Option(
        "cortex-a76", "--arm-cpu", help="Core that is emulated: with dot products and float16 arithmetic, or without."
    ),
    compile_: str = typer.Option(
        "", "--compile", metavar="SOC", help="With --delegate qnn: also ask your own QNN compiler, e.g. for SM7550."
    ),
    as_json: bool = typer.Option(False, "--json", help="JSON instead of text."),
) -> None:
    """Show operators, precision, sizes and placement of a TFLite file; version and parts of a checkpoint."""
    if execute and delegate not in ("gpu", "xnnpack"):
        raise typer.BadParameter("--execute goes with --delegate gpu or xnnpack")
    if inputs is not None and not (execute and compute):
        raise typer.BadParameter("--inputs does nothing without --execute, or with --no-compute")
    if not compute and not (execute and delegate == "gpu"):
        raise typer.BadParameter("--no-compute goes with --delegate gpu --execute")
    if compile_ and delegate != "qnn":
        raise typer.BadParameter("--compile goes with --delegate qnn")
    if model.suffix in (".ckpt", ".pth"):
        _checkpoint(model, as_json)
        return
    if model.suffix == ".safetensors":
        from toolkit.pipeline.parallel_codes import is_parallel

        (_student if is_parallel(str(model)) else _voice)(model, as_json)
        return
    from toolkit.pipeline.inspection import inspect_tflite

    found = inspect_tflite(model, None if delegate == "none" else delegate, android)
    if execute and delegate == "xnnpack":
        found["executed"] = _executed_on_arm(model, inputs, arm_root, arm_cpu)
    elif execute:
        found["executed"] = _executed(model, inputs, found["macs"], compute=compute)
    if compile_:
        found["compiled"] = _compiled(model, compile_)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    typer.echo(
        f"{model}  {found['size_bytes']:,} bytes  {len(found['ops'])} operators  {found['macs']:,} multiply-adds"
    )
    typer.echo(_runtime(found["runtime"]))
    if found["graphs"] > 1:
        typer.echo(f"  the first of {found['graphs']} graphs")
    for entry in found["tensors"]:
        typer.echo(f"  {entry['role']:<7}{shown(entry['name']):<28} {entry['dtype']:<9}{entry['shape']}")
    for (name, precision), count in sorted(Counter((o["op"], o["precision"]) for o in found["ops"]).items()):
        typer.echo(f"  {count:>5} × {name:<24}{precision}")
    if ops:
        for op in found["ops"]:
            typer.echo(f"  {op['index']:>5}  {op['op']:<22}{op['precision']:<9}{op['macs']:>14,}  {shown(op['name'])}")
    if "placement" in found:
        for line in placement_lines(found["placement"]):
            typer.echo(line)
    if "compiled" in found:
        _show_compiled(found["compiled"])
    if "executed" in found and delegate == "xnnpack":
        _show_arm(found["executed"])
    elif "executed" in found:
        ran = found["executed"]
        typer.echo(f"{ran['how']}: " + ("accepted whole" if ran["accepted"] else f"refused: {shown(ran['reason'])}"))
        if ran["accepted"] and not compute:
            typer.echo(f"  {ran['gpu_ops']} operators on the GPU; placed, not computed")
        if not ran["accepted"]:
            typer.echo(f"  with the CPU's help: {ran['gpu_ops']} operators on the GPU, {ran['cpu_ops']} on the CPU")
        for name, level in ran["snr_db"].items():
            wrong = "  SILENTLY WRONG" if ran["judgement"] == "wrong" else ""
            typer.echo(f"  {shown(name)}: {level} dB against the reference kernels, on {ran['inputs']}{wrong}")
        if "float16" in ran:
            _show_float16(ran["float16"])


def _student(model: Path, as_json: bool) -> None:
    from toolkit.models.parallel_semantic.file import read_parallel

    read = read_parallel(model)
    sizes, parts = read.header.sizes, {"phones": read.model.phones, "frames": read.model.frames}
    weights = {name: sum(value.numel() for value in part.parameters()) for name, part in parts.items()}
    if as_json:
        typer.echo(json.dumps({**read.header.model_dump(mode="json"), "weights": weights, "sha256": read.sha256}))
        return
    typer.echo(f"{model}  convolutional text-to-semantic student: {shown(read.header.label)}")
    typer.echo(f"  of a GPT of {read.header.version}, sha256 {read.header.teacher_sha256[:16]}")
    typer.echo(
        f"  {sizes.symbols} phones to {sizes.codes} codes, width {sizes.width}, {sizes.expansion} times that in a block"
    )
    for name, blocks, kernel in (("phones", sizes.phone_blocks, sizes.phone_kernel),
                                 ("frames", sizes.frame_blocks, sizes.frame_kernel)):  # fmt: skip
        typer.echo(f"  {name:<8}{blocks} blocks of kernel {kernel}, {weights[name]:,} weights")


def _compiled(model: Path, soc: str) -> dict[str, Any]:
    from dataclasses import asdict

    from toolkit.delegates.qnn_compiler import compile_for_npu

    return asdict(compile_for_npu(model, soc=soc))


def _show_compiled(found: dict[str, Any]) -> None:
    typer.echo(
        f"compiled for {found['soc']} by LiteRT's compiler with your QNN libraries: "
        f"{found['selected']}/{found['total']} operators, {found['partitions']} partition(s)"
    )
    for number, kind in found["refused"]:
        typer.echo(f"  refused: {shown(kind)} #{number}")
    for name, kind in found["invalid"]:
        typer.echo(f"  QNN's validation failed: {shown(name)} ({shown(kind)})")


def _executed(model: Path, inputs: Path | None, macs: int, *, compute: bool) -> dict[str, Any]:
    from toolkit.delegates.software_gpu import expected_minutes
    from toolkit.pipeline.inspection import execute_tflite

    minutes = expected_minutes(macs)
    if compute and minutes > _SHORT_MINUTES:
        typer.echo(f"computing {macs / 1e9:.3g} billion multiply-adds in software: about {minutes} min", err=True)
    return execute_tflite(model, inputs, computed=compute)


def _executed_on_arm(model: Path, inputs: Path | None, root: Path | None, cpu: str) -> dict[str, Any]:
    from toolkit.pipeline.inspection import execute_on_arm_kernels

    return execute_on_arm_kernels(model, inputs, root, cpu)


def _show_arm(ran: dict[str, Any]) -> None:
    taken = f"XNNPACK took {ran['delegated']} piece(s) of it" if ran["delegated"] else "XNNPACK took nothing of it"
    typer.echo(f"{ran['how']}\n  {ran['cpu']}; {taken}; on {ran['inputs']}")
    for name, row in ran["outputs"].items():
        word = {"right": "", "inexact": "  INEXACT", "wrong": "  WRONG"}[row["judgement"]]
        typer.echo(
            f"  {shown(name)}: {row['against_reference']} against the reference kernels, {row['against_host']} "
            f"against XNNPACK here (those two: {row['host_against_reference']}){word}"
        )


def _show_float16(found: dict[str, Any]) -> None:
    typer.echo(found["how"])
    for name, level in found["snr_db"].items():
        words = "not finite" if level is None else f"{level} dB against float32"
        typer.echo(f"  {shown(name)}: {words}")
    for what, op in (("overflow", found["first_overflow"]), ("underflow", found["first_underflow"])):
        typer.echo(f"  first {what}: {shown(op) or 'none'}")
    typer.echo(f"  weakest operator: {shown(found['weakest'])}")


def _runtime(need: dict[str, Any]) -> str:
    """The oldest runtime, and what asks for it."""
    newest = ", ".join(f"{age['op']} version {age['version']}" for age in need["newest"])
    unknown = f"; no release known for {', '.join(map(shown, need['unknown']))}" if need["unknown"] else ""
    return f"  loads in TFLite {need['release'] or '?'} or later" + (f" ({newest})" if newest else "") + unknown


def _voice(path: Path, as_json: bool) -> None:
    from toolkit.pipeline.inspection import inspect_voice

    found = inspect_voice(path)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    typer.echo(f"{path}  {found['size_bytes']:,} bytes  {shown(found['label'])}")
    typer.echo(f"  {shown(found['language'])}, {found['sample_rate_hz']:,} Hz")
    for part, told in found["parts"].items():
        sizes = {name: size for name, size in told.items() if name not in ("weights", "kind")}
        count = "on the host" if told["weights"] is None else f"{told['weights']:,}"
        typer.echo(f"  {part:<10}{count:>12}  {told['kind']}  " + ", ".join(f"{n} {s}" for n, s in sizes.items()))
    if found["teacher"]:
        teacher = found["teacher"]
        typer.echo(f"  student of {shown(teacher['name'])}, {teacher['float32_bytes']:,} bytes in float32")
        for name, digest in teacher["sources"].items():
            typer.echo(f"    {shown(name)}  sha256 {shown(digest)}")
    typer.echo(f"  sha256 {found['sha256']}")


def _checkpoint(path: Path, as_json: bool) -> None:
    from toolkit.pipeline.inspection import inspect_checkpoint

    found = inspect_checkpoint(path)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    half = {"gpt": "GPT (text to semantic codes)", "sovits": "SoVITS (codes to sound)"}[found["kind"]]
    typer.echo(f"{path}  {found['size_bytes']:,} bytes  {half} {found['version']}  {found['info']}".rstrip())
    typer.echo(f"  {found['parameters']:,} weights in {found['tensors']} tensors, {found['dtype']} on disk")
    for part, count in sorted(found["parts"].items(), key=lambda item: -item[1]):
        note = "  (training only)" if part == "enc_q" else ""
        typer.echo(f"  {part:<18}{count:>14,}{note}")
    if "transformer" in found:
        sizes = found["transformer"]
        inners = sorted(set(sizes["inners"]))
        spread = f"{inners[0]}" if len(inners) == 1 else f"{inners[0]} to {inners[-1]}"
        typer.echo(
            f"  {sizes['layers']} layers, width {sizes['width']}, {sizes['heads'] or 'an unknown number of'} heads "
            f"({sizes['attention_width']} wide together), feed-forward {spread}"
        )
    typer.echo(f"  sha256 {found['sha256']}")
