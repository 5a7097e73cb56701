"""A pruned encoder, other widths in every layer and one head gone, goes through the whole chain."""

import numpy as np
import torch

from converters.tflite_graph.run import tflite_runner
from toolkit.models.seeded import seeded_voice
from toolkit.models.vits.probe import probe_inputs
from toolkit.pipeline.events import Silent, StageClock
from toolkit.pipeline.float_chain import convert_float
from toolkit.pipeline.sources import SourcePart, random_like
from toolkit.prune import voice as pruning
from toolkit.prune.groups import cut, voice_groups
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
    return pruning._with_encoder(voice, pruning._encoder_of(weights, voice.config.encoder, 1), weights)


def test_every_hop_is_the_same_to_100_db_and_another_pruning_is_not(tmp_path):
    voice = pruned_voice()
    module, spec = voice.part("encoder", BUCKET)
    real = probe_inputs(voice, "encoder", BUCKET, count=1)
    probes = (*real, random_like(real[0], np.random.default_rng(0)))
    part = SourcePart(name="encoder", bucket=BUCKET, model=module, spec=spec, probes=probes, real_probes=1)
    done = convert_float(part, load("vits-voice-small"), StageClock(Silent()), tmp_path / "repro")
    levels = [row.snr_db for row in done.parity]
    assert levels and all(level is None or level >= 100.0 for level in levels)
    found = tflite_runner(done.tflite, done.relayered.interface)(real[0])["m_p"]
    ids, mask = (torch.from_numpy(real[0][name]) for name in ("ids", "mask"))
    with torch.inference_mode():
        own, other = (each.modules["encoder"](ids, mask)[1].numpy() for each in (voice, pruned_voice(head=1)))
    assert np.abs(found - own).max() < 1e-4 < 1e-2 < np.abs(other - own).max()
