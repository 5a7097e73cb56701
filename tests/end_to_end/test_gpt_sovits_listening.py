"""What a GPT-SoVITS run lets its reader hear: held-out sentences by torch and by the bundle, judged where it counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from converters.parity import compare
from tests.end_to_end.test_gpt_sovits import files  # noqa: F401 (a fixture)
from toolkit.cli.app import outcome
from toolkit.results import RunResult
from toolkit.results import load as load_results

PARTS = ("t2s_prefill", "t2s_step", "text_encoder", "flow", "vocoder_stream")
FLOAT = """schema: 1
name: gpt-sovits-float32
gpt_sovits: {prefill: [[64, 24]], cache_rows: [128], text: [[36, 48]], flow: [36], vocoder_stream: [40]}
bench: {threads: [1], runs: 2, warmup: 0, min_seconds: 0.0}
quality: {utterances: 2}
parts:
""" + "".join(f"  {part}: {{precision: {{default: float32}}}}\n" for part in PARTS)


def _converted(files: Path, out: Path, *more: str) -> RunResult:  # noqa: F811
    (files / "listening.yaml").write_text(FLOAT, encoding="utf-8")
    command = ["convert", str(files / "tiny.pth"), str(files / "tiny.ckpt"), "--recipe", str(files / "listening.yaml")]
    assert outcome([*command, "--out", str(out), "--quiet", *more]) == 0
    return load_results(out / "results.json")


def test_a_float_bundle_sounds_as_torch_does_and_is_judged_so(files, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr("toolkit.models.gpt_sovits.seeded.LABEL", "what random checkpoints do not say")
    result = _converted(files, tmp_path / "run", "--voice", str(files / "anna.npz"))
    assert len(result.clips) == 2
    for clip in result.clips:
        reference, candidate = (
            soundfile.read(tmp_path / "run" / path, dtype="float32")[0]
            for path in (clip.reference_path, clip.candidate_path)
        )
        assert len(reference) / 32000 == pytest.approx(clip.seconds) and np.abs(reference).max() > 0.01
        # Two renditions rounded to 16 bits; the twin, another sentence, is far off.
        assert compare({"a": reference}, {"a": candidate}).worst_snr_db > 40
        assert compare({"a": reference}, {"a": np.roll(candidate, 640)}).worst_snr_db < 20
    assert result.quality is not None
    snr = next(metric for metric in result.quality.metrics if metric.metric == "snr_db")
    assert snr.mean > 60
    assert "audio/" in (tmp_path / "run/index.html").read_text(encoding="utf-8")


def test_random_weights_are_heard_and_not_judged_and_no_voice_is_neither(files, tmp_path):  # noqa: F811
    heard = _converted(files, tmp_path / "random", "--voice", str(files / "anna.npz"))
    assert len(heard.clips) == 2 and heard.quality is None
    assert "random numbers" in heard.not_measured["quality"]
    silent = _converted(files, tmp_path / "many")
    assert not silent.clips and "--voice" in silent.not_measured["quality"]
