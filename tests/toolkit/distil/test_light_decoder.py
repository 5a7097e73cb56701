"""A light decoder learns from its teacher: what it keeps, what it begins with, and that a run goes on where it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from toolkit.distil import sound_windows
from toolkit.distil.adversary import Judges
from toolkit.distil.decoder_start import light_config, most_needed, start_tail, take_front, taken_stages
from toolkit.distil.decoder_teacher import taught_sound, taught_waves
from toolkit.distil.light_decoder import DistilledDecoder, distil_decoder
from toolkit.errors import DataError, RecipeError
from toolkit.models.seeded import seeded_voice
from toolkit.models.vits.config import GeneratorConfig
from toolkit.models.vits.decoders import kind_of_decoder
from toolkit.models.vits.parts import DecoderPart
from toolkit.models.vits.probe import probe_ids
from toolkit.models.voice import Voice
from toolkit.recipe.shrinking import DecoderStudent, Training
from toolkit.train import loop

KINDS = ("istft", "wavenet", "narrow")


@pytest.fixture(scope="module")
def voice() -> Voice:
    return seeded_voice()


def asked(kind: str = "istft", steps: int = 4, judged: float = 0.5) -> DecoderStudent:
    training = Training(steps=steps, batch=2, learning_rate=1e-3, dropout=0.0, checkpoint_every_steps=1)
    return DecoderStudent(kind=kind, width=4, last_width=2, sentences=3, judged_ratio=judged, training=training)


def distilled(voice: Voice, settings: DecoderStudent, **options: object) -> DistilledDecoder:
    return distil_decoder(voice, settings, probe_ids(voice)[:3], **options)


def weights(done: DistilledDecoder) -> torch.Tensor:
    return torch.cat([value.flatten() for value in done.module.state_dict().values()])


def test_a_medium_voices_students_have_the_sizes_that_were_measured() -> None:
    for kind, config in ((name, light_config(GeneratorConfig(), DecoderStudent(kind=name))) for name in KINDS):
        assert config.dilations == (1, 3, 9, 27) if kind == "wavenet" else config == kind_of_decoder(config).config()
        assert (config.hop, config.channels, config.trunk.rate) == (256, 192, 256 if kind == "narrow" else 64)
        assert config.trunk.stages[0].blocks == ((3, 5, 7) if kind == "narrow" else (3, 7))


@pytest.mark.parametrize(
    ("teacher", "width"),
    [(GeneratorConfig(), 65), (GeneratorConfig(up_rates=(8, 8), up_kernels=(16, 16), up_paddings=(4, 4)), 32)],
)
@pytest.mark.parametrize("kind", KINDS)
def test_sizes_that_do_not_fit_the_teacher_are_refused(teacher: GeneratorConfig, width: int, kind: str) -> None:
    with pytest.raises(RecipeError) as caught:
        light_config(teacher, DecoderStudent(kind=kind, width=width, last_width=width))
    assert caught.value.code == "recipe/out-of-range"


def test_a_light_decoder_has_no_light_student(voice: Voice) -> None:
    config = light_config(voice.config.generator, asked())
    with pytest.raises(RecipeError):
        light_config(config, asked())


def test_the_channels_that_say_most_are_kept() -> None:
    noise = torch.Generator().manual_seed(0)
    features = torch.randn(8, 400, generator=noise)
    features[6] = features[2]  # one of two that say the same may go
    audio = torch.stack([features[2] + 0.5 * features[5].roll(1), features[0]], dim=1)
    kept = most_needed([features], [audio], 3).tolist()
    assert {0, 5} < set(kept) and len({2, 6} & set(kept)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_weights_already_say_something_of_the_teacher(voice: Voice, kind: str) -> None:
    torch.manual_seed(0)
    config = light_config(voice.config.generator, asked(kind))
    student, teacher = DecoderPart(config).eval().requires_grad_(False).dec, voice.modules["decoder"].dec
    take_front(student, teacher)
    taken = taken_stages(config)
    taught, _ = taught_sound(voice, student, probe_ids(voice)[:3], None, taken=taken)

    def error_ratio() -> float:
        mask = torch.ones(1, 1, taught[0].frames)
        steps = torch.from_numpy(taught[0].steps.astype(np.float32))[None]
        made = student.sound(student.features(steps, mask, taken, len(student.trunk.stages)), mask)[0, 0]
        wanted = torch.from_numpy(taught[0].audio.astype(np.float32))
        return float((made - wanted).square().sum() / wanted.square().sum())

    before = error_ratio()
    start_tail(student, teacher, taught)
    assert error_ratio() < min(0.95, before)


@pytest.mark.parametrize("kind", KINDS)
def test_first_layers_stay_the_teachers_and_the_rest_learns(voice: Voice, kind: str) -> None:
    still, moved = (distilled(voice, asked(kind, steps)) for steps in (0, 6))
    teacher = voice.modules["decoder"].state_dict()
    found, begun = moved.module.state_dict(), still.module.state_dict()
    for name in ("dec.conv_pre.weight", "dec.ups.0.weight", "dec.resblocks.0.convs.1.weight"):
        assert torch.equal(found[name], teacher[name])
    last = moved.config.trunk.stages[0].blocks.index(7)
    assert torch.equal(found[f"dec.resblocks.{last}.convs.0.weight"], teacher["dec.resblocks.2.convs.0.weight"])
    changed = {name for name, value in found.items() if not torch.equal(value, begun[name])}
    assert changed and all(not name.startswith(("dec.conv_pre", "dec.ups.0", "dec.resblocks.0")) for name in changed)
    assert f"dec.ups.{taken_stages(moved.config)}.weight" in changed and not any(
        value.requires_grad for value in moved.module.parameters()
    )
    assert moved.asked == 3 and len(moved.losses) == 6


def test_learning_brings_the_sound_nearer(voice: Voice) -> None:
    settings = asked(steps=40, judged=0.0)
    losses = distilled(voice, settings).losses
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


def stop_after(step: int) -> Callable[[int, int, float], None]:
    def told(done: int, of: int, loss: float) -> None:
        if done > step:
            raise KeyboardInterrupt

    return told


@pytest.mark.parametrize("forgetful", [False, True])
def test_an_interrupted_run_ends_as_one_that_was_not(
    voice: Voice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgetful: bool
) -> None:
    """Forgetful, the twin: judges that are not kept with the checkpoint begin anew, and the student ends elsewhere."""
    whole = distilled(voice, asked(steps=5, judged=0.8))
    if forgetful:
        monkeypatch.setattr(Judges, "load_state_dict", lambda self, stored: None)
    with pytest.raises(KeyboardInterrupt):
        distilled(voice, asked(steps=5, judged=0.8), checkpoint_dir=tmp_path, on_step=stop_after(3))
    assert (tmp_path / loop.CHECKPOINT).is_file()
    resumed = distilled(voice, asked(steps=5, judged=0.8), checkpoint_dir=tmp_path)
    assert torch.equal(weights(whole), weights(resumed)) is not forgetful


def test_the_teacher_is_asked_once(voice: Voice, tmp_path: Path) -> None:
    first = distilled(voice, asked(steps=1), cache=tmp_path)
    again = distilled(voice, asked(steps=1), cache=tmp_path)
    assert (first.asked, again.asked) == (3, 0) and torch.equal(weights(first), weights(again))
    path = next(tmp_path.rglob("*.npz"))
    path.write_bytes(path.read_bytes()[:-100])
    assert distilled(voice, asked(steps=0), cache=tmp_path).asked == 3


def test_what_is_taught_of_a_latent_is_its_sound_and_asked_once(voice: Voice, tmp_path: Path) -> None:
    sentences = probe_ids(voice)[:3]
    (first, *_), known = taught_waves(voice, sentences, tmp_path)
    latent = torch.from_numpy(first.steps.astype(np.float32))[None]
    assert latent.shape[-1] == first.frames
    with torch.inference_mode():
        sound = voice.modules["decoder"](latent, torch.ones(1, 1, first.frames))[0, 0].numpy()
    assert np.abs(sound - first.audio).max() < 0.02 < np.abs(sound).max()
    (again, *_), asked_again = taught_waves(voice, sentences, tmp_path)
    assert (known.asked, asked_again.asked) == (3, 0) and np.array_equal(first.audio, again.audio)


def test_sentences_shorter_than_a_window_are_refused(voice: Voice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound_windows, "_WINDOW_FRAMES", 100_000)
    with pytest.raises(DataError) as caught:
        distilled(voice, asked())
    assert caught.value.code == "data/too-little"


def test_a_change_of_the_teacher_is_another_teacher(voice: Voice, tmp_path: Path) -> None:
    distilled(voice, asked(steps=0), cache=tmp_path)
    other = seeded_voice(1)
    changed = replace(voice, modules={**voice.modules, "decoder": other.modules["decoder"]})
    assert distilled(changed, asked(steps=0), cache=tmp_path).asked == 3
