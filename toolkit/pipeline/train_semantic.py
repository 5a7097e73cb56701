"""``toolkit train t2s-small``: corpus, codebook, model, card; the same command gives the same bytes."""

from __future__ import annotations

import math
import platform
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from toolkit.models.threads import threads_of
from toolkit.pipeline.events import Listener, StageClock
from toolkit.pipeline.run_directory import MANIFEST, RunDirectory, building, refuse_foreign_directory, resume_folder

NAME: Final = "t2s_small"
CARD: Final = "README.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallModel:
    """What is made.

    Attributes:
        sentences: to train on.
        held_out: generated sentences held out.
        codes: entries of the codebook.
        width: features of a row.
        layers: transformer layers.
        heads: attention heads.
        steps: training steps.
        batch: sentences a step.
        learning_rate: the largest.
        seed: of everything.
        threads: of torch; another number may change the last bits.
    """

    sentences: int = 1600
    held_out: int = 100
    codes: int = 1024
    width: int = 256
    layers: int = 4
    heads: int = 8
    steps: int = 1600
    batch: int = 16
    learning_rate: float = 1e-3
    seed: int = 0
    threads: int = 1


def train_small_model(asked: SmallModel, out: Path, listener: Listener, *, voice: Any = None) -> dict[str, Any]:
    """Synthesises the corpus, trains, judges and writes.

    Args:
        asked: sizes and lengths.
        out: run directory; it appears whole or not at all. An interrupted run goes on when it is asked again.
        listener: told about every stage.
        voice: who says the sentences; the default voice of the project otherwise.

    Returns:
        What ``t2s_small.json`` holds.

    Raises:
        ExtraMissing: the default voice, the speech encoder or the English front end is not installed.
        InputError: ``out`` holds something else; heads do not divide the width.
    """
    from toolkit.data.semantic_corpus import save_corpus
    from toolkit.models.gpt_sovits.semantic_file import write_semantic
    from toolkit.models.piper import default_voice
    from toolkit.quality.semantic import judge_semantic
    from toolkit.train.corpus import CorpusSettings, synthesise_corpus
    from toolkit.train.loop import TrainingSettings
    from toolkit.train.small_semantic import INFO, small_config, train_small, upstream_config

    refuse_foreign_directory(out)
    sizes = small_config(width=asked.width, layers=asked.layers, heads=asked.heads, codes=asked.codes)
    clock, resume = StageClock(listener), resume_folder(out)
    settings = CorpusSettings(training=asked.sentences, held_out=asked.held_out, codes=asked.codes, seed=asked.seed,
                              codebook_sentences=min(1000, asked.sentences))  # fmt: skip
    training = TrainingSettings(
        steps=asked.steps, batch=asked.batch, learning_rate=asked.learning_rate, seed=asked.seed
    )
    with threads_of(asked.threads):
        with clock.stage("speech and codes") as stage:
            spoken = synthesise_corpus(
                voice or default_voice(), settings, resume / "heard",
                lambda done, total: listener.progress("speech and codes", done, total, ""),
            )  # fmt: skip
            stage.fact = f"{spoken.seconds / 60:.1f} min of speech, corpus {spoken.corpus.sha256[:12]}"
        with clock.stage("training") as stage:
            losses: list[float] = []

            def told(step: int, steps: int, loss: float) -> None:
                losses.append(loss)
                listener.progress("training", step, steps, f"loss {sum(losses[-50:]) / len(losses[-50:]):.3f}")

            model = train_small(spoken.corpus, sizes, training, checkpoint_dir=resume / "training", on_step=told)
            stage.fact = f"{asked.steps} steps"
        with clock.stage("judgement") as stage:
            groups = {"held_out": spoken.corpus.held_out, "evaluation": spoken.corpus.evaluation}
            groups["training"] = spoken.corpus.training[: asked.held_out]
            quality = {name: judge_semantic(model, pairs) for name, pairs in groups.items()}
            stage.fact = said(quality["held_out"].cross_entropy_nats, quality["held_out"].top1_ratio)
    result: dict[str, Any] = {
        "info": INFO,
        "asked": asdict(asked),
        "parameters": sum(value.numel() for value in model.parameters()),
        "guess_nats": math.log(sizes.vocabulary),
        "quality": {name: asdict(found) for name, found in quality.items()},
        "speech_seconds": round(spoken.seconds, 1),
        "corpus_sha256": spoken.corpus.sha256,
        "voice": (voice or default_voice()).label,
    }
    with building(out) as directory:
        write_semantic(directory.path / f"{NAME}.ckpt", model, INFO, upstream_config(sizes))
        save_corpus(spoken.corpus, directory.path / "corpus.npz")
        spoken.codebook.save(directory.path / "codebook.npz")
        result["checkpoint_bytes"] = (directory.path / f"{NAME}.ckpt").stat().st_size
        directory.write_json(f"{NAME}.json", result)
        directory.write_text(CARD, card(result))
        write_manifest(directory, {})
    shutil.rmtree(resume, ignore_errors=True)
    return {**result, "seconds": {record.name: round(record.seconds, 1) for record in clock.records}}


