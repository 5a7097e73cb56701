"""What the page is told: followed in numpy, the stages give Python's own samples, and a wrong one does not."""

from __future__ import annotations

import json
import struct
from dataclasses import replace

import numpy as np
import pytest

from converters.errors import InputError
from tests.toolkit.engine.toy_model import ToyFile, toy_bundle, toy_voice
from tests.toolkit.serve.made_bundle import DECODER, PHONEMES, SAID, make_bundle
from toolkit.pipeline.speech import bundle_runners
from toolkit.serve import recorder
from toolkit.serve.gpt_sovits_voice import GptSovitsVoice
from toolkit.serve.packing import MAGIC, Spoken, Stage, pack
from toolkit.serve.vits_voice import VitsVoice
from toolkit.text.front_end import Phones
from toolkit.voices.database import VoiceDatabase


def followed(spoken: Spoken, run) -> np.ndarray:
    """What the page does: each piece cut out, run, and its middle kept."""
    lengths = {graph.name: graph.tensors for graph in spoken.graphs}
    waves = []
    for utterance in spoken.utterances:
        signal = utterance.signal
        for stage in utterance.stages:
            kept = []
            for piece in stage.pieces:
                length = lengths[piece.graph][stage.source].layout.torch_shape[2]
                given = signal[:, :, piece.start : piece.start + length]
                fed = np.pad(given, ((0, 0), (0, 0), (0, length - given.shape[2])))
                mask = (np.arange(length) < given.shape[2]).astype(np.float32)[None, None]
                made = run(piece.graph, {**spoken.constants, stage.source: fed, "mask": mask})[stage.target]
                kept.append(made[..., (piece.first - piece.start) * stage.hop : (piece.end - piece.start) * stage.hop])
            signal = np.concatenate(kept, axis=2)
        waves.append(signal[0, 0])
    return np.concatenate(waves)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("made") / "bundle")


@pytest.fixture(scope="module")
def spoken(bundle):
    return VitsVoice(bundle, threads=1, phonemes=SAID).speak({})


def run_vits(bundle):
    runners = bundle_runners(bundle, 1)

    def run(name, feeds):
        part, _, bucket = name.rpartition("_")
        return runners[part][int(bucket)](feeds)

    return run


def test_stages_of_a_vits_voice_give_its_samples(bundle, spoken):
    pieces = spoken.utterances[0].stages[1].pieces
    assert len(pieces) > 2 and spoken.utterances[0].signal.shape[2] > 2 * DECODER
    audio = spoken.utterances[0].audio
    assert np.abs(audio).max() > 0.1
    np.testing.assert_array_equal(followed(spoken, run_vits(bundle)), audio)


def test_a_piece_without_its_context_is_heard(bundle, spoken):
    """The twin: the same comparison, with a plan that cuts where it should not."""
    flow, decoder = spoken.utterances[0].stages
    wrong = tuple(replace(piece, start=piece.first) for piece in decoder.pieces)
    broken = replace(spoken.utterances[0], stages=(flow, Stage(**{**_fields(decoder), "pieces": wrong})))
    found = followed(replace(spoken, utterances=(broken,)), run_vits(bundle))
    assert np.abs(found - spoken.utterances[0].audio).max() > 0.01


def _fields(stage):
    return {name: getattr(stage, name) for name in ("name", "source", "target", "hop", "pieces")}


def test_each_graph_is_there_with_the_call_it_can_be_compared_by(spoken):
    assert {call.graph for call in spoken.calls} == {f"encoder_{PHONEMES}", "flow_96", f"decoder_{DECODER}"}
    idle = {graph.name: graph.idle for graph in spoken.graphs if graph.idle}
    assert list(idle) == ["flow_16"]
    encoder = next(call for call in spoken.calls if call.graph.startswith("encoder"))
    assert set(encoder.inputs) == {"ids", "mask"} and set(encoder.outputs) == {"x", "m_p", "logs_p"}


