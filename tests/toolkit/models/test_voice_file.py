"""The project's own voice file: it says the same, and what is wrong with one is said in one error."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from converters.errors import InputError
from toolkit.models.safetensors_file import read_safetensors, write_safetensors
from toolkit.models.seeded import seeded_voice
from toolkit.models.vits import parts
from toolkit.models.vits.config import DurationsConfig
from toolkit.models.vits.probe import probe_ids
from toolkit.models.voice import Buckets, Teacher, TorchDurations, Voice
from toolkit.models.voice_file import METADATA_KEY, ONNX_TENSOR, read_voice, write_voice

BUCKETS = Buckets(phonemes=(128,), frames=(512,))


def student() -> Voice:
    """The seeded voice with a deterministic duration predictor, as if it had a teacher."""
    voice = seeded_voice()
    config = replace(voice.config, durations=DurationsConfig(channels=32, hidden=16, layers=2))
    torch.manual_seed(0)
    modules = {**voice.modules, "durations": parts.build(config)["durations"]}
    return replace(
        voice,
        config=config,
        modules=modules,
        durations=TorchDurations(module=modules["durations"]),
        teacher=Teacher(name="someone", sources={"someone.onnx": "0" * 64}, float32_bytes=1000),
    )


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_voice(tmp_path_factory.mktemp("voice") / "student.safetensors", student())


MADE = [seeded_voice, student, lambda: pruned(), lambda: with_fewer_gates(), lambda: with_fewer_channels()]


@pytest.mark.parametrize("make", MADE)
def test_a_voice_says_the_same_after_its_file(make: Callable[[], Voice], tmp_path: Path) -> None:
    voice = make()
    path = write_voice(tmp_path / "voice.safetensors", voice)
    found, ids = read_voice(path), probe_ids(voice)[1]
    said = [each.synthesise(each.torch_runners(BUCKETS), ids, seed=3) for each in (voice, found)]
    assert np.array_equal(*said)
    assert (found.config, found.teacher, found.part_names) == (voice.config, voice.teacher, voice.part_names)
    before = path.read_bytes()
    assert write_voice(tmp_path / "again.safetensors", found).read_bytes() == before
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def pruned() -> Voice:
    """The seeded voice with other channels in each layer, and one of its two heads."""
    voice = seeded_voice()
    sizes = replace(voice.config.encoder, filter_channels=(24, 40), heads=1, attention=16)
    config = replace(voice.config, encoder=sizes)
    torch.manual_seed(0)
    return replace(voice, config=config, modules={**voice.modules, "encoder": parts.build(config)["encoder"]})


def with_fewer_gates() -> Voice:
    """The seeded voice with other gates in each layer of its flow."""
    voice = seeded_voice()
    config = replace(voice.config, flow=replace(voice.config.flow, gates=((8, 32), (24, 1))))
    torch.manual_seed(0)
    return replace(voice, config=config, modules={**voice.modules, "flow": parts.build(config)["flow"]})


def with_fewer_channels() -> Voice:
    """The seeded voice with other channels in each stage of its decoder, and inside each residual step."""
    voice = seeded_voice(resblock="1")
    inners = tuple((3 + block, 2) for block in range(9))
    decoder = replace(voice.config.generator, initial=24, widths=(10, 9, 3), inners=inners)
    config = replace(voice.config, generator=decoder)
    torch.manual_seed(0)
    return replace(voice, config=config, modules={**voice.modules, "decoder": parts.build(config)["decoder"]})


def test_a_decoder_without_fewer_channels_does_not_name_them(file: Path, tmp_path: Path) -> None:
    """Files of whole decoders are what they were; twin: one some were taken from does not read without them."""
    header = json.loads(read_safetensors(file).metadata[METADATA_KEY])
    assert not {"widths", "inners"} & set(header["decoder"])
    stored = read_safetensors(write_voice(tmp_path / "channels.safetensors", with_fewer_channels()))
    for size in ("widths", "inners"):
        header = json.loads(stored.metadata[METADATA_KEY])
        assert header["decoder"].pop(size)
        path = write_safetensors(tmp_path / "x.safetensors", stored.tensors, {METADATA_KEY: json.dumps(header)})
        with pytest.raises(InputError, match="wants float32 of shape"):
            read_voice(path)


def test_a_flow_without_fewer_gates_does_not_name_them(file: Path, tmp_path: Path) -> None:
    """Files of whole flows are what they were; twin: a flow some were taken from does not read without them."""
    assert "gates" not in json.loads(read_safetensors(file).metadata[METADATA_KEY])["flow"]
    stored = read_safetensors(write_voice(tmp_path / "gates.safetensors", with_fewer_gates()))
    header = json.loads(stored.metadata[METADATA_KEY])
    assert header["flow"].pop("gates") == [[8, 32], [24, 1]]
    path = write_safetensors(tmp_path / "x.safetensors", stored.tensors, {METADATA_KEY: json.dumps(header)})
    with pytest.raises(InputError, match="wants float32 of shape"):
        read_voice(path)


def test_a_file_from_before_a_size_was_there_reads_and_stays_the_same(file: Path, tmp_path: Path) -> None:
    """Only what pruning left needs the size; twin: without it, such a file's tensors do not fit."""
    header = json.loads(read_safetensors(file).metadata[METADATA_KEY])
    assert "attention" not in header["encoder"] and read_voice(file).config.encoder.attention_width == 32
    stored = read_safetensors(write_voice(tmp_path / "pruned.safetensors", pruned()))
    header = json.loads(stored.metadata[METADATA_KEY])
    assert header["encoder"].pop("attention") == 16 and header["encoder"]["filter_channels"] == [24, 40]
    path = write_safetensors(tmp_path / "x.safetensors", stored.tensors, {METADATA_KEY: json.dumps(header)})
    with pytest.raises(InputError, match="wants float32 of shape"):
        read_voice(path)


