"""``toolkit prune`` on a VITS voice: a run directory with a voice whose encoder, flow or decoder is smaller."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from converters.errors import ExtraMissing
from toolkit.data import load_manifest
from toolkit.errors import GateFailed
from toolkit.models.threads import threads_of
from toolkit.pipeline import listening
from toolkit.pipeline.events import Listener, StageClock
from toolkit.pipeline.run_directory import refuse_foreign_directory, resume_folder, teachers_folder
from toolkit.pipeline.shrink_semantic import Shrunk, held_or_not
from toolkit.pipeline.shrink_voice import NOT_HEARD, judged, opened, taught_ids, weights_of, write_voice_run
from toolkit.quality.judgements import Judgements
from toolkit.recipe.schema import Quality
from toolkit.recipe.shrinking import PruneVoice

if TYPE_CHECKING:
    from toolkit.models.voice import Voice
    from toolkit.prune.rounds import Pruned, Round
    from toolkit.prune.voice_fidelity import Hear, VoiceFidelity

PRUNED: Final = "pruned"


def prune_voice_file(
    model: str,
    settings: PruneVoice,
    out: Path,
    listener: Listener,
    *,
    data: Path | None = None,
    teacher: Path | None = None,
    cache: Path | None = None,
    threads: int = 1,
) -> Shrunk:
    """Prunes a voice round by round, part by part, and writes the smallest voice that passed the gates.

    Args:
        model: ``joe``, a Piper ``.onnx`` or a voice file.
        settings: how much, how, and the gates.
        out: run directory; it appears whole or not at all. An interrupted run goes on when it is asked again.
        listener: told about every stage.
        data: text file of IPA, a sentence a line, to teach with; English made by `toolkit.train.voice_texts` otherwise.
        teacher: of a student, the voice it was made of, where it is not found by itself.
        cache: directory of teachers' outputs; ``.teachers`` beside ``out`` by default.
        threads: of torch.

    Raises:
        InputError: the voice is missing or damaged, or ``out`` holds something else.
        DataError: the voice is not English and there is no data, or the data holds too little.
        RecipeError: something protected would be cut, or channels of a decoder that is no HiFi-GAN.
        ExtraMissing: it is to be heard, and a judge is not installed.
        GateFailed: not even a part's first round passed, or something protected changed; nothing is written.
    """
    from toolkit.prune.voice import prune_voice

    refuse_foreign_directory(out)
    clock, resume = StageClock(listener), resume_folder(out)
    with threads_of(threads):
        with clock.stage("open voice") as stage:
            source, voice, reference = opened(model, teacher)
            sentences = taught_ids(voice, data, settings.sentences, settings.seed, settings.training.batch)
            stage.fact = f"{voice.label}; {len(sentences):,} sentences"
        with clock.stage("pruning") as stage:
            done = prune_voice(
                voice,
                settings,
                sentences,
                [voice.phoneme_ids(sentence.phonemes) for sentence in load_manifest().split("evaluation")],
                hear=_hearing(voice, settings.utterances, listener) if settings.utterances else None,
                cache=cache or teachers_folder(out),
                checkpoint_dir=resume,
                on_teacher=lambda n, of: listener.progress("pruning", n, of, "sentences known"),
                on_round=lambda part, fact, total: listener.warning(_round_line(part, fact, total)),
                on_step=lambda step, of, loss: listener.progress("pruning", step, of, f"loss {loss:.4f}"),
            )
            stage.fact = ", ".join(f"{part}: {_kept(each)}" for part, each in done.parts.items())
        if done.quality is None:
            found = "; ".join(f"{part}: {_said(part, each.rounds[0].quality)}" for part, each in done.parts.items())
            raise GateFailed(
                f"the first round did not hold: {found}",
                code="prune/no-round",
                where=model,
                hint="train more each round (--steps N), cut less (--round), or allow more (--set GATE=X)",
            )
        pruned = done.model
        with clock.stage("judgement in float") as stage:
            heard = judged(pruned, reference, settings.utterances, listener)
            found = heard.found if heard else NOT_HEARD
            stage.fact = found["heard"]
    result: dict[str, Any] = {
        "settings": settings.model_dump(mode="json"),
        "against": reference.name,
        "given": {"float32_bytes": voice.float32_bytes, "weights": weights_of(voice), **_sizes(voice)},
        "rounds": [{"part": part, **asdict(each)} for part, one in done.parts.items() for each in one.rounds],
        "kept_rounds": {part: each.best for part, each in done.parts.items()},
        "pruned": {"float32_bytes": pruned.float32_bytes, "weights": weights_of(pruned), **_sizes(pruned)},
        "fidelity": asdict(done.quality),
        "protected_tensors_unchanged": done.protected,
        "passed": done.complete,
        **found,
    }
    path = write_voice_run(out, PRUNED, pruned, result, heard, source)
    shutil.rmtree(resume, ignore_errors=True)
    return Shrunk(path=path, result=result, verdict=_verdict(path, result, settings), passed=result["passed"])


def _hearing(given: Voice, utterances: int, listener: Listener) -> Hear:
    """Listens to held-out sentences of a voice in the time of the one given, which is heard once.

    Raises:
        ExtraMissing: a judge is not installed.
    """
    from toolkit.models.voice import Buckets

    for package in ("distillmos", "resemblyzer"):
        if not listening.available(package):
            raise ExtraMissing(
                f"{package} is not installed, and rounds are to be heard",
                where="prune → utterances",
                hint="`make env`; or --set utterances=0, which holds rounds to the prior and durations alone",
            )
    settings, buckets = Quality(), Buckets(phonemes=(256, 512), frames=(512,))
    sentences = load_manifest().split("evaluation")[:utterances]
    judgements, said = Judgements(), dict[str, listening.Spoken]()

    def spoken(voice: Voice, like: listening.Spoken | None) -> listening.Spoken:
        return listening.speak(
            voice, voice.torch_runners(buckets), sentences, settings,
            lambda n, of, note: listener.progress("pruning", n, of, f"listening: {note}"), like=like,
        )  # fmt: skip

    def hear(voice: Voice) -> tuple[float | None, float | None]:
        if "given" not in said:
            said["given"] = spoken(given, None)
        found = listening.judge_timing(
            said["given"], spoken(voice, said["given"]), given.sample_rate_hz, judgements
        )  # fmt: skip
        return found.mos_drop, found.speaker_cosine

    return hear


def _sizes(voice: Voice) -> dict[str, Any]:
    from toolkit.models.vits.config import GeneratorConfig

    encoder, flow, decoder = voice.config.encoder, voice.config.flow, voice.config.generator
    sizes = {"inners": list(encoder.inners), "heads": encoder.heads, "gates": [list(each) for each in flow.gate_widths]}
    if isinstance(decoder, GeneratorConfig):
        sizes["stages"] = [decoder.initial, *decoder.stage_widths]
        sizes["steps"] = [list(each) for each in decoder.block_inners]
    return sizes


def _kept(done: Pruned[Voice, VoiceFidelity]) -> str:
    return f"round {done.best} of {len(done.rounds)} kept"


def _said(part: str, found: VoiceFidelity) -> str:
    heard = "" if found.mos_drop is None else f", distillmos {-found.mos_drop:+.3f}"
    heard += "" if found.speaker_cosine is None else f", resemblyzer_cosine {found.speaker_cosine:.3f}"
    if part == "flow":
        return f"latent {found.latent_snr_db:.1f} dB{heard}"
    if part == "decoder":
        return f"mel distance {found.mel_distance:.3f}{heard}"
    return f"prior {found.prior_snr_db:.1f} dB, durations {found.frames_error:.2f} frames off{heard}"


def _round_line(part: str, fact: Round[VoiceFidelity], total: int) -> str:
    left, cut = f"{sum(fact.inners):,} channels", f"{fact.cut.mel_distance:.3f}"
    if part == "encoder":
        left, cut = f"{left}, {fact.heads} heads", f"{fact.cut.prior_snr_db:.1f} dB"
    elif part == "flow":
        left, cut = f"{sum(fact.inners):,} gates", f"{fact.cut.latent_snr_db:.1f} dB"
    return (
        f"{part}, round {fact.number} of {total}: {left}, cut {cut}, trained: {_said(part, fact.quality)}, "
        f"{held_or_not(fact.passed)}"
    )


def _verdict(path: Path, result: dict[str, Any], settings: PruneVoice) -> str:
    given, pruned, fidelity = result["given"], result["pruned"], result["fidelity"]
    heard = (
        ""
        if fidelity["mos_drop"] is None
        else f", distillmos {-fidelity['mos_drop']:+.3f} (gate -{settings.mos_drop_max}), resemblyzer_cosine "
        f"{fidelity['speaker_cosine']:.3f} (gate {1.0 - settings.speaker_cosine_loss_max:.3f})"
    )
    smaller = [
        f"{part} {pruned['weights'][part]:,} weights of {given['weights'][part]:,}" for part in result["kept_rounds"]
    ]
    gates = [f"{_list(own)} of {sum(of)}" for own, of in zip(pruned["gates"], given["gates"], strict=True)]
    return "\n".join((
        f"{path}  {result['file_bytes']:,} bytes in float32; {', '.join(smaller)}",
        f"  channels {sum(pruned['inners']):,} of {sum(given['inners']):,} "
        f"({_list(pruned['inners'])}), heads {pruned['heads']} of {given['heads']} a layer",
        *([f"  gates {_total(pruned):,} of {_total(given):,} (couplings: {'; '.join(gates)})"]
          if "flow" in result["kept_rounds"] else []),
        *([f"  decoder channels {_list(pruned['stages'])} of {_list(given['stages'])} (before its stages and in each)"]
          if "decoder" in result["kept_rounds"] else []),
        f"  protected {result['protected_tensors_unchanged']} tensors of {', '.join(settings.protect) or 'none'} "
        "unchanged",
        f"  beside the voice given: prior {fidelity['prior_snr_db']:.1f} dB (gate {settings.prior_snr_db_min}), "
        f"durations {fidelity['frames_error']:.2f} frames off (gate {settings.frames_error_max}), latent "
        f"{fidelity['latent_snr_db']:.1f} dB (gate {settings.latent_snr_db_min}), mel distance "
        f"{fidelity['mel_distance']:.3f} (gate {settings.mel_distance_max}){heard}",
        *(f"  {line}" for line in _held(result)),
        f"  against {result['against']}: {result['heard']}",
        *(f"  not measured: {reason}" for reason in result["not_measured"]),
    ))  # fmt: skip


def _held(result: dict[str, Any]) -> list[str]:
    """Of each part, whether its rounds came to the target."""
    lines = []
    for part, best in result["kept_rounds"].items():
        last = [each for each in result["rounds"] if each["part"] == part][-1]
        left = "the one before is kept" if best else "it stays as it was"
        lines.append(
            f"{part}: held to the target" if last["passed"]
            else f"{part}: round {last['number']} did not hold; {left}"
        )  # fmt: skip
    return lines


def _total(sizes: dict[str, Any]) -> int:
    return sum(map(sum, sizes["gates"]))


def _list(sizes: list[int]) -> str:
    return ", ".join(map(str, sizes))