def test_the_seed_changes_the_sound_and_nothing_else_does(bundle):
    voice = VitsVoice(bundle, threads=1)
    first, again, other = (voice.speak({"phonemes": SAID, "seed": seed}).utterances[0].audio for seed in "001")
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"phonemes": "€"}, "input/unknown-phonemes"),
        ({"phonemes": SAID * 4}, "input/sentence-length"),
        ({"seed": "-1"}, "input/unusable"),
        ({"seed": "٣"}, "input/unusable"),
    ],
)
def test_what_cannot_be_said_is_an_error_with_a_code(bundle, asked, code):
    with pytest.raises(InputError) as caught:
        VitsVoice(bundle, threads=1, phonemes=SAID).speak(asked)
    assert caught.value.code == code


def test_packed_arrays_are_where_the_header_says(spoken):
    packed = pack(spoken, {"litertjs": "1"})
    assert packed[:4] == MAGIC
    start = 8 + struct.unpack("<I", packed[4:8])[0]
    assert start % 8 == 0
    header = json.loads(packed[8:start])
    assert header["litertjs"] == "1" and header["said"] == SAID
    for place, array in (
        (header["utterances"][0]["audio"], spoken.utterances[0].audio),
        (header["calls"][0]["inputs"]["ids"], spoken.calls[0].inputs["ids"]),
    ):
        assert place["offset"] % 8 == 0
        found = np.frombuffer(packed, place["dtype"], array.size, start + place["offset"])
        np.testing.assert_array_equal(found.reshape(place["shape"]), array)


@pytest.fixture
def as_anna(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "LiteFile", lambda path, *, threads, delegate: ToyFile())
    monkeypatch.setattr(recorder, "CompiledFile", lambda path, *, threads: ToyFile())
    toy_bundle(tmp_path / "bundle")
    with VoiceDatabase(tmp_path / "v.sqlite3", create=True) as voices:
        voices.add("anna", toy_voice(), consent="yes", sources={})
    return GptSovitsVoice(
        tmp_path / "bundle", user_id="anna", database=tmp_path / "v.sqlite3", threads=1, memory_bytes=1 << 30
    )


@pytest.mark.parametrize("phones", ["1 2 3 4 5 6 | 7 8 9 10 11 12", "1 2 3", ""])
def test_stages_of_a_gpt_sovits_voice_give_its_samples(as_anna, phones):
    spoken = as_anna.speak({"phones": phones})
    graphs = as_anna._bundle.graphs
    said = np.concatenate([utterance.audio for utterance in spoken.utterances])
    assert len(spoken.utterances) == 1 + phones.count("|")
    found = followed(spoken, lambda name, feeds: ToyFile().graph(graphs[name]).run(_wanted(graphs[name], feeds)))
    np.testing.assert_array_equal(found, said)


def _wanted(fact, feeds):
    return {name: feeds[name] for name, tensor in fact.tensors.items() if tensor.role == "input"}


@pytest.mark.parametrize("unread", [(), ("Привет",)])
def test_what_is_not_read_is_told_beside_the_sound(as_anna, monkeypatch, unread):
    written = [("Good morning.", Phones(ids=[1, 2, 3, 4, 5, 6], unread=unread))]
    monkeypatch.setattr("toolkit.serve.gpt_sovits_voice.written_sentences", lambda *asked: written)
    told = as_anna.speak({"text": "Good morning."}).on_python
    assert ("Note: not read, and left out: Привет" in told) is bool(unread)


def test_a_token_step_is_sent_with_the_cache_it_had(as_anna):
    spoken = as_anna.speak({"phones": "1 2 3 4 5 6"})
    step = next(call for call in spoken.calls if call.graph.startswith("t2s_step"))
    fact = as_anna._bundle.graphs[step.graph]
    assert set(step.inputs) == {name for name, tensor in fact.tensors.items() if tensor.role == "input"}
    again = ToyFile().graph(fact).run(step.inputs)
    np.testing.assert_allclose(again["logits"], step.outputs["logits"], atol=1e-6)


def test_a_call_too_large_for_a_page_is_left_out_with_its_reason(as_anna, monkeypatch):
    monkeypatch.setattr(recorder, "MOST_CALL_BYTES", 1000)
    spoken = as_anna.speak({"phones": "1 2 3 4 5 6"})
    idle = {graph.name: graph.idle for graph in spoken.graphs}
    assert "more than is sent to a page" in next(idle[name] for name in idle if name.startswith("t2s_step"))
