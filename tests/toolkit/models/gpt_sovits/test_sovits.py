"""The torch modules of SoVITS equal upstream on every stage; each trap has a twin that falls into it and is seen."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.toolkit.models.gpt_sovits.sovits_vectors import micro, sentence, tensor, vectors
from toolkit.engine.spectrogram import reference_spectrogram
from toolkit.errors import CheckpointError
from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
from toolkit.models.gpt_sovits.seeded import small_config, write_sovits
from toolkit.models.gpt_sovits.sovits import (
    code_extractor,
    enrolment_model,
    mean_style,
    sovits_model,
    with_voice,
)

TOLERANCE = 1e-4


def difference(found: torch.Tensor, name: str) -> float:
    expected = tensor(name)
    assert found.shape == expected.shape, (name, found.shape, expected.shape)
    return float((found - expected).abs().max())


def heard(module: nn.Module, names: dict[str, str], run) -> dict[str, torch.Tensor]:
    """Outputs of the named submodules during a run, by the vectors' names."""
    caught, hooks = {}, []
    for name, path in names.items():

        def keep(_module, _inputs, output, name=name):
            caught[name] = output

        hooks.append(module.get_submodule(path).register_forward_hook(keep))
    try:
        with torch.no_grad():
            run()
    finally:
        for hook in hooks:
            hook.remove()
    return caught


@pytest.fixture(scope="module")
def model():
    return sovits_model(micro())


@pytest.fixture(scope="module")
def folded(model):
    return with_voice(model, tensor("ge"), tensor("ge_for_encp"))


@pytest.fixture(params=["style is an input", "style is folded"])
def voiced(request, model, folded):
    """The model and the styles it takes."""
    if request.param == "style is folded":
        return folded, {}
    return model, {"style": tensor("ge"), "text_style": tensor("ge_for_encp")}


def test_spectrogram_equals_upstream():
    found = reference_spectrogram(vectors()["ref_wav32k"][0], 1025)
    assert np.abs(found - vectors()["refer_spec"]).max() < TOLERANCE


def test_spectrogram_of_silence_shows_the_epsilon_of_inference():
    # 1e-8 under the root is 1e-4; the export scripts' 1e-6 would be 1e-3.
    assert reference_spectrogram(np.zeros(6400, np.float32), 704)[0, 0, 0] == pytest.approx(1e-4, rel=1e-3)
    with pytest.raises(ValueError, match="fewer"):
        reference_spectrogram(np.zeros(704, np.float32), 704)


def test_style_equals_upstream():
    style, text_style = mean_style(enrolment_model(micro()), [tensor("refer_spec")[:, :704]])
    assert difference(style, "ge") < TOLERANCE
    assert difference(style, "hook_ref_enc_out") < TOLERANCE
    assert difference(text_style, "ge_for_encp") < TOLERANCE


def test_style_of_the_wrong_bins_is_seen():
    style, _ = mean_style(enrolment_model(micro()), [tensor("refer_spec")[:, -704:]])
    assert difference(style, "ge") > TOLERANCE


def test_style_does_not_depend_on_the_bucket():
    enrolment, spectrogram = enrolment_model(micro()), tensor("refer_spec")[:, :704]
    filled = torch.nn.functional.pad(spectrogram, (0, 13), value=9.0)
    mask = (torch.arange(33) < 20).float()[None, None]
    with torch.no_grad():
        assert difference(enrolment(filled, mask)[0], "ge") < TOLERANCE
        assert difference(enrolment(filled, torch.ones(1, 1, 33))[0], "ge") > TOLERANCE


def test_codes_equal_upstream():
    extractor, ssl = code_extractor(micro()), tensor("ssl")
    with torch.no_grad():
        projected = extractor.ssl_proj(ssl)
        assert difference(projected, "ssl_proj_out") < TOLERANCE
        assert torch.equal(extractor(ssl).argmax(-1)[0], tensor("extracted_codes")[0, 0])


@pytest.mark.parametrize("bucket", [8, 13])
def test_prior_stages_equal_upstream(model, bucket):
    names = {
        "hook_encp_encoder_ssl": "encoder_ssl",
        "hook_encp_encoder_text": "encoder_text",
        "hook_encp_mrte": "mrte",
        "hook_encp_encoder2": "encoder2",
    }
    found = {}
    inputs = sentence(bucket, 16)
    caught = heard(model.prior, names, lambda: found.update(all=model.prior(*inputs, tensor("ge_for_encp"))))
    assert caught.keys() == names.keys()
    for name, output in caught.items():
        assert difference(output.transpose(1, 2)[:, :, : tensor(name).shape[2]], name) < TOLERANCE, name
    mean, deviation = found["all"]
    assert difference(mean[:, :, :16], "m_p") < TOLERANCE
    assert difference(deviation[:, :, :16], "logs_p") < TOLERANCE
    assert mean[:, :, 16:].abs().sum() == 0


