"""Checkpoints: every kind and version loads; everything else is one clear error, and nothing is ever run."""

import io
import pickle
import random
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from toolkit.errors import CheckpointError
from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
from toolkit.models.gpt_sovits.seeded import LABEL, small_config, write_gpt, write_sovits
from toolkit.models.gpt_sovits.semantic_config import SemanticConfig, semantic_shapes
from toolkit.models.gpt_sovits.sovits_config import sovits_shapes

VECTORS = Path(__file__).parent / "vectors"
GPT_SHAPES = semantic_shapes(
    SemanticConfig(width=8, heads=2, layers=1, inner=16, symbols=732, vocabulary=9, features=4)
)


def rewritten(path: Path, out: Path, **changes) -> Path:
    """The file with other contents of its archive's top dictionary, saved by torch."""
    sys.modules.pop("utils", None)
    found = read_checkpoint(path)
    torch.save({"weight": dict(found.weights), "config": dict(found.config), "info": "x"} | changes, out)
    return out


@pytest.mark.parametrize("version", ["v1", "v2", "v2Pro", "v2ProPlus"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_every_version_is_told_by_its_tensors(tmp_path, version, dtype):
    config = small_config(version)
    path = write_sovits(tmp_path / "a.pth", config, dtype=dtype, posterior_encoder=dtype is torch.float32)
    assert "utils" not in sys.modules
    assert (path.read_bytes()[:2] == b"PK") == (version in ("v1", "v2"))
    found = read_checkpoint(path)
    assert (found.kind, found.version, found.info) == ("sovits", version, LABEL)
    assert found.sovits == config
    assert found.has_posterior_encoder == (dtype is torch.float32)
    assert found.config["model"]["gin_channels"] == config.gin
    assert all(tensor.dtype == torch.float32 for tensor in found.weights.values())


def test_upstream_files_load():
    found = read_checkpoint(VECTORS / "sovits_v2_micro_e8_s200.pth", expected="sovits")
    assert (found.version, found.info, found.dtype) == ("v2", "8epoch_200iteration", "float16")
    assert (found.sovits.hidden, found.sovits.gin, found.sovits.mrte) == (16, 32, 32)
    assert found.config["data"]["mel_fmax"] is None
    gpt = read_checkpoint(VECTORS / "t2s_v2_tiny.ckpt", expected="gpt")
    assert gpt.version == "v2"
    assert not any(name.startswith("model.") for name in gpt.weights)


def test_a_full_size_file_is_what_upstream_writes():
    listed = Path(__file__).parent / "vectors" / "keys_sovits_v2_full.tsv"
    rows = [line.split("\t") for line in listed.read_text().splitlines() if not line.startswith("#")]
    upstream = {name: shape for name, shape, _ in rows}
    from toolkit.models.gpt_sovits.seeded import full_config

    ours = {name: str(shape) for name, shape in sovits_shapes(full_config("v2")).items()}
    statistics = [name for name in upstream if "_codebook." in name and not name.endswith(".embed")]
    assert ours == {name: shape for name, shape in upstream.items() if name not in statistics}


def test_training_files_load(tmp_path):
    weights = dict(read_checkpoint(VECTORS / "sovits_v2_micro_e8_s200.pth").weights)
    torch.save({"model": weights, "iteration": 7, "optimizer": None, "learning_rate": 0.1}, tmp_path / "G_1.pth")
    # No configuration in it: the usual strides and dilations.
    assert read_checkpoint(tmp_path / "G_1.pth").version == "v2"


def test_swapped_files_say_so(tmp_path):
    write_gpt(tmp_path / "a.ckpt", GPT_SHAPES, heads=2)
    with pytest.raises(CheckpointError, match="not a SoVITS") as caught:
        read_checkpoint(tmp_path / "a.ckpt", expected="sovits")
    assert caught.value.code == "checkpoint/swapped"


@pytest.mark.parametrize("change", [{"h.layers.0.norm1.bias": (9,)}, {"bert_proj.bias": (7,)}, {"head": 3}])
def test_gpt_files_that_do_not_fit_together_are_one_error(tmp_path, change):
    heads = change.pop("head", 2)
    path = write_gpt(tmp_path / "a.ckpt", GPT_SHAPES | change, heads=heads)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert caught.value.code == "checkpoint/wrong-shape"


@pytest.mark.parametrize("said", [1, 3, "two"])
def test_a_gpt_file_with_another_depth_than_it_says_is_one_error(tmp_path, said):
    """A whole last layer left out leaves tensors that fit together."""
    sizes = SemanticConfig(width=8, heads=2, layers=2, inner=16, symbols=732, vocabulary=9, features=4)
    source = write_gpt(tmp_path / "a.ckpt", semantic_shapes(sizes), heads=2)
    assert read_checkpoint(source).config["model"]["n_layer"] == 2
    config = torch.load(source, weights_only=True)["config"]
    config["model"]["n_layer"] = said
    with pytest.raises(CheckpointError, match=f"2 layers, its configuration says n_layer {said}") as caught:
        read_checkpoint(rewritten(source, tmp_path / "b.ckpt", config=config))
    assert caught.value.code == "checkpoint/wrong-shape" and caught.value.where == str(tmp_path / "b.ckpt")
    del config["model"]["n_layer"]  # without a word of it the tensors decide
    assert read_checkpoint(rewritten(source, tmp_path / "c.ckpt", config=config)).kind == "gpt"


@pytest.mark.parametrize("header", [b"02", b"03", b"04"])
def test_later_versions_are_refused_with_the_reason(tmp_path, header):
    data = write_sovits(tmp_path / "a.pth", small_config("v2")).read_bytes()
    (tmp_path / "b.pth").write_bytes(header + data[2:])
    with pytest.raises(CheckpointError, match="diffusion transformer") as caught:
        read_checkpoint(tmp_path / "b.pth")
    assert caught.value.code == "checkpoint/unsupported-version"
    # Their other half is v2's in form, and loads.
    assert read_checkpoint(write_gpt(tmp_path / "s1v3.ckpt", GPT_SHAPES, heads=2), "gpt").version == "v2"


def test_entries_that_share_bytes_are_refused(tmp_path):
    data = bytearray(write_sovits(tmp_path / "a.pth", small_config("v2")).read_bytes())
    start = data.rindex(b"PK\x01\x02")  # the last entry of the directory: make it as long as four gigabytes
    data[start + 20 : start + 28] = (0xFFFFFF00).to_bytes(4, "little") * 2
    (tmp_path / "b.pth").write_bytes(bytes(data))
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(tmp_path / "b.pth")
    assert caught.value.code == "checkpoint/damaged"


def _without(name):
    return lambda weights: {k: v for k, v in weights.items() if k != name}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_without("dec.ups.1.weight_v"), "checkpoint/wrong-shape"),
        (_without("enc_p.mrte.c_post.bias"), "checkpoint/wrong-shape"),
        (lambda w: w | {"flow.flows.2.post.weight": torch.zeros(9, 16, 1)}, "checkpoint/wrong-shape"),
        (lambda w: w | {"dec.conv_pre.bias": torch.full((32,), float("nan"))}, "checkpoint/not-finite"),
        (lambda w: w | {"dec.conv_pre.bias": torch.full((32,), float("inf"))}, "checkpoint/not-finite"),
        (lambda w: w | {"cfm.estimator.weight": torch.zeros(2)}, "checkpoint/unsupported-version"),
        (lambda w: {"classifier.weight": torch.zeros(3, 3)}, "checkpoint/foreign"),
        (lambda w: w | {"enc_p.extra": 3}, "checkpoint/damaged"),
        (lambda w: w | {"enc_q.huge": torch.zeros(1).expand(1 << 30)}, "checkpoint/damaged"),
        (lambda w: {}, "checkpoint/foreign"),
    ],
)
def test_wrong_weights_are_one_error(tmp_path, change, code):
    source = write_sovits(tmp_path / "a.pth", small_config("v2"))
    path = rewritten(source, tmp_path / "b.pth", weight=change(dict(read_checkpoint(source).weights)))
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert caught.value.code == code
    assert caught.value.where == str(path)


