"""A made-up result with every section filled, for looking at the page and testing it. No number in it was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from toolkit.bench.plan import Plan
from toolkit.bench.stats import paired_ratio, summarise
from toolkit.results import (
    Artifact,
    Clip,
    Environment,
    Host,
    Latency,
    LatencyComparison,
    Memory,
    Metric,
    MetricValue,
    OpPlacement,
    OpRun,
    OpTime,
    Parity,
    PartSize,
    Placement,
    Point,
    PrecisionOp,
    PrecisionOverride,
    Quality,
    Recommendation,
    Run,
    RunResult,
    Size,
    Stage,
    TensorError,
    Tried,
    Utterance,
    Validity,
    Warn,
    judge,
)

WHERE = "host CPU: Made-up Processor 9000 @ 2.50GHz"
COMMIT = "f67457790c9c"
SENTENCES = (
    "The lighthouse keeper wrote the weather down every evening.",
    "Her train left at seven, an hour before the storm.",
    "Please put the blue folder back on the second shelf.",
    "Nobody expected the river to freeze in March.",
    "He folded the map, twice, and handed it back.",
    "Eleven children were waiting at the bus stop.",
    "The bakery on the corner opens before sunrise.",
    "We measured the distance again, just to be certain.",
    "A quiet engine makes for a better conversation.",
    "Turn left after the bridge, then look for the clock.",
)


def _latency(part, variant, threads, centre, seed, audio=2.972):
    rng = np.random.default_rng(seed)
    samples = centre * (1 + 0.015 * np.abs(rng.standard_normal(60)))
    samples[::17] *= 1.12
    stats = summarise(samples)
    return Latency(
        part=part,
        variant=variant,
        threads=threads,
        where=WHERE,
        init_ms=centre * 0.4,
        first_ms=centre * 1.9,
        samples_ms=tuple(round(float(s), 3) for s in samples),
        stats=stats,
        audio_seconds=audio,
        real_time_factor=stats.p50_ms / 1000 / audio,
        valid=not Plan().objections(stats),
        reasons=Plan().objections(stats),
    )


def _decoder_ops(delegate, refuse):
    kinds = (
        ["CONV_2D"]
        + (["LEAKY_RELU", "TRANSPOSE_CONV"] + ["LEAKY_RELU", "CONV_2D", "ADD"] * 6 + ["MUL"]) * 3
        + ["LEAKY_RELU", "CONV_2D", "TANH"]
    )
    ops, number, inside = [], 0, False
    for i, kind in enumerate(kinds):
        accepted = kind not in refuse
        if accepted and not inside and ops:
            number += 1
        inside = accepted
        ops.append(
            OpPlacement(
                index=i,
                op=kind,
                name=f"dec.resblocks.{i // 8}.convs.{i % 3}/{kind.title()}",
                accepted=accepted,
                partition=number if accepted else None,
                reason="" if accepted else "op version 4, the delegate knows up to 3",
                source="" if accepted else f"tflite/delegates/gpu/common/model_builder.cc:2691@{COMMIT}",
                hint="" if accepted else "use VALID padding and a SLICE, or a polyphase convolution",
                macs=40_000_000 if "CONV" in kind else 0,
            )
        )
    runs = len({o.partition for o in ops if o.partition is not None})
    taken = sum(o.partition is not None for o in ops)
    macs = sum(o.macs for o in ops)
    return Placement(
        delegate=delegate,
        part="decoder@256",
        level="Feature level 5, Android 12 (API 31)" if delegate == "nnapi" else "",
        method="static: rules read from LiteRT's source",
        ops=tuple(ops),
        partitions=runs,
        delegated_ops=taken,
        total_ops=len(ops),
        delegated_macs_ratio=sum(o.macs for o in ops if o.partition is not None) / macs,
        transitions=2 * (runs - 1),
        transition_bytes=1_048_576 * (runs - 1),
        notes=("NNAPI is deprecated since Android 15 (still present).",) if delegate == "nnapi" else (),
        wrong_results=(),
    )


def _quality():
    rng = np.random.default_rng(5)
    utterances = []
    for i, text in enumerate(SENTENCES):
        reference = 4.24 + 0.1 * rng.standard_normal()
        utterances.append(
            Utterance(
                id=f"eval-{i:02d}",
                text=text,
                seconds=2.2 + 0.2 * i,
                metrics={
                    "distillmos": MetricValue(value=reference - abs(0.06 * rng.standard_normal()), reference=reference),
                    "resemblyzer_cosine": MetricValue(value=0.9945 + 0.002 * rng.random()),
                    "voicefilter_cosine": MetricValue(value=0.97 + 0.01 * (i % 3)),
                    "snr_db": MetricValue(value=17 + 2 * rng.random()),
                    "mcd_db": MetricValue(value=1.2 + 0.3 * rng.random()),
                    "log_mel_l1": MetricValue(value=0.11 + 0.03 * rng.random()),
                    "dnsmos": MetricValue(value=3.21 - 0.02 * i, reference=3.24),
                    "f0_rmse_cents": MetricValue(value=4.1 + i),
                    "voicing_error": MetricValue(value=0.011 + 0.003 * i),
                    "word_error_rate": MetricValue(value=0.111, reference=0.111 * (i % 2)),
                },
            )
        )

    def over(metric, title, unit, higher, text):
        values = [u.metrics[metric] for u in utterances]
        numbers = [v.value - (v.reference or 0) for v in values]
        worst = min(range(10), key=lambda i: numbers[i] if higher else -numbers[i])
        return Metric(
            metric=metric,
            title=title,
            unit=unit,
            higher_is_better=higher,
            mean=float(np.mean(numbers)),
            worst=numbers[worst],
            worst_utterance=utterances[worst].id,
            explanation=text,
        )

    return Quality(
        reference="float voice in torch",
        candidate="bundle/decoder.tflite",
        held_out=True,
        utterances=tuple(utterances),
        metrics=(
            over(
                "distillmos",
                "DistillMOS against the float voice",
                "points",
                True,
                "1 to 5; a listener's opinion, predicted.",
            ),
            over(
                "resemblyzer_cosine",
                "Speaker similarity",
                "cosine",
                True,
                "Cosine of speaker embeddings; 1 is the same voice.",
            ),
            over(
                "voicefilter_cosine",
                "Speaker similarity, second judge",
                "cosine",
                True,
                "Cosine of another encoder's d-vectors.",
            ),
            over("snr_db", "Signal to noise", "dB", True, "Waveform error; depends on phase, which ears hardly hear."),
            over("mcd_db", "Mel-cepstral distance", "dB", False, "Distance of spectral envelopes."),
            over("log_mel_l1", "Log-mel distance", "nepers", False, "Mean absolute difference of log-mel spectra."),
            over("dnsmos", "Second opinion (DNSMOS)", "points", True, "Another predicted opinion."),
            over("f0_rmse_cents", "Pitch error", "cents", False, "RMSE of F0 where both are voiced."),
            over("voicing_error", "Voicing error", "of frames", False, "Frames voiced in one and not in the other."),
            over("word_error_rate", "Word error rate", "of words", False, "What a recogniser misses."),
        ),
    )


def _precision():
    rows = []
    for i in range(46):
        head = i in (0, 45)
        rows.append(
            PrecisionOp(
                part="decoder@256",
                op=f"dec.resblocks.{i}/Conv",
                kind="CONV_2D",
                asked="float32" if head else "int8",
                realised="float32" if head else "int8",
                because="first and last layer carry the signal's full range" if head else "",
                macs=5_810_000_000 // 46,
                bytes=36_000 if not head else 90_000,
            )
        )
    rows += [
        PrecisionOp(
            part="decoder@256",
            op=f"dec.act.{i}/LeakyRelu",
            kind="LEAKY_RELU",
            asked="int8",
            realised="int8" if i else "float32",
        )
        for i in range(20)
    ]
    rows += [
        PrecisionOp(
            part="flow@256",
            op=f"flow.flows.{i}/Conv",
            kind="CONV_2D",
            asked="float16",
            realised="float16",
            because="flow layers stay float16",
            macs=2_000_000,
        )
        for i in range(40)
    ]
    rows += [
        PrecisionOp(
            part="encoder@128",
            op=f"enc_p.encoder.{i}/MatMul",
            kind="FULLY_CONNECTED",
            asked="float32",
            realised="float32",
            macs=3_000_000,
        )
        for i in range(24)
    ]
    return tuple(rows)


def synthetic(*, failing: bool = False) -> RunResult:
    """The result; with ``failing`` one gate does not hold and the measurement is invalid."""
    bases = {"encoder@128": (9.1, 9.3), "flow@256": (21.4, 20.8), "decoder@256": (412.0, 346.0)}
    latency, comparisons = [], []
    for n, (part, (base, result)) in enumerate(bases.items()):
        for threads in (1, 2):
            pair = [
                _latency(part, v, threads, c / (1 if threads == 1 else 1.7), 10 * n + threads + k)
                for k, (v, c) in enumerate((("float32", base), ("result", result)))
            ]
            latency += pair
            ratio, low, high = paired_ratio(pair[0].samples_ms, pair[1].samples_ms)
            comparisons.append(
                LatencyComparison(
                    part=part,
                    baseline="float32",
                    candidate="result",
                    threads=threads,
                    where=WHERE,
                    ratio=ratio,
                    ci_low=low,
                    ci_high=high,
                    pairs=60,
                )
            )
    quality = _quality()
    mos = quality.metrics[0]
    parity = []
    for part, tensor, floor in (
        ("encoder@128", "m_p", 117.0),
        ("flow@256", "z", 121.0),
        ("decoder@256", "audio", 112.0),
    ):
        for k, (a, b) in enumerate(
            (
                ("torch", "onnx"),
                ("onnx", "rewritten onnx"),
                ("rewritten onnx", "keras"),
                ("keras", "trainable keras"),
                ("trainable keras", "tflite float32"),
            )
        ):
            parity.append(
                Parity(
                    part=part,
                    source=a,
                    to=b,
                    tensor=tensor,
                    max_abs=1e-6 * (k + 1),
                    snr_db=None if k == 3 else floor + 10 - 2 * k,
                    cosine=1.0,
                    limit_snr_db=100.0,
                )
            )
    parity.append(
        Parity(
            part="decoder@256",
            source="tflite float32",
            to="tflite result",
            tensor="audio",
            max_abs=0.11,
            snr_db=18.3,
            cosine=0.993,
            inputs="real",
        )
    )
    parity.append(
        Parity(
            part="flow@256",
            source="tflite float32",
            to="tflite result",
            tensor="z",
            max_abs=0.004,
            snr_db=71.0,
            cosine=1.0,
            inputs="real",
        )
    )
    rng = np.random.default_rng(3)
    errors = tuple(
        TensorError(
            part="decoder@256",
            index=i,
            name=f"dec.resblocks.{i // 8}.convs.{i % 8}/Conv",
            snr_db=float(38 - 0.25 * i + 3 * rng.standard_normal()),
            own_snr_db=float(38 + 4 * rng.standard_normal()) if i < 44 else 75.0,
            precision="int8" if i < 44 else "float16",
            inputs="2 held-out sentences",
        )
        for i in range(66)
    )
    errors += tuple(
        TensorError(
            part="flow@256", index=i, name=f"flow.flows.{i}/Conv", snr_db=72.0, own_snr_db=78.0, precision="float16"
        )
        for i in range(8)
    )
    gates = (
        judge(
            "mos_drop_mean",
            "DistillMOS below the float voice, mean",
            -mos.mean,
            "points",
            0.10,
            "<=",
            "Mean over ten held-out sentences.",
        ),
        judge(
            "mos_drop_worst",
            "DistillMOS below the float voice, worst sentence",
            -mos.worst,
            "points",
            0.25,
            "<=",
            "The worst of ten held-out sentences.",
        ),
        judge(
            "speaker_cosine",
            "Speaker similarity to the float voice",
            0.9951,
            "cosine",
            0.993 if not failing else 0.998,
            ">=",
            "Cosine of resemblyzer d-vectors.",
        ),
        judge(
            "latency_ratio",
            "Decoder latency over float32, 2 threads",
            0.842,
            "ratio",
            0.87,
            "<=",
            "Both run interleaved in one process on the host CPU.",
        ),
        judge("bytes_ratio", "Decoder bytes over float32", 0.281, "ratio", 0.30, "<=", "Size of the .tflite file."),
        judge(
            "total_bytes",
            "Whole bundle on disk",
            23_412_880,
            "bytes",
            24.0e6,
            "<=",
            "encoder, flow, decoder, duration predictor, voice.json",
        ),
        judge(
            "float_macs_ratio",
            "Decoder multiply-adds left in float",
            0.044,
            "ratio",
            0.10,
            "<=",
            "Read back from the flatbuffer.",
        ),
        judge(
            "shuffle_ratio",
            "RESHAPE + TRANSPOSE + STRIDED_SLICE share of operators",
            0.012,
            "ratio",
            0.02,
            "<=",
            "Operators that only move data.",
        ),
        judge(
            "partitions",
            "Decoder partitions on the delegate (nnapi)",
            1,
            "partitions",
            1,
            "<=",
            "Static placement; 1 with nothing on the CPU means whole.",
        ),
        judge("parity", "Float hops against torch, worst", 112.0, "dB", 100.0, ">=", "Worst hop of all parts."),
        judge(
            "output_snr",
            "Result against torch",
            None,
            "dB",
            15.0,
            ">=",
            "The shipped file on the probe inputs.",
            skipped_because="voices are judged by listening models instead",
        ),
    )
    sizes = []
    for part, f32, result in (
        ("encoder", {"float32": 25_300_000}, {"float16": 12_650_000, "int32": 4_000}),
        ("flow", {"float32": 28_400_000}, {"float16": 7_100_000}),
        ("decoder", {"float32": 6_580_000}, {"int8": 1_650_000, "int32": 22_000, "float32": 110_000}),
    ):
        for variant, table in (("float32", f32), ("result", result)):
            total = sum(table.values()) + 84_000
            sizes.append(
                PartSize(
                    part=part, variant=variant, by_dtype=table, total_bytes=total, compressed_bytes=int(total * 0.92)
                )
            )
    times = (
        ("CONV_2D", 43, 241.0),
        ("TRANSPOSE_CONV", 3, 41.2),
        ("LEAKY_RELU", 32, 28.5),
        ("ADD", 27, 19.0),
        ("MUL", 24, 9.8),
        ("QUANTIZE", 2, 3.1),
        ("DEQUANTIZE", 2, 2.2),
        ("TANH", 1, 1.2),
    )
    return RunResult(
        run=Run(
            id="20261122-synthetic",
            model="en_US-joe-medium (synthetic figures)",
            started="2026-11-22T21:00:00Z",
            command="toolkit convert --delegate nnapi --out runs/demo",
            recipe_sha256="4f" * 32,
            recipe_path="recipe.yaml",
            commit="0123456789abcdef",
            dirty=False,
            seeds={"data": 0, "training": 0},
            input_sha256={"en_US-joe-medium.onnx": "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06"},
            wall_seconds=612.0,
            peak_rss_bytes=3_600_000_000,
        ),
        environment=Environment(
            host=Host(
                cpu="Made-up Processor 9000 @ 2.50GHz", logical_cores=2, memory_bytes=16_000_000_000, os="Linux 6.1"
            ),
            delegate="nnapi",
            tools={
                "python": "3.11.2",
                "torch": "2.13.0",
                "onnx2tf": "1.29.24",
                "tensorflow": "2.19.0",
                "ai-edge-litert": "2.3.0",
            },
            lock_sha256="ab" * 32,
        ),
        artifacts=tuple(
            Artifact(stage="bundle", path=f"bundle/{n}", sha256=(h * 64)[:64], size_bytes=s, part=n.partition(".")[0])
            for n, h, s in (
                ("encoder.tflite", "1", 12_734_000),
                ("flow.tflite", "2", 7_184_000),
                ("decoder.tflite", "3", 1_866_000),
                ("duration.onnx", "4", 1_168_025),
            )
        ),
        stages=tuple(
            Stage(name=n, seconds=s, cached=c, facts=f)
            for n, s, c, f in (
                ("torch to ONNX", 14.2, False, {"parts": 3}),
                ("ONNX passes", 22.8, False, {"flips folded": 3}),
                ("Keras", 61.0, False, {"trainable weights": 214}),
                ("fine-tune", 402.0, False, {"steps": 300, "learning rate": 1e-5}),
                ("TFLite", 31.5, True, {}),
                ("benchmark", 80.3, False, {}),
            )
        ),
        parity=tuple(parity),
        tensor_errors=errors,
        precision=_precision(),
        overrides=(
            PrecisionOverride(
                pattern="flow.*",
                precision="float16",
                because="flow layers are sensitive; kept in float16",
                matched=tuple(f"flow.flows.{i}" for i in range(12)),
                cost_bytes=3_550_000,
                gain_db=22.0,
            ),
            PrecisionOverride(
                pattern="dec.conv_post",
                precision="float32",
                because="feeds tanh, whose int8 scale is fixed",
                matched=("dec.conv_post",),
                cost_bytes=672,
                cost_ms=1.2,
                gain_db=2.4,
            ),
        ),
        delegation=(
            _decoder_ops("nnapi", ()),
            _decoder_ops("gpu_classic", ("TRANSPOSE_CONV",)),
            _decoder_ops("gpu_litert", ("TANH",)),
            _decoder_ops("xnnpack", ()),
        ),
        latency=tuple(latency),
        comparisons=tuple(comparisons),
        op_times=tuple(
            OpTime(
                part="decoder@256",
                variant=v,
                threads=2,
                op_type=t,
                count=n,
                ms=ms * f,
                how="each operator cut out and run alone, median",
            )
            for v, f in (("float32", 1.22), ("result", 1.0))
            for t, n, ms in times
        ),
        op_runs=tuple(
            OpRun(
                part="decoder@256",
                variant=v,
                threads=2,
                index=op.index,
                op_type=op.op,
                name=op.name,
                ms=(2.0 if op.macs else 0.25) * f,
                how="each operator cut out and run alone, median",
            )
            for v, f in (("float32", 1.22), ("result", 1.0))
            for op in _decoder_ops("nnapi", ()).ops
        ),
        memory=tuple(
            Memory(
                part=p,
                variant=v,
                threads=2,
                peak_rss_bytes=b + 41_000_000,
                over_runtime_bytes=b,
                how="peak resident memory of a fresh process",
            )
            for p, v, b in (
                ("decoder@256", "float32", 96_000_000),
                ("decoder@256", "result", 52_000_000),
                ("flow@256", "float32", 44_000_000),
                ("flow@256", "result", 30_000_000),
            )
        ),
        size=Size(
            parts=tuple(sizes),
            baseline_bytes=62_600_000,
            total_bytes=23_412_880,
            limit_bytes=24_000_000,
            includes="encoder, flow, decoder, duration predictor, voice.json",
        ),
        quality=quality,
        clips=tuple(
            Clip(
                id=u.id,
                text=u.text,
                reference_path=f"audio/{u.id}.float.flac",
                candidate_path=f"audio/{u.id}.result.flac",
                seconds=u.seconds,
            )
            for u in quality.utterances[:3]
        ),
        tried=(
            Tried(
                part="decoder",
                name="post-training int8, everything",
                float_macs_ratio=0.0,
                size_bytes=1_731_448,
                bytes_ratio=0.26,
                snr_db=12.5,
                mos_drop_mean=1.35,
                mos_drop_worst=1.52,
                speaker_cosine=0.854,
                latency_ratio=0.85,
            ),
            Tried(
                part="decoder",
                name="equalised, calibrated ranges",
                float_macs_ratio=0.018,
                size_bytes=1_840_000,
                bytes_ratio=0.276,
                snr_db=18.9,
                mos_drop_mean=0.31,
                mos_drop_worst=0.55,
                speaker_cosine=0.989,
                latency_ratio=0.84,
            ),
            Tried(
                part="decoder",
                name="equalised, fine-tuned",
                float_macs_ratio=0.044,
                size_bytes=1_866_000,
                bytes_ratio=0.281,
                snr_db=18.3,
                mos_drop_mean=0.06,
                mos_drop_worst=0.14,
                speaker_cosine=0.9951,
                latency_ratio=0.842,
                train_steps=300,
                chosen=True,
            ),
        ),
        gates=gates,
        validity=Validity(valid=not failing, reasons=("second half 14% slower; at most 10%",) if failing else ()),
        warnings=(
            Warn(
                code="delegate/nnapi-deprecated",
                message="NNAPI is deprecated since Android 15; GPU and XNNPACK placements stand beside it.",
                section="delegation",
            ),
        ),
        recommendations=(
            Recommendation(
                title="Make the transposed convolutions polyphase for the classic GPU delegate",
                because="3 operators split the decoder into 4 pieces there.",
                section="delegation",
                expected_gain="1 partition instead of 4",
            ),
            Recommendation(
                title="Store the encoder's embeddings in int8",
                because="They are a third of the bundle.",
                section="size",
                expected_gain="about 6 MB",
            ),
        ),
        points=(
            Point(
                label="this run",
                latency_ms=203,
                quality=-0.06,
                quality_unit="DistillMOS points",
                size_bytes=23_412_880,
                current=True,
            ),
            Point(
                label="float32", latency_ms=242, quality=0.0, quality_unit="DistillMOS points", size_bytes=62_600_000
            ),
            Point(
                label="post-training int8",
                latency_ms=206,
                quality=-1.35,
                quality_unit="DistillMOS points",
                size_bytes=22_900_000,
            ),
        ),
        not_measured={"history": "no earlier run of this model was given (--baseline)"},
    )


def write_clips(result: RunResult, directory: Path) -> None:
    """Speech-like tones for the players and spectrograms of the synthetic result."""
    import soundfile

    rate = 22_050
    for n, clip in enumerate(result.clips):
        t = np.arange(int(rate * 1.6)) / rate
        pitch = 110 + 20 * np.sin(2 * np.pi * 1.3 * t + n)
        phase = 2 * np.pi * np.cumsum(pitch) / rate
        voice = sum(
            np.sin(k * phase) * np.exp(-(((k * pitch - (500 + 300 * np.sin(4 * t + n))) / 700) ** 2))
            for k in range(1, 28)
        )
        wave = (0.25 * voice * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * t + n) ** 2)).astype(np.float32)
        noise = 0.006 * np.random.default_rng(n).standard_normal(len(t)).astype(np.float32)
        for path, samples in ((clip.reference_path, wave), (clip.candidate_path, wave + noise)):
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(directory / path, np.clip(samples, -1, 1), rate)