def test_code_table_equals_codebook_and_projection(model):
    rows = model.prior.code_table(tensor("codes")[0]).repeat_interleave(2, dim=1)
    assert difference(rows.transpose(1, 2), "hook_encp_ssl_proj") < TOLERANCE


def test_prior_sees_its_masks_and_its_style(model):
    codes, phones, codes_mask, phones_mask = sentence()
    for inputs in (
        (codes, phones, codes_mask, torch.ones_like(phones_mask), tensor("ge_for_encp")),
        (codes, phones, codes_mask, phones_mask, None),
    ):
        assert difference(model.prior(*inputs)[0], "m_p") > TOLERANCE


def test_flow_equals_upstream_without_its_flips(model):
    mask, style = torch.ones(1, 1, 16), tensor("ge")
    z = tensor("z_p_ns05")
    assert difference(model.flow(z, mask, style), "z_ns05") < TOLERANCE
    names = {f"hook_flow{number}_out": f"flows.{number}" for number in (6, 4, 2, 0)}
    caught = heard(model.flow, names, lambda: model.flow(tensor("m_p"), mask, style))
    # The exchanged couplings (6 and 2) work on reversed channels: what they give is upstream's output, reversed.
    for name, number in (("hook_flow6_out", 6), ("hook_flow4_out", 4), ("hook_flow2_out", 2), ("hook_flow0_out", 0)):
        output = caught[name].flip(1) if number in (6, 2) else caught[name]
        assert difference(output, name) < TOLERANCE, name


def test_flow_without_the_exchange_is_seen(model):
    for coupling in model.flow.flows.values():
        assert coupling.exchanged in (True, False)
    broken = sovits_model(micro())
    for coupling in broken.flow.flows.values():
        coupling.exchanged = False
    assert difference(broken.flow(tensor("z_p_ns05"), torch.ones(1, 1, 16), tensor("ge")), "z_ns05") > TOLERANCE


def test_flow_of_an_odd_number_of_couplings_keeps_one_flip(tmp_path):
    config = small_config("v2")
    for couplings in (1, 2, 3):
        resized = replace(config, flow=replace(config.flow, couplings=couplings))
        model = sovits_model(read_checkpoint(write_sovits(tmp_path / f"{couplings}.pth", resized)))
        mask, style, z = torch.ones(1, 1, 9), torch.randn(1, config.gin, 1), torch.randn(1, config.inter, 9)
        expected = z
        # As upstream runs it: a flip before every coupling, none exchanged, straight from the checkpoint's tensors.
        from toolkit.models.gpt_sovits.folding import fill
        from toolkit.models.gpt_sovits.sovits_flow import Coupling

        for index in reversed(range(couplings)):
            plain = Coupling(resized.flow, config.gin, exchanged=False)
            fill(plain, model.weights, f"flow.flows.{2 * index}.")
            expected = plain(expected.flip(1), mask, style)
        assert torch.allclose(model.flow(z, mask, style), expected, atol=1e-5)


def test_vocoder_stages_equal_upstream(model):
    names = {"hook_dec_conv_pre": "conv_pre", "hook_dec_conv_post": "conv_post"}
    names |= {f"hook_dec_up{stage}": f"ups.{stage}" for stage in range(5)}
    names |= {f"hook_dec_res{2 * stage}": f"resblocks.{2 * stage}" for stage in range(5)}
    caught = heard(model.generator, names, lambda: model.generator(tensor("z_ns0"), torch.ones(1, 1, 16), tensor("ge")))
    assert len(caught) == 12
    for name, output in caught.items():
        assert difference(output, name) < TOLERANCE, name


def _with_slope(**changes):
    def change(model):
        model.generator.config = replace(model.generator.config, **changes)

    return change


@pytest.mark.parametrize("change", [_with_slope(last_slope=0.1), _with_slope(slope=0.01)])
def test_wrong_slopes_are_seen(change):
    broken = sovits_model(micro())
    change(broken)
    with torch.no_grad():
        found = broken.generator(tensor("z_ns0"), torch.ones(1, 1, 16), tensor("ge"))
    assert difference(found, "audio_ns0") > 1e-6


