"""A voice's student starts near its teacher, learns, goes on after an interruption, and names whom it learned from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from toolkit.distil.encoder_start import start_encoder
from toolkit.distil.flow_start import start_flow
from toolkit.distil.least_squares import fitted
from toolkit.distil.voice import distil_voice, latent_distance, prior_distance, student_config
from toolkit.distil.voice_batches import ids_side_by_side, side_by_side
from toolkit.distil.voice_quality import duration_errors
from toolkit.distil.voice_teacher import flow_of, flow_stages, taught_latents, taught_texts
from toolkit.errors import RecipeError
from toolkit.models.seeded import seeded_voice
from toolkit.models.vits import parts
from toolkit.models.voice import Voice
from toolkit.models.voice_file import read_voice, write_voice
from toolkit.recipe.shrinking import DistilVoice, checked, student_of_voice

TRAINING = {"steps": 60, "batch": 4, "learning_rate": 3e-3, "dropout": 0.0}
SETTINGS: dict[str, Any] = {
    "encoder": {"filter_channels": 24},
    "flow": {"hidden": 16},
    "durations": {"hidden": 16, "draws": 2},
    "flow_sentences": 6,
    "text_training": TRAINING,
    "flow_training": TRAINING,
}
SENTENCES = [np.random.default_rng(place).integers(1, 50, 14 + 3 * place).astype(np.int32) for place in range(12)]


@pytest.fixture(scope="module")
def teacher() -> Voice:
    """Random weights, the same classes."""
    return seeded_voice()


def settings(**changes: Any) -> DistilVoice:
    return checked(DistilVoice, SETTINGS | changes)


def outputs(voice: Voice) -> list[torch.Tensor]:
    ids, mask = ids_side_by_side(SENTENCES[8:], 9)
    latents, _ = taught_latents(seeded_voice(), SENTENCES[6:10], None)
    stages, frames = side_by_side(latents)
    with torch.no_grad():
        _, m_p, logs_p = voice.modules["encoder"](ids, mask)
        return [m_p, logs_p, voice.modules["flow"](stages[:, 0], frames)]


def errors(student: Voice, teacher: Voice) -> list[float]:
    return [
        float((a - b).square().mean() / b.square().mean())
        for a, b in zip(outputs(student), outputs(teacher), strict=True)
    ]


def test_a_student_of_full_size_starts_as_its_teacher(teacher: Voice) -> None:
    same = student_config(teacher.config, settings(encoder={"filter_channels": 64}, flow={"hidden": 32}))
    built = parts.build(same)
    ids, mask = ids_side_by_side(SENTENCES, 9)
    start_encoder(built["encoder"].enc_p, teacher.modules["encoder"].enc_p, ids, mask)
    stages, frames = side_by_side(taught_latents(teacher, SENTENCES, None)[0])
    start_flow(flow_of(built["flow"]), flow_of(teacher.modules["flow"]), stages[:, 0], frames)
    found = errors(replace(teacher, modules={**teacher.modules, **built}), teacher)
    assert max(found) < 1e-3
    built["flow"].flow.flows[0].post.weight.zero_()  # the comparison sees one layer less
    assert errors(replace(teacher, modules={**teacher.modules, **built}), teacher)[2] > 10 * found[2]


def test_a_flow_some_gates_were_taken_from_teaches_one_with_as_few(teacher: Voice) -> None:
    """A student has as many gates as channels, and so may have what each layer has left; twin: one more is refused."""
    config = replace(teacher.config, flow=replace(teacher.config.flow, gates=((16, 24), (20, 32))))
    torch.manual_seed(0)
    pruned = replace(teacher, config=config, modules={**teacher.modules, "flow": parts.build(config)["flow"]})
    sizes = student_config(config, settings(flow={"hidden": 16}))
    assert sizes.flow.gates is None and sizes.flow.hidden == 16
    stages, frames = side_by_side(taught_latents(pruned, SENTENCES, None)[0])
    found = []
    for started in (True, False):
        student = flow_of(parts.build(sizes)["flow"])
        if started:
            start_flow(student, flow_of(pruned.modules["flow"]), stages[:, 0], frames)
        found.append(float(latent_distance(student, stages, frames)))
    assert found[0] < 0.5 * found[1]
    with pytest.raises(RecipeError, match=r"flow\.hidden is 17, the teacher's 16"):
        student_config(config, settings(flow={"hidden": 17}))


def test_a_smaller_student_starts_nearer_than_at_random_and_learns(teacher: Voice) -> None:
    untrained = settings(text_training=TRAINING | {"steps": 0}, flow_training=TRAINING | {"steps": 0})
    start = distil_voice(teacher, untrained, SENTENCES).voice
    torch.manual_seed(1)
    random = replace(start, modules={**start.modules, **parts.build(start.config)})
    learned = distil_voice(teacher, settings(), SENTENCES).voice
    at_random, begun, done = (errors(each, teacher) for each in (random, start, learned))
    assert all(one < 0.7 * other for one, other in zip(begun, at_random, strict=True))
    assert sum(done) < 0.8 * sum(begun)
    before, after = (duration_errors(each, teacher, SENTENCES) for each in (start, learned))
    assert (
        after.length_error_ratio < 0.2
        and 0.97 < after.length_ratio < 1.03
        and after.frames_per_phoneme <= before.frames_per_phoneme
    )


def test_a_student_is_a_voice_that_names_its_teacher(teacher: Voice, tmp_path: Path) -> None:
    teacher = replace(teacher, sources={"seeded.onnx": "0" * 64})
    few = TRAINING | {"steps": 2}
    done = distil_voice(teacher, settings(text_training=few, flow_training=few), SENTENCES)
    found = read_voice(write_voice(tmp_path / "s.safetensors", done.voice))
    assert found.part_names == ("encoder", "durations", "flow", "decoder")
    assert found.teacher is not None and found.teacher.sources == teacher.sources
    assert found.teacher.float32_bytes == teacher.float32_bytes > found.float32_bytes
    assert "student" in found.label
    again = distil_voice(found, settings(encoder=None, flow=None, text_training=few), SENTENCES)
    assert again.voice.teacher == found.teacher  # a student's student is judged against the first teacher
    weights = [each.modules["decoder"].state_dict() for each in (teacher, found)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


class _Interrupted(Exception):
    pass


def test_an_interrupted_run_ends_like_one_that_was_not(teacher: Voice, tmp_path: Path) -> None:
    short = TRAINING | {"steps": 4, "checkpoint_every_steps": 1}
    asked = settings(text_training=short, flow_training=short)
    whole = distil_voice(teacher, asked, SENTENCES, cache=tmp_path / "cache")

    def stop(stage: str, done: int, of: int, note: str) -> None:
        if (stage, done) == ("flow", 3):
            raise _Interrupted

    def weights(voice: Voice) -> dict[str, torch.Tensor]:
        return {name: value for part in voice.part_names for name, value in voice.modules[part].state_dict().items()}

    with pytest.raises(_Interrupted):
        distil_voice(teacher, asked, SENTENCES, checkpoint_dir=tmp_path / "resume", on_progress=stop)
    steps: list[tuple[str, int]] = []
    resumed = distil_voice(
        teacher, asked, SENTENCES, cache=tmp_path / "cache", checkpoint_dir=tmp_path / "resume",
        on_progress=lambda stage, done, of, note: steps.append((stage, done)),
    )  # fmt: skip
    assert [step for step in steps if step[0] in ("text", "flow")] == [("flow", 3), ("flow", 4)]
    assert whole.asked == {"texts": 12, "latents": 6} and resumed.asked == {"texts": 0, "latents": 0}
    one, other = weights(whole.voice), weights(resumed.voice)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert resumed.losses == whole.losses


def test_a_damaged_answer_is_asked_for_again_and_another_teacher_anew(teacher: Voice, tmp_path: Path) -> None:
    first, known = taught_texts(teacher, SENTENCES, 2, tmp_path)
    assert known.asked == 12 and taught_texts(teacher, SENTENCES, 2, tmp_path)[1].asked == 0
    file = next(tmp_path.rglob("texts-*.npz"))
    with np.load(file) as stored:
        arrays = dict(stored)
    arrays["frames"][0] += 1
    np.savez(file, **arrays)
    repaired, known = taught_texts(teacher, SENTENCES, 2, tmp_path)
    assert known.asked == 12 and np.array_equal(repaired[0].frames, first[0].frames)
    assert taught_texts(seeded_voice(1), SENTENCES, 2, tmp_path)[1].asked == 12
    assert taught_texts(teacher, SENTENCES, 3, tmp_path)[1].asked == 12


def test_what_is_taught_of_the_flow_is_what_it_does(teacher: Voice) -> None:
    (stages, *_), _ = taught_latents(teacher, SENTENCES[:2], None)
    found = torch.from_numpy(stages.astype(np.float32))
    z = teacher.modules["flow"](found[None, 0], torch.ones(1, 1, found.shape[-1]))
    assert torch.allclose(z[0], found[-1], atol=5e-3)
    assert len(flow_stages(flow_of(teacher.modules["flow"]), found[None, 0], torch.ones(1, 1, 1))) == 2


def test_padding_does_not_count_in_the_distance() -> None:
    rng = torch.Generator().manual_seed(0)
    one, other = (torch.randn(2, 1, 4, 6, generator=rng) for _ in range(2))
    frames = torch.tensor([[[2.0, 1.0, 0.0, 3.0, 0.0, 0.0]]])
    found = prior_distance((one[0], one[1]), (other[0], other[1]), frames)
    changed = one.clone()
    changed[..., 4:] = 100.0
    assert torch.allclose(prior_distance((changed[0], changed[1]), (other[0], other[1]), frames), found)
    assert float(prior_distance((other[0], other[1]), (other[0], other[1]), frames)) == 0.0
    assert float(found) > 0.1


def test_least_squares_recovers_a_linear_map() -> None:
    rng = torch.Generator().manual_seed(0)
    inputs, weight = torch.randn(80, 5, generator=rng) + 2.0, torch.randn(3, 5, generator=rng)
    found, bias = fitted(inputs, inputs @ weight.T + 1.5)
    assert torch.allclose(found, weight, atol=1e-3) and torch.allclose(bias, torch.full((3,), 1.5), atol=1e-2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("encoder.filter_channels=24", "flow.hidden=33"), "flow.hidden is 33, the teacher's 32"),
        (("encoder.filter_channels=65",), "encoder.filter_channels is 65"),
        (("encoder.filter_channels=24", "encoder.layers=3", "flow.hidden=16"), "encoder.layers is 3"),
    ],
)
def test_a_larger_student_is_refused(changes: tuple[str, ...], message: str, teacher: Voice) -> None:
    with pytest.raises(RecipeError) as caught:
        student_config(teacher.config, student_of_voice("small", changes))
    assert message in caught.value.message


@pytest.mark.parametrize(
    "change", ["flow.hiden=3", "durations.kernel=4", "durations=null", "sentences=0", "flow.hidden=wide"]
)
def test_settings_that_cannot_be_are_refused(change: str) -> None:
    with pytest.raises(RecipeError) as caught:
        student_of_voice("small", (change,))
    assert caught.value.code == "recipe/out-of-range"
