"""What a recipe may say. A recipe is one YAML file; every field is described here and nothing else is accepted."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

Precision = Literal["int8", "int8-weights", "int8-storage", "int16x8", "float16", "float32"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Buckets(_Strict):
    """Static lengths a voice is converted for; longer input uses the next bucket, then overlapping chunks."""

    phonemes: tuple[PositiveInt, ...] = Field((128,), description="text encoder lengths in phoneme ids")
    frames: tuple[PositiveInt, ...] = Field((256,), description="flow and decoder lengths in spectrogram frames")


class OnnxOptions(_Strict):
    """How the ONNX graph is re-stated; every form computes the same numbers."""

    transposed_conv: Literal["polyphase", "native"] = Field(
        "polyphase", description="polyphase: one convolution and a free reshape; native: TRANSPOSE_CONV"
    )
    check_passes: bool = Field(True, description="compare the graph before and after every rewrite on real inputs")


class ParityLimits(_Strict):
    """Smallest signal-to-noise ratio in dB each hop must keep against torch."""

    onnx_db: float = Field(100.0, description="exported and rewritten ONNX")
    keras_db: float = Field(100.0, description="Keras as onnx2tf gives it")
    relayered_db: float = Field(100.0, description="trainable Keras model")
    tflite_db: float = Field(100.0, description="float32 TFLite")
    agreeing_error: PositiveFloat = Field(
        1e-6, description="largest absolute difference, relative to the tensor's peak, that passes at any ratio"
    )


class PrecisionRule(_Strict):
    """One per-op override, written against torch names."""

    match: str = Field(description="glob over torch layer names, e.g. 'dec.conv_pre' or 'flow.*'")
    use: Precision
    because: str = Field(min_length=8, description="the reason, printed in the report")


class PrecisionPolicy(_Strict):
    """Which precision each operator is asked to have; the last rule that matches wins."""

    default: Precision = "float32"
    rules: tuple[PrecisionRule, ...] = ()


class Sparsity(_Strict):
    """Magnitude pruning by TF-MOT before quantisation."""

    target_ratio: float = Field(0.5, ge=0.0, lt=1.0, description="share of weights made zero (2:4 implies 0.5)")
    pattern: Literal["unstructured", "2:4"] = "unstructured"
    steps: PositiveInt = 200
    match: str = Field("*", description="glob over torch layer names that are pruned")


class PrincipalSplit(_Strict):
    """Convolutions whose input keeps its principal directions in float; 8 bits round what is left."""

    match: str = Field(description="glob over torch layer names, e.g. 'dec.resblocks.8.*'")
    rank: PositiveInt = Field(
        description="directions kept in float, at most half of the channels; each costs its share of the multiply-adds"
    )
    range_ratio: float = Field(
        1.0,
        gt=0.0,
        le=1.0,
        description="ranges of what is left over those that lose least squared error: below 1 less hiss, more clipping",
    )


class LevelSplit(_Strict):
    """Convolutions whose input is rounded in two parts, so that pauses are not rounded in the steps of the peaks."""

    match: str = Field(description="glob over torch layer names, e.g. 'dec.resblocks.8.*'")
    begin: float = Field(gt=0.0, lt=1.0, description="where loud begins, over the largest magnitude calibration saw")


class Finetune(_Strict):
    """Quantisation-aware fine-tuning against the float model's own outputs."""

    steps: int = Field(0, ge=0, description="0 leaves the calibrated weights as they are")
    learning_rate: PositiveFloat = 2e-5
    batch_size: PositiveInt = 2
    segment_frames: PositiveInt = Field(64, description="length of a training segment in frames")
    loss: Literal["output-matching", "vocoder"] = Field(
        "output-matching", description="vocoder adds a multi-resolution STFT loss to the waveform loss"
    )
    checkpoint_every_steps: PositiveInt = 100


class Compression(_Strict):
    """What changes the numbers, per part."""

    equalise: bool = Field(True, description="exact cross-layer equalisation before int8 ranges are chosen")
    principal: tuple[PrincipalSplit, ...] = Field((), description="exact rewrite; the last that matches wins")
    channel_gains: bool = Field(
        False, description="a float gain per channel wherever 8 bits meet float, so that each channel uses its 8 bits"
    )
    levels: tuple[LevelSplit, ...] = Field((), description="exact rewrite; the last that matches wins")
    sparsity: Sparsity | None = None
    finetune: Finetune = Finetune()

    @model_validator(mode="after")
    def _gains_are_chosen(self) -> Self:
        if self.channel_gains and not self.equalise:
            raise ValueError("channel_gains without equalise: gains are chosen by equalisation; switch both on")
        return self


class Part(_Strict):
    """Overrides for one part of a model."""

    precision: PrecisionPolicy = PrecisionPolicy()
    compress: Compression = Compression()


