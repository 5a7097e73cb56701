"""Asks Qualcomm's compiler about a conversion's files, where the user has installed QNN; says so where not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from toolkit.delegates.qnn_compiler import NOT_INSTALLED, QnnInstallation, compile_for_npu, find_qnn
from toolkit.errors import DelegateError
from toolkit.pipeline.benchmark import BenchPart
from toolkit.pipeline.events import StageClock
from toolkit.recipe.schema import Recipe
from toolkit.results import Gate, NpuCompilation, Placement, judge

SOC, SOC_TITLE = "SM7550", "Snapdragon 7 Gen 3"
HOW = (
    "LiteRT's ahead-of-time compiler with the QNN libraries installed here: every operator validated, partitioned, "
    "not compiled to the end; nothing ran on a phone"
)
ABSENT = f"{NOT_INSTALLED}, so that the NPU's placement is by static rules alone (name their folder in QNN_LIBRARIES)"


@dataclass(frozen=True, slots=True, kw_only=True)
class NpuFindings:
    """What the compiler said; ``missing`` says what it was not asked, and why."""

    compilations: tuple[NpuCompilation, ...] = ()
    gates: tuple[Gate, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)


def compile_parts(
    parts: Sequence[BenchPart], placements: Sequence[Placement], main: str, recipe: Recipe, clock: StageClock
) -> NpuFindings:
    """Compiles the shipped files the NPU has work in, when the recipe's delegate is Qualcomm's NPU.

    Args:
        parts: the files.
        placements: of the parts under that delegate, by static rules.
        main: name of the part the gate is on.
        recipe: names the delegate.
        clock: told about the stage.

    Returns:
        One row a file, and a gate: the compiler takes of the main part what the static rules say.
    """
    if recipe.delegate.name != "qnn":
        return NpuFindings()
    mains = [placed for placed in placements if placed.part.partition("@")[0] == main]
    installation = find_qnn()
    if installation is None:
        return NpuFindings(gates=(_gate(mains, None, ABSENT),), missing={"npu_compilation": ABSENT})
    wanted = {placed.part: placed for placed in placements if placed.delegated_macs_ratio}
    rows: dict[str, NpuCompilation] = {}
    failed: dict[str, str] = {}
    with clock.stage("compile for the NPU") as stage:
        for part in parts:
            if part.key not in wanted:
                continue
            try:
                rows[part.key] = _compiled(part, wanted[part.key], installation)
            except DelegateError as error:  # an installation's fault: the files are as they are, and the gate says it
                failed[part.key] = error.message
        said = [f"{row.part} {row.taken_ops}/{row.total_ops} in {row.partitions}" for row in rows.values()]
        stage.fact = ", ".join([*said, *(f"{key}: {why}" for key, why in failed.items())]) or "no part has work for it"
    why = "; ".join(f"{key}: {reason}" for key, reason in failed.items())
    measured = [rows[placed.part].taken_ops for placed in mains if placed.part in rows]
    taken = float(sum(measured)) if len(measured) == len(mains) > 0 else None
    gate = _gate(mains, taken, why or "by static rules nothing in it multiplies there")
    if failed.keys() & {placed.part for placed in mains}:
        gate = gate.model_copy(update={"status": "error"})
    return NpuFindings(
        compilations=tuple(rows.values()), gates=(gate,), missing={"npu_compilation": why} if failed else {}
    )


def _compiled(part: BenchPart, placed: Placement, installation: QnnInstallation) -> NpuCompilation:
    found = compile_for_npu(part.files["result"], soc=SOC, installation=installation, whole=False)
    return NpuCompilation(
        part=part.key,
        soc=found.soc,
        how=HOW,
        taken_ops=found.selected,
        total_ops=found.total,
        partitions=found.partitions,
        tables_ops=placed.delegated_ops,
        refused=tuple(f"{number} {kind}" for number, kind in found.refused),
    )


def _gate(mains: Sequence[Placement], taken: float | None, absent: str) -> Gate:
    names = ", ".join(placed.part for placed in mains) or "the main part"
    return judge(
        "npu_operators",
        f"Operators of {names} that the compiler takes for {SOC} ({SOC_TITLE})",
        taken,
        "operators",
        float(sum(placed.delegated_ops for placed in mains)),
        ">=",
        "At least as many as the static rules say.",
        skipped_because=absent,
    )