def test_foreign_files_are_one_error(tmp_path):
    for content in (b"", b"PK", b"hello, this is a text", b"06" + bytes(100), pickle.dumps({"weight": 1})):
        (tmp_path / "x.pth").write_bytes(content)
        with pytest.raises(CheckpointError):
            read_checkpoint(tmp_path / "x.pth")
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(tmp_path / "absent.pth")
    assert caught.value.code == "checkpoint/not-found"


def test_compressed_archives_are_refused_unread(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("archive/data.pkl", bytes(64 << 20))
    with pytest.raises(CheckpointError, match="compressed"):
        read_checkpoint(tmp_path / "bomb.pth")


class _Hostile:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def _archive(path: Path, pickled: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("archive/data.pkl", pickled)
    return path


def test_hostile_pickles_run_nothing(tmp_path):
    import os
    import subprocess

    flag = tmp_path / "ran"
    calls = [
        (os.system, f"touch {flag}"), (exec, f"open({str(flag)!r}, 'w')"), (open, str(flag), "w"),
        (subprocess.check_call, ["touch", str(flag)]), (getattr, flag, "touch"), (eval, f"open({str(flag)!r}, 'w')"),
        (torch.load, str(flag)),
    ]  # fmt: skip
    for protocol in (0, 2, 4):
        for call in calls:
            hostile = pickle.dumps({"weight": _Hostile(*call)}, protocol=protocol)
            with pytest.raises(CheckpointError):
                read_checkpoint(_archive(tmp_path / "h.pth", hostile))
            assert not flag.exists()
    pickle.loads(pickle.dumps(_Hostile(open, str(flag), "w")))  # the twin: the same pickle does run elsewhere
    assert flag.exists()


def test_descriptions_without_end_are_refused(tmp_path):
    nested: object = {}
    for _ in range(60):
        nested = {"a": nested, "b": nested}
    source = write_sovits(tmp_path / "a.pth", small_config("v2"))
    for config in (nested, {"a": {"b": list(range(200_000))}}):
        with pytest.raises(CheckpointError, match="without end"):
            read_checkpoint(rewritten(source, tmp_path / "b.pth", config=config))


def test_a_thousand_mutations_load_or_are_one_error(tmp_path):
    sources = [
        write_sovits(tmp_path / "a.pth", small_config("v2")).read_bytes(),
        write_sovits(tmp_path / "b.pth", small_config("v2Pro")).read_bytes(),
        write_gpt(tmp_path / "c.ckpt", GPT_SHAPES, heads=2).read_bytes(),
    ]
    chance = random.Random(5)
    outcomes = {"loaded": 0, "refused": 0}
    target = tmp_path / "m.pth"
    before = set(tmp_path.iterdir()) | {target}
    for number in range(1000):
        data = bytearray(sources[number % 3])
        if number % 4 == 0:
            del data[chance.randrange(len(data)) :]
        elif number % 4 == 1:  # anywhere: mostly in tensors, where the archive's checksum sees it
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        else:  # in the description, its checksum made to fit
            with zipfile.ZipFile(io.BytesIO(b"PK" + bytes(data[2:]))) as old:
                entries = {name: old.read(name) for name in old.namelist()}
            name = next(name for name in entries if name.endswith("data.pkl"))
            description = bytearray(entries[name])
            for _ in range(1 + chance.randrange(3)):
                description[chance.randrange(len(description))] = chance.randrange(256)
            entries[name] = bytes(description)
            held = io.BytesIO()
            with zipfile.ZipFile(held, "w") as new:
                for entry, content in entries.items():
                    new.writestr(entry, content)
            data = bytearray(held.getvalue())
        target.write_bytes(bytes(data))
        try:
            read_checkpoint(target)
            outcomes["loaded"] += 1
        except CheckpointError as error:
            assert error.code.startswith("checkpoint/")
            outcomes["refused"] += 1
    assert outcomes["refused"] > 500
    assert set(tmp_path.iterdir()) == before