def test_vocoder_of_a_padded_bucket_is_exact_and_input_masks_alone_are_not(model, monkeypatch):
    z = torch.nn.functional.pad(tensor("z_ns0"), (0, 7), value=3.0)
    mask = (torch.arange(23) < 16).float()[None, None]
    with torch.no_grad():
        found = model.generator(z, mask, tensor("ge"))[:, :, : 16 * 640]
        unmasked = model.generator(z * mask, torch.ones_like(mask), tensor("ge"))[:, :, : 16 * 640]
    assert difference(found, "audio_ns0") < 1e-5
    assert difference(unmasked, "audio_ns0") > TOLERANCE


@pytest.mark.parametrize("bucket", [8, 11])
def test_audio_equals_upstream(voiced, bucket):
    model, styles = voiced
    noise = torch.nn.functional.pad(tensor("noise"), (0, 2 * bucket - 16))
    for given, name in ((None, "audio_ns0"), (noise, "audio_ns05")):
        found = model.speak(*sentence(bucket), noise=given, **styles)[:, :, : 16 * 640]
        assert difference(found, name) < TOLERANCE
    assert difference(found, "audio_ns05_float64") < TOLERANCE


def test_faster_speech_equals_upstream(voiced):
    model, styles = voiced
    found = model.speak(*sentence(), noise=tensor("noise_speed"), speed=1.25, **styles)
    assert difference(found, "audio_speed125_ns05") < TOLERANCE


def test_two_references_are_averaged_as_upstream_does(model):
    enrolment, first = enrolment_model(micro()), tensor("refer_spec")[:, :704]
    second = first[:, :, :10]  # the vectors' second recording
    style, text_style = mean_style(enrolment, [first, second])
    found = model.speak(*sentence(), style=style, text_style=text_style)
    assert difference(found, "audio_two_refers_ns0") < TOLERANCE
    # The twin: the two recordings laid end to end are not their average.
    joined, joined_text = mean_style(enrolment, [torch.cat([first, second], dim=2)])
    found = model.speak(*sentence(), style=joined, text_style=joined_text)
    assert difference(found, "audio_two_refers_ns0") > TOLERANCE


def test_another_voice_folded_is_seen(model):
    other = with_voice(model, tensor("ge") + 0.1, tensor("ge_for_encp"))
    assert difference(other.speak(*sentence()), "audio_ns0") > TOLERANCE


@pytest.mark.parametrize("version", ["v1", "v2", "v2Pro", "v2ProPlus"])
def test_folded_equals_unfolded_for_every_version(tmp_path, version):
    checkpoint = read_checkpoint(write_sovits(tmp_path / "a.pth", small_config(version)))
    model, config = sovits_model(checkpoint), small_config(version)
    generator = torch.Generator().manual_seed(1)
    speakers = [torch.randn(1, config.speaker, generator=generator)] if config.speaker else []
    spectrogram = torch.rand(1, config.style_bins, 12, generator=generator)
    style, text_style = mean_style(enrolment_model(checkpoint), [spectrogram], speakers)
    assert (style.shape, text_style.shape) == ((1, config.gin, 1), (1, config.mrte, 1))
    inputs = [each % 30 if each.dtype == torch.int32 else each for each in sentence()]
    voice = with_voice(model, style, text_style)
    assert not any("cond" in name for name in voice.weights)
    expected = model.speak(*inputs, style=style, text_style=text_style)
    assert torch.allclose(voice.speak(*inputs), expected, atol=2e-5)
    if config.speaker:
        with pytest.raises(ValueError, match="speaker embeddings"):
            mean_style(enrolment_model(checkpoint), [spectrogram])


def test_weight_norm_of_transposed_convolutions_is_over_their_inputs(model):
    weights = micro().weights
    folded = nn.utils.weight_norm(nn.ConvTranspose1d(32, 16, 16, 10))
    folded.weight_g.data, folded.weight_v.data = weights["dec.ups.0.weight_g"], weights["dec.ups.0.weight_v"]
    with torch.no_grad():
        folded(torch.zeros(1, 32, 3))
    assert torch.allclose(folded.weight, model.generator.ups[0].weight, atol=1e-6)


def test_a_gpt_checkpoint_makes_no_sovits():
    with pytest.raises(CheckpointError, match="GPT checkpoint"):
        sovits_model(replace(micro(), sovits=None))