def test_one_changed_weight_is_heard(file: Path, tmp_path: Path) -> None:
    stored = read_safetensors(file)
    tensors = dict(stored.tensors)
    tensors["dp.proj.bias"] = tensors["dp.proj.bias"] + 1.0
    changed = read_voice(write_safetensors(tmp_path / "changed.safetensors", tensors, stored.metadata))
    ids = probe_ids(changed)[1]
    one, other = (v.prior(v.torch_runners(BUCKETS)["encoder"], ids).durations for v in (read_voice(file), changed))
    assert not np.array_equal(one, other)


def test_the_noise_does_not_change_deterministic_durations(file: Path) -> None:
    voice = read_voice(file)
    ids, encoder = probe_ids(voice)[1], voice.torch_runners(BUCKETS)["encoder"]
    assert np.array_equal(voice.prior(encoder, ids, 1).durations, voice.prior(encoder, ids, 2).durations)


HEADERS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "unknown kind": (lambda h: h["decoder"].update(kind="wavernn"), "knows hifigan"),
    "kind is a list": (lambda h: h["flow"].update(kind=["coupling"]), "kind is"),
    "surplus size": (lambda h: h["flow"].update(depth=3), "flow.depth: not a size of coupling"),
    "missing size": (lambda h: h["flow"].pop("kernel"), "flow.kernel: missing"),
    "text for a number": (lambda h: h["encoder"].update(hidden="32"), "encoder.hidden"),
    "number beyond reason": (lambda h: h["encoder"].update(layers=10**6), "encoder.layers: 1000000 is not between"),
    "heads that do not divide": (lambda h: h["encoder"].update(heads=3), "do not fit together"),
    "no heads": (lambda h: h["encoder"].update(heads=0), "do not fit together"),
    "stride without its padding": (lambda h: h["decoder"].update(up_paddings=[0, 1, 1]), "do not fit together"),
    "a layer too few": (lambda h: h["encoder"].update(filter_channels=[64]), "do not fit together"),
    "channels that are no number": (
        lambda h: h["encoder"].update(filter_channels=[64, "x"]),
        "encoder.filter_channels",
    ),
    "an odd width of heads": (lambda h: h["encoder"].update(attention=31), "do not fit together"),
    "channels of a stage too few": (lambda h: h["decoder"].update(widths=[16, 8]), "do not fit together"),
    "channels of a stage too many": (lambda h: h["decoder"].update(widths=[16, 8, 4, 2]), "do not fit together"),
    "a stage without channels": (lambda h: h["decoder"].update(widths=[16, 8, 0]), "do not fit together"),
    "channels inside steps of one convolution": (
        lambda h: h["decoder"].update(inners=[[2, 2]] * 9),
        "do not fit together",
    ),
    "channels inside steps of too few blocks": (
        lambda h: h["decoder"].update(resblock="1", inners=[[2, 2]] * 8),
        "do not fit together",
    ),
    "a step without channels": (
        lambda h: h["decoder"].update(resblock="1", inners=[[2, 2]] * 8 + [[2, 0]]),
        "do not fit together",
    ),
    "a step too few": (
        lambda h: h["decoder"].update(resblock="1", inners=[[2, 2]] * 8 + [[2]]),
        "do not fit together",
    ),
    "gates of a coupling too few": (lambda h: h["flow"].update(gates=[[32, 32]]), "do not fit together"),
    "gates of a layer too few": (lambda h: h["flow"].update(gates=[[32, 32], [32]]), "do not fit together"),
    "a layer without gates": (lambda h: h["flow"].update(gates=[[32, 32], [32, 0]]), "do not fit together"),
    "no gates at all": (lambda h: h["flow"].update(gates=[]), "flow.gates: 0 entries"),
    "other width": (lambda h: h["flow"].update(hidden=16), "wants float32 of shape"),
    "widths of two parts": (lambda h: h["durations"].update(channels=31), "must be equal"),
    "ids outside the table": (lambda h: h["phoneme_id_map"].update(a=[999]), "phoneme_id_map: ids"),
    "no blank": (lambda h: h["phoneme_id_map"].pop("_"), "no ids for _"),
    "sample rate": (lambda h: h.update(sample_rate_hz=0), "sample_rate_hz"),
    "later format": (lambda h: h.update(format=2), "format"),
    "surplus field": (lambda h: h.update(run="rm"), "run"),
    "a path for a name": (lambda h: h.update(name="../../x"), "name"),
    "stochastic without its graph": (lambda h: h.update(durations={"kind": "stochastic"}), "belongs to no part"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_header_that_is_wrong_is_refused(case: str, file: Path, tmp_path: Path) -> None:
    change, message = HEADERS[case]
    stored = read_safetensors(file)
    header = json.loads(stored.metadata[METADATA_KEY])
    change(header)
    path = write_safetensors(tmp_path / "x.safetensors", stored.tensors, {METADATA_KEY: json.dumps(header)})
    with pytest.raises(InputError) as caught:
        read_voice(path)
    assert message in caught.value.message
    assert caught.value.code.startswith("input/voice-")


def test_weights_that_are_wrong_are_refused(file: Path, tmp_path: Path) -> None:
    stored = read_safetensors(file)

    def refused(tensors: dict[str, torch.Tensor]) -> str:
        with pytest.raises(InputError) as caught:
            read_voice(write_safetensors(tmp_path / "x.safetensors", tensors, stored.metadata))
        return caught.value.message

    broken = stored.tensors["dec.conv_pre.bias"].clone()
    broken[0] = float("nan")
    assert "not finite" in refused({**stored.tensors, "dec.conv_pre.bias": broken})
    assert "'more' belongs to no part" in refused({**stored.tensors, "more": torch.zeros(1)})
    assert "missing" in refused({name: value for name, value in stored.tensors.items() if name != "dp.proj.bias"})


def test_a_stochastic_graph_that_is_none_is_refused(tmp_path: Path) -> None:
    stored = read_safetensors(write_voice(tmp_path / "v.safetensors", seeded_voice()))
    for content, message in ((b"no graph", "no ONNX graph"), (b"", "not bytes")):
        tensors = {**stored.tensors, ONNX_TENSOR: torch.tensor(list(content), dtype=torch.uint8)}
        with pytest.raises(InputError, match=message):
            read_voice(write_safetensors(tmp_path / "x.safetensors", tensors, stored.metadata))


def test_files_that_are_no_voice_are_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_voice(tmp_path / "none.safetensors")
    assert caught.value.code == "input/voice-missing"
    with pytest.raises(InputError, match="does not describe a voice"):
        read_voice(write_safetensors(tmp_path / "w.safetensors", {"a": torch.zeros(2)}, {}))
    data = file.read_bytes()
    for length in (0, 7, 100, len(data) // 2, len(data) - 1):
        (tmp_path / "cut.safetensors").write_bytes(data[:length])
        with pytest.raises(InputError):
            read_voice(tmp_path / "cut.safetensors")
