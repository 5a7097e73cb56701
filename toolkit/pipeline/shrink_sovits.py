"""``toolkit prune`` on a SoVITS checkpoint: the text encoder lightly, flow and decoder not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolkit.pipeline.events import Listener, StageClock
from toolkit.pipeline.run_directory import building, refuse_foreign_directory
from toolkit.pipeline.shrink_semantic import Shrunk
from toolkit.pipeline.train_semantic import write_manifest
from toolkit.recipe.shrinking import Prune


def prune_sovits(model: Path, settings: Prune, out: Path, listener: Listener) -> Shrunk:
    """Prunes a SoVITS checkpoint's text encoder by magnitude, without training.

    Args:
        model: ``.pth``.
        settings: ``encoder_ratio``, ``channel_multiple``, ``protect``.
        out: run directory; it appears whole or not at all.
        listener: told about every stage.

    Raises:
        CheckpointError: the file is damaged, foreign or a GPT checkpoint.
        RecipeError: the text encoder is protected.
        GateFailed: a protected tensor changed; nothing is written.
    """
    from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
    from toolkit.models.gpt_sovits.sovits_file import sovits_file_bytes
    from toolkit.prune.sovits_encoder import prior_snr_db, prune_encoder

    refuse_foreign_directory(out)
    clock = StageClock(listener)
    with clock.stage("read checkpoint"):
        before = read_checkpoint(model, "sovits")
    with clock.stage("pruning the text encoder") as stage:
        done = prune_encoder(before, settings)
        snr_db = prior_snr_db(before, done.weights, settings.seed)
        stage.fact = f"{snr_db:.1f} dB left on random input"
    count = {name: sum(v.numel() for v in each.values()) for name, each in (("a", before.weights), ("b", done.weights))}
    result: dict[str, Any] = {
        "settings": settings.model_dump(mode="json"),
        "channels": {name: list(pair) for name, pair in done.channels.items()},
        "parameters": [count["a"], count["b"]],
        "protected_tensors_unchanged": done.protected,
        "prior_snr_db_on_random_input": snr_db,
        "passed": True,
    }
    widths = {after for _, after in done.channels.values()}
    config = dict(before.config)
    if len(widths) == 1:  # upstream's configuration has one width for all stacks
        config["model"] = {**config.get("model", {}), "filter_channels": widths.pop()}
    content = sovits_file_bytes(done.weights, config, f"{before.info} pruned".strip(), version=before.version)
    with building(out) as directory:
        path = directory.write_bytes("pruned.pth", content)
        result["checkpoint_bytes"] = path.stat().st_size
        directory.write_json("pruned.json", result)
        write_manifest(directory, {before.path.name: before.sha256})
    listed = ", ".join(f"{name} {first} → {last}" for name, (first, last) in done.channels.items())
    verdict = (
        f"{out / 'pruned.pth'}  {len(content):,} bytes, {count['b']:,} weights of {count['a']:,}\n"
        f"  channels {listed}\n"
        f"  protected {done.protected} tensors of {', '.join(settings.protect)} unchanged\n"
        f"  encoder's mean {snr_db:.1f} dB from the file's own on random input (not speech); nothing was trained"
    )
    return Shrunk(path=out / "pruned.pth", result=result, verdict=verdict, passed=True)
