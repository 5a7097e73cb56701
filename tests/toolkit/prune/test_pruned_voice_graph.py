"""Pruned parts of a voice go through the whole chain: an encoder with other widths in every layer and one head gone, a
flow with other gates in every layer, a decoder with other channels in every stage and step.
"""

import numpy as np
import pytest
import torch

from converters.tflite_graph.run import tflite_runner
from toolkit.models.seeded import seeded_voice
from toolkit.models.vits.probe import probe_inputs
from toolkit.pipeline.events import Silent, StageClock
from toolkit.pipeline.float_chain import convert_float
from toolkit.pipeline.sources import SourcePart, random_like
from toolkit.prune.groups import cut, decoder_groups, flow_groups, voice_groups
from toolkit.prune.voice_decoder import hifigan, with_decoder
from toolkit.prune.voice_encoder import with_encoder
from toolkit.prune.voice_flow import with_flow
from toolkit.recipe.load import load

BUCKET = 160


def pruned_voice(head=0):
    voice = seeded_voice()
    keeps = {}
    for group in voice_groups(voice.config.encoder):
        if group.kind == "mlp":
            keeps[group] = torch.arange(40 if group.place.endswith("0") else 24)
        else:
            keeps[group] = torch.tensor([1 - head])
    weights = cut(voice.modules["encoder"].state_dict(), keeps)
    return with_encoder(voice, weights, 1)


def with_fewer_gates(first=0):
    """Eight to 26 gates a layer, counted from the given one."""
    voice = seeded_voice()
    groups = flow_groups(voice.config.flow)
    keeps = {group: first + torch.arange(8 + 6 * place) for place, group in enumerate(groups)}
    return with_flow(voice, cut(voice.modules["flow"].state_dict(), keeps))


def converted(voice, name, where):
    """The part's probe, what its TFLite graph gives, and the levels of all hops."""
    module, spec = voice.part(name, BUCKET)
    real = probe_inputs(voice, name, BUCKET, count=1)
    probes = (*real, random_like(real[0], np.random.default_rng(0)))
    part = SourcePart(name=name, bucket=BUCKET, model=module, spec=spec, probes=probes, real_probes=1)
    done = convert_float(part, load("vits-voice-small"), StageClock(Silent()), where / "repro")
    found = tflite_runner(done.tflite, done.relayered.interface)(real[0])
    return real[0], found, [row.snr_db for row in done.parity]


def test_every_hop_is_the_same_to_100_db_and_another_pruning_is_not(tmp_path):
    voice = pruned_voice()
    asked, found, levels = converted(voice, "encoder", tmp_path)
    assert levels and all(level is None or level >= 100.0 for level in levels)
    ids, mask = (torch.from_numpy(asked[name]) for name in ("ids", "mask"))
    with torch.inference_mode():
        own, other = (each.modules["encoder"](ids, mask)[1].numpy() for each in (voice, pruned_voice(head=1)))
    assert np.abs(found["m_p"] - own).max() < 1e-4 < 1e-2 < np.abs(other - own).max()


def test_every_hop_of_a_flow_with_fewer_gates_is_the_same_to_100_db(tmp_path):
    voice = with_fewer_gates()
    asked, found, levels = converted(voice, "flow", tmp_path)
    assert levels and all(level is None or level >= 100.0 for level in levels)
    z_p, mask = (torch.from_numpy(asked[name]) for name in ("z_p", "mask"))
    with torch.inference_mode():
        own, other = (each.modules["flow"](z_p, mask).numpy() for each in (voice, with_fewer_gates(first=1)))
    assert np.abs(found["z"] - own).max() < 1e-4 < 1e-2 < np.abs(other - own).max()


def with_fewer_channels(resblock, first=0):
    """Between a quarter and all channels of a group, counted from the given one."""
    voice = seeded_voice(resblock=resblock)
    keeps = {
        group: (first + torch.arange(1 + place * 5 % (group.count - 1))) % group.count
        for place, group in enumerate(decoder_groups(hifigan(voice)))
    }
    return with_decoder(voice, cut(voice.modules["decoder"].state_dict(), keeps))


@pytest.mark.parametrize("resblock", ["1", "2"])
def test_every_hop_of_a_decoder_with_fewer_channels_is_the_same_to_100_db(tmp_path, resblock):
    voice = with_fewer_channels(resblock)
    asked, found, levels = converted(voice, "decoder", tmp_path)
    assert levels and all(level is None or level >= 100.0 for level in levels)
    z, mask = (torch.from_numpy(asked[name]) for name in ("z", "mask"))
    with torch.inference_mode():
        own, other = (
            each.modules["decoder"](z, mask).numpy() for each in (voice, with_fewer_channels(resblock, first=1))
        )
    assert np.abs(found["audio"] - own).max() < 1e-4 < 1e-2 < np.abs(other - own).max()