class GptSovits(_Strict):
    """Static lengths of a GPT-SoVITS bundle; 25 codes and 50 frames are a second."""

    prefill: tuple[tuple[PositiveInt, PositiveInt], ...] = Field(
        ((192, 128), (384, 256)), description="phones (the reference's and the sentence's) and prompt codes"
    )
    cache_rows: tuple[PositiveInt, ...] = Field(
        (256, 512, 1024), description="phones, prompt and said codes together; short caches are faster"
    )
    text: tuple[tuple[PositiveInt, PositiveInt], ...] = Field(
        ((100, 96), (250, 224)), description="codes and phones of a sentence"
    )
    flow: tuple[PositiveInt, ...] = Field((100, 250), description="codes of a sentence")
    nar_phones: tuple[PositiveInt, ...] = Field((96, 224), description="convolutional student: phones of a sentence")
    nar_frames: tuple[PositiveInt, ...] = Field((100, 250), description="convolutional student: codes of a sentence")
    vocoder_stream: tuple[PositiveInt, ...] = Field((96,), description="frames of a chunk, its context included")
    light_vocoder: bool = Field(
        False, description="also a lighter vocoder at the same lengths, which the engine falls back to"
    )
    ssl_samples: tuple[PositiveInt, ...] = Field(
        (169600,), description="with --ssl: samples at 16 kHz HuBERT hears, 9600 zeros behind the recording included"
    )
    reference_codes: tuple[PositiveInt, ...] = Field((264,), description="with --ssl: codes of a reference recording")
    style_frames: tuple[PositiveInt, ...] = Field((500,), description="with --ssl: spectrogram frames of 20 ms")
    speaker_frames: tuple[PositiveInt, ...] = Field((998,), description="with --sv: frames of 10 ms")
    bert_tokens: tuple[PositiveInt, ...] = Field(
        (64, 256), description="with --bert: characters of a sentence and two marks"
    )
    text_features: bool = Field(True, description="whether prefills take BERT features; zeros where there is no BERT")


class Delegate(_Strict):
    """The accelerator the graph is shaped for; the others are shown beside it."""

    name: Literal["nnapi", "gpu", "xnnpack", "qnn"] = "nnapi"
    android: str = Field("12", description="Android version, API level (31) or NNAPI feature level (FL6)")
    runtime: str = Field(
        "", description="oldest release of the TFLite runtime every file must load in, e.g. 2.16; empty: any"
    )
    device: str = Field("", description="device to estimate latency for, e.g. snapdragon-7-gen-3; empty: none")
    executed_gmac_max: PositiveFloat = Field(
        15.0,
        description="gpu: graphs with more billions of multiply-adds are only placed on the executed accelerator; "
        "computing them takes a software GPU about a minute for each 1.2 billion",
    )


class Bench(_Strict):
    """How latency is measured on the host CPU."""

    threads: tuple[PositiveInt, ...] = (1, 2)
    runs: PositiveInt = 20
    warmup: int = Field(3, ge=0)
    min_seconds: float = Field(1.0, ge=0.0)


class Quality(_Strict):
    """How much of the held-out text is judged."""

    utterances: int = Field(12, ge=0, description="0 skips the judgement, and the report says so")
    seed: int = 1234
    noise_scale: float = Field(0.667, ge=0.0)
    noise_w: float = Field(0.8, ge=0.0)
    length_scale: PositiveFloat = 1.0


class Gates(_Strict):
    """Limits the result is held to; a gate that does not hold makes the exit code 1. None leaves a gate out."""

    mos_drop_mean_max: float | None = None
    mos_drop_worst_max: float | None = None
    speaker_cosine_min: float | None = None
    whole_mos_drop_mean_max: float | None = Field(
        None, description="voices: all shipped parts together, below the float voice (a student's: its teacher)"
    )
    whole_speaker_cosine_min: float | None = Field(None, description="likewise")
    float_macs_ratio_max: float | None = None
    decoder_bytes_ratio_max: float | None = None
    latency_ratio_max: float | None = None
    shuffle_ops_ratio_max: float | None = Field(None, description="RESHAPE + TRANSPOSE + STRIDED_SLICE, share of ops")
    total_bytes_max: int | None = None
    compressed_bytes_max: int | None = Field(None, description="the bundle, each file gzip-compressed")
    estimated_latency_ms_max: float | None = Field(
        None, description="one sentence (or run) on delegate.device, estimated, never measured"
    )
    decoder_partitions_max: int | None = None
    output_snr_db_min: float | None = Field(None, description="any model: converted against torch")


class Recipe(_Strict):
    """Everything that decides the bytes of a conversion."""

    version: Literal[1] = Field(1, alias="schema")
    name: str
    description: str = ""
    seed: int = 0
    buckets: Buckets = Buckets()
    onnx: OnnxOptions = OnnxOptions()
    parity: ParityLimits = ParityLimits()
    parts: dict[str, Part] = Field(default_factory=dict, description="by part name; '*' is the default for the others")
    gpt_sovits: GptSovits | None = Field(None, description="only for GPT-SoVITS checkpoints")
    delegate: Delegate = Delegate()
    bench: Bench = Bench()
    quality: Quality = Quality()
    gates: Gates = Gates()

    def part(self, name: str) -> Part:
        """The settings of part ``name``: its own, or those of ``*``, or the defaults."""
        return self.parts.get(name) or self.parts.get("*") or Part()
