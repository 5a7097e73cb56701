"""``toolkit distil`` on a VITS voice: a run directory with a smaller voice, judged against the one it was made of."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from toolkit.data import Sentence, load_manifest
from toolkit.errors import DataError
from toolkit.models.threads import threads_of
from toolkit.pipeline import listening
from toolkit.pipeline.events import Listener, StageClock
from toolkit.pipeline.run_directory import building, refuse_foreign_directory, resume_folder, teachers_folder
from toolkit.pipeline.shrink_semantic import Shrunk
from toolkit.pipeline.sources import Request, Source, open_voice
from toolkit.pipeline.train_semantic import write_manifest
from toolkit.quality.judgements import Judgements
from toolkit.recipe.schema import Quality
from toolkit.recipe.shrinking import DistilVoice

if TYPE_CHECKING:
    from toolkit.models.voice import Voice

DEFAULT_VOICE: Final = "joe"
"""What the default voice is called on the command line."""
STUDENT: Final = "student"
NOT_HEARD: Final[dict[str, Any]] = {
    "heard": "not judged (utterances is 0)", "quality": {}, "not_measured": ["no sentences were asked for"]
}  # fmt: skip
"""What is said of the sound where no sentence was asked for."""
_SHORTEST_IDS: Final = 9
_LONGEST_IDS: Final = 400


def is_voice(model: str) -> bool:
    """Whether ``toolkit distil`` was given a voice, and not a GPT checkpoint."""
    return model == DEFAULT_VOICE or Path(model).suffix in (".onnx", ".safetensors")


def distil_voice_file(
    model: str,
    settings: DistilVoice,
    out: Path,
    listener: Listener,
    *,
    data: Path | None = None,
    teacher: Path | None = None,
    cache: Path | None = None,
    threads: int = 1,
) -> Shrunk:
    """Distils a VITS voice into a smaller one.

    Args:
        model: ``joe``, a Piper ``.onnx`` or a voice file.
        settings: sizes and training.
        out: run directory; it appears whole or not at all. An interrupted run goes on when it is asked again.
        listener: told about every stage.
        data: text file of IPA, a sentence a line, to teach with; English made by `toolkit.train.voice_texts` otherwise.
        teacher: of a student that is distilled again, the voice it was made of, where it is not found by itself.
        cache: directory of teachers' outputs; ``.teachers`` beside ``out`` by default.
        threads: of torch.

    Raises:
        InputError: the voice is missing or damaged, or ``out`` holds something else.
        DataError: the voice is not English and there is no data, or the data holds too little.
        RecipeError: a student that is larger than the teacher.
    """
    from toolkit.distil.voice import distil_voice

    refuse_foreign_directory(out)
    clock, resume = StageClock(listener), resume_folder(out)
    with threads_of(threads):
        with clock.stage("open voice") as stage:
            source, voice, reference = opened(model, teacher)
            least = settings.text_training.batch if settings.durations else 2
            sentences = taught_ids(voice, data, settings.sentences, settings.seed, least)
            stage.fact = f"{voice.label}; {len(sentences):,} sentences"
        with clock.stage("distillation") as stage:
            done = distil_voice(
                voice, settings, sentences,
                cache=cache or teachers_folder(out),
                checkpoint_dir=resume,
                on_progress=lambda what, n, of, note: listener.progress("distillation", n, of, f"{what}: {note}"),
            )  # fmt: skip
            stage.fact = done.voice.label
        student = done.voice
        with clock.stage("judgement in float") as stage:
            result = {
                "settings": settings.model_dump(mode="json"),
                "teacher": {
                    "name": reference.name,
                    "float32_bytes": reference.float32_bytes,
                    "weights": weights_of(reference),
                },
                "student": {"float32_bytes": student.float32_bytes, "weights": weights_of(student)},
                "teacher_asked_sentences": dict(done.asked),
                "losses": {name: [each[0], each[-1]] for name, each in done.losses.items() if each},
            }
            heard = judged(student, reference, settings.utterances, listener)
            result |= heard.found if heard else NOT_HEARD
            stage.fact = result["heard"]
    path = write_voice_run(out, STUDENT, student, result, heard, source)
    shutil.rmtree(resume, ignore_errors=True)
    return Shrunk(path=path, result=result, verdict=_verdict(path, result), passed=True)


def opened(model: str, teacher: Path | None) -> tuple[Source, Voice, Voice]:
    """A voice that is to become smaller: where it comes from, itself, and what the result is judged against.

    Raises:
        InputError: the voice is missing or damaged.
        DataError: it is no voice.
    """
    source = open_voice(Request(model="" if model == DEFAULT_VOICE else model, teacher=teacher))
    if source.voice is None or source.judged_against is None:
        raise DataError(f"{model} is no voice", where=model)
    return source, source.voice, source.judged_against


def write_voice_run(
    out: Path, name: str, voice: Voice, result: dict[str, Any], heard: HeardStudent | None, source: Source
) -> Path:
    """Writes the run directory of a smaller voice, whole or not at all; ``result`` gets the size of its file.

    Args:
        out: the directory.
        name: of the voice's file and of the results beside it.
        voice: the smaller one.
        result: what was asked, done and found.
        heard: its sound, where it was judged.
        source: what it was made of.

    Returns:
        The voice's file.
    """
    from toolkit.models.voice_file import SUFFIX, write_voice

    path = out / f"{name}{SUFFIX}"
    with building(out) as directory:
        write_voice(directory.path / path.name, voice)
        if heard is not None:
            listening.write_clips(directory, heard.reference, heard.student, heard.sentences, voice.sample_rate_hz)
        result["file_bytes"] = (directory.path / path.name).stat().st_size
        directory.write_json(f"{name}.json", result)
        write_manifest(directory, dict(source.inputs))
    return path


def taught_ids(voice: Voice, data: Path | None, count: int, seed: int, least: int) -> list[np.ndarray]:
    """Phoneme ids of the sentences to teach with.

    Args:
        voice: the teacher.
        data: text file of IPA, a sentence a line; English made by `toolkit.train.voice_texts` where there is none.
        count: how many are made.
        seed: of everything drawn for them.
        least: how many there must be.

    Raises:
        DataError: the voice is not English and there is no data, or the data holds too little.
    """
    if data is not None:
        try:
            lines = data.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"the sentences cannot be read: {error}", where=str(data)) from error
        ipa = [line.strip() for line in lines if line.strip()]
    elif voice.language.startswith("en"):
        from toolkit.train.voice_texts import taught_ipa

        ipa = taught_ipa(count, seed)
    else:
        raise DataError(
            f"the voice speaks {voice.language!r}; the sentences that come with the toolkit are English",
            where=voice.label,
            hint="give --data FILE with the IPA of a sentence in each line, e.g. of espeak-ng --ipa -q",
        )
    known = voice.phoneme_id_map
    ids = [voice.phoneme_ids(line) for line in ipa if any(symbol in known for symbol in line)]
    fitting = [each for each in ids if _SHORTEST_IDS <= len(each) <= _LONGEST_IDS]
    if len(fitting) < max(2, least):
        raise DataError(
            f"{len(fitting)} sentences of {_SHORTEST_IDS} to {_LONGEST_IDS} phoneme ids are too few",
            where=str(data or voice.label),
            hint="some hundreds are wanted, a batch at the very least",
        )
    return fitting


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardStudent:
    """A float student on the held-out sentences.

    Attributes:
        found: what was measured, for ``student.json``.
        sentences: what was said.
        reference: the teacher.
        student: the student, in the teacher's time.
    """

    found: dict[str, Any]
    sentences: tuple[Sentence, ...]
    reference: listening.Spoken
    student: listening.Spoken


def judged(student: Voice, teacher: Voice, utterances: int, listener: Listener) -> HeardStudent | None:
    """The float student against its teacher on held-out sentences: in the teacher's time, and in its own.

    ``None`` where no sentence was asked for.
    """
    if not utterances:
        return None
    from toolkit.distil.voice_quality import duration_errors
    from toolkit.models.voice import Buckets

    def on_progress(done: int, total: int, note: str) -> None:
        listener.progress("judgement in float", done, total, note)

    settings, buckets = Quality(), Buckets(phonemes=(256, 512), frames=(512,))
    sentences = load_manifest().split("evaluation")[:utterances]
    runners = student.torch_runners(buckets)
    reference = listening.speak(teacher, teacher.torch_runners(buckets), sentences, settings, on_progress)
    paired = listening.speak(student, runners, sentences, settings, on_progress, like=reference)
    rate_hz, judgements = student.sample_rate_hz, Judgements()
    quality, absent = listening.judge(
        reference, paired, sentences, rate_hz, "float student", f"the teacher {teacher.name} in float", judgements
    )
    found: dict[str, Any] = {
        "heard": listening.summary(quality),
        "quality": {metric.metric: {"mean": metric.mean, "worst": metric.worst} for metric in quality.metrics},
        "not_measured": absent,
    }
    if "durations" in student.modules:
        timed = listening.speak(student, runners, sentences, settings, on_progress)
        found["own_timing"] = asdict(listening.judge_timing(reference, timed, rate_hz, judgements))
        ids = [student.phoneme_ids(sentence.phonemes) for sentence in sentences]
        found["durations"] = asdict(duration_errors(student, teacher, ids))
    return HeardStudent(found=found, sentences=sentences, reference=reference, student=paired)


def weights_of(voice: Voice) -> dict[str, int]:
    """How many weights each part has."""
    return {name: sum(value.numel() for value in module.parameters()) for name, module in voice.modules.items()}


def _verdict(path: Path, result: dict[str, Any]) -> str:
    teacher, student = result["teacher"], result["student"]
    lines = [
        f"{path}  {result['file_bytes']:,} bytes in float32 "
        f"({teacher['float32_bytes'] / student['float32_bytes']:.2f} x fewer)",
        *(f"  {part:<10} {count:>10,} weights{_of(teacher['weights'].get(part), count)}"
          for part, count in student["weights"].items()),
        f"  float student against {teacher['name']}: {result['heard']}",
    ]  # fmt: skip
    if "durations" in result:
        errors, timing = result["durations"], result["own_timing"]
        lines.append(
            f"  durations: {errors['frames_per_phoneme']:.2f} frames a phoneme off the teacher's mean (one draw of the "
            f"teacher: {errors['drawn_frames_per_phoneme']:.2f}), sentences {100 * errors['length_error_ratio']:.1f} % "
            f"(draw: {100 * errors['drawn_length_error_ratio']:.1f} %), all together ×{errors['length_ratio']:.3f}"
        )
        if timing["mos_drop"] is not None:
            lines.append(f"  in its own time: distillmos {-timing['mos_drop']:+.3f}")
    lines += [f"  not measured: {reason}" for reason in result["not_measured"]]
    return "\n".join(lines)


def _of(whole: int | None, count: int) -> str:
    return "" if whole is None or whole == count else f" of {whole:,}"