def said(cross_entropy_nats: float, top1_ratio: float) -> str:
    """A judgement in a few words."""
    return f"cross-entropy {cross_entropy_nats:.3f} nats, top-1 {100 * top1_ratio:.1f} %"


def write_manifest(directory: RunDirectory, inputs: dict[str, str]) -> None:
    """Writes digests of what went in and of every file that came out, and what made them."""
    import torch

    outputs = directory.digests(())
    directory.write_json(
        MANIFEST,
        {
            "inputs": inputs,
            "outputs": outputs,
            "tools": {"torch": torch.__version__, "python": platform.python_version()},
        },
    )


def card(result: dict[str, Any]) -> str:
    """The model card: what it is, what it was made of, how good it is, and what it is not for."""
    asked, quality = result["asked"], result["quality"]
    rows = "\n".join(
        f"| {label} | {quality[name]['predictions']:,} | {quality[name]['cross_entropy_nats']:.3f} "
        f"| {100 * quality[name]['top1_ratio']:.1f} % |"
        for name, label in (
            ("held_out", "held out, same grammar"),
            ("evaluation", "`evaluation.txt`, other text"),
            ("training", "of the training set, to compare"),
        )
    )
    return f"""# T2S-small

A text-to-semantic model in GPT-SoVITS's own `.ckpt` format, small and trained, made to measure compression on. It is no
voice: no decoder turns these codes into sound.

- {result["parameters"]:,} weights ({asked["layers"]} layers, width {asked["width"]}, {asked["heads"]} heads), fp16,
  {result["checkpoint_bytes"]:,} bytes.
- Corpus: {asked["sentences"]:,} training sentences, {result["speech_seconds"] / 60:.0f} min of synthetic speech of
  {result["voice"]}; text written for this project or put together by its grammar (CC0-1.0); phones by
  `toolkit/text` (English, symbols of v2). No text features (BERT): their projection is zero. `corpus.npz` also says how
  long each phone is said: the voice's own durations, in ms.
- Codes: {asked["codes"]} k-means centres, 25 a second, over the second LSTM layer of resemblyzer's speech encoder
  (Apache-2.0). No packaged HuBERT exists, so these codes are not those of published GPT-SoVITS models.
- Made by `toolkit train t2s-small --out DIR` with the defaults; the same command gives the same bytes on one thread.

| sentences | predictions | cross-entropy, nats (a guess: {result["guess_nats"]:.2f}) | top-1 |
|---|---|---|---|
{rows}

Predictions are codes and stop tokens, each given those before it.

Licence: weights and corpus CC0-1.0 as far as this project can give it. The voice that spoke, en_US-joe-medium, was
recorded as CC0, but was fine-tuned from en_US-lessac-medium, whose data (Blizzard 2013, Lessac) has more restrictive
terms; neither its weights nor its audio are here, only codes derived from it. Whoever must be certain trains anew with
another voice.
"""
