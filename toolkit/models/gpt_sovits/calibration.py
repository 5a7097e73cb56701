"""Inputs of every graph as sentences give them: the model itself says them, and what passes by is kept.

English sentences of the project's own set are turned into phones once (``calibration_phones.json``, by
`toolkit.text`). The torch model says them after a prompt: the prompt of the voice, where there is one. Steps are taken
along the codes it made, with the cache those codes leave; codes and phones go through the text encoder, noise and flow
as they do in the engine.

There is no BERT here. English has no text features (zeros, as upstream), and zeros alone would give the projection of
Chinese features no range: every second sentence has features of a normal distribution instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources

import numpy as np
import torch

from toolkit.engine.buckets import filled, presence
from toolkit.engine.chunks import plan_chunks, window
from toolkit.engine.sampling import Sampler, SamplingSettings
from toolkit.models.gpt_sovits import semantic_graphs, sovits_parts
from toolkit.models.gpt_sovits.checkpoint import Checkpoint
from toolkit.models.gpt_sovits.phone_graph import PhoneGraph
from toolkit.models.gpt_sovits.semantic import SemanticModel
from toolkit.models.gpt_sovits.semantic_graphs import prefill_inputs, step_inputs, step_rows
from toolkit.models.gpt_sovits.semantic_loop import generate
from toolkit.models.gpt_sovits.sovits import Sovits, sovits_model
from toolkit.models.gpt_sovits.sovits_graphs import NOISE_SCALE, Style, overlap_frames, random_style
from toolkit.models.threads import threads_of

Inputs = dict[str, np.ndarray]

CALIBRATION, HELD_OUT = 12, 2
_STEP_CALIBRATION = 8  # the caches of a full-size step with 1024 rows are 100 MB
_HELD_OUT_POSITIONS = 8
_CODES_MAX = 100  # four seconds
_PROMPT_CODES = 60
_SENTENCES = (1, 2, 1, 3)  # said at once, by turns
_PLACES = (0.3, 0.9, 0.6, 1.0)  # how far into a sentence a step is taken, by turns


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prompt:
    """What the voice says first.

    Attributes:
        phones: ``[n] int32``.
        codes: ``[m] int32``.
        bert: ``[features, n]`` text features, or ``None``.
    """

    phones: np.ndarray
    codes: np.ndarray
    bert: np.ndarray | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Utterance:
    """One sentence the model said.

    Attributes:
        phones: ``[1, Tx] int32``: the prompt's and the sentence's.
        spoken: ``[n] int32``: the sentence's only.
        bert: ``[1, features, Tx]``.
        prompt: ``[Ty] int32`` codes of the prompt.
        codes: ``[m] int32`` codes the model made.
    """

    phones: np.ndarray = field(repr=False)
    spoken: np.ndarray = field(repr=False)
    bert: np.ndarray = field(repr=False)
    prompt: np.ndarray = field(repr=False)
    codes: np.ndarray = field(repr=False)

    @property
    def said(self) -> np.ndarray:
        """Prompt and codes."""
        return np.concatenate([self.prompt, self.codes])


def calibration_phones(symbols: int) -> list[np.ndarray]:
    """Phones of the sentences, ``[n] int32`` each; random ones for a model that does not know all of these symbols."""
    text = resources.files("toolkit.models.gpt_sovits").joinpath("calibration_phones.json").read_text(encoding="utf-8")
    found = [np.array(row["phones"], np.int32) for row in json.loads(text)]
    if max(int(row.max()) for row in found) < symbols:
        return found
    noise = np.random.default_rng(0)
    return [noise.integers(0, symbols, len(row)).astype(np.int32) for row in found]


class SpokenSentences:
    """Sentences said by a model, as inputs of its graphs. Nothing is said before inputs are asked for.

    Args:
        semantic: text to codes.
        checkpoint: codes to sound; ``None`` where only graphs of the first half are asked about.
        voice: its style; a random one of the right spread otherwise.
        prompt: what the voice says first; otherwise the model makes one of the first sentence.
        seed: of codes, noise and the random style.
    """

    def __init__(
        self,
        semantic: SemanticModel,
        checkpoint: Checkpoint | None,
        *,
        voice: Style | None = None,
        prompt: Prompt | None = None,
        seed: int = 0,
    ) -> None:
        self._semantic, self._checkpoint, self._seed = semantic, checkpoint, seed
        self._voice, self._prompt = voice, prompt

    @property
    def _sung(self) -> Checkpoint:
        if self._checkpoint is None:
            raise ValueError("sentences are sung, and there is no SoVITS checkpoint")
        return self._checkpoint

    def calibration(self, graph: PhoneGraph) -> tuple[Inputs, ...]:
        """Inputs to choose ranges by and to train on."""
        count = _STEP_CALIBRATION if graph.kind == semantic_graphs.STEP else CALIBRATION
        with threads_of(1):
            return tuple(
                self._inputs(graph, utterance, _PLACES[number % len(_PLACES)], number)
                for number, utterance in enumerate(self.utterances[:count])
            )

    def held_out(self, graph: PhoneGraph) -> Iterator[Inputs]:
        """Inputs of sentences no range and no weight has seen; several along each sentence for the transformer."""
        several = _HELD_OUT_POSITIONS if graph.kind in (semantic_graphs.PREFILL, semantic_graphs.STEP) else 1
        for number, utterance in enumerate(self.utterances[CALIBRATION:]):
            for place in np.linspace(0.3, 1.0, several):
                yield self._inputs(graph, utterance, float(place), number)

    @cached_property
    def utterances(self) -> tuple[Utterance, ...]:
        """Everything that is said, held-out sentences last."""
        # One code at a time is too little work for threads: on a busy machine they wait for each other (23 s, not 0.6).
        with threads_of(1):
            return self._said()

    def _said(self) -> tuple[Utterance, ...]:
        sentences = calibration_phones(self._semantic.config.symbols)
        prompt = self._prompt or self._made_prompt(sentences.pop(0))
        found = []
        for number in range(CALIBRATION + HELD_OUT):
            together = [sentences.pop(0) for _ in range(_SENTENCES[number % len(_SENTENCES)])]
            found.append(self._utterance(prompt, np.concatenate(together), number))
        return tuple(found)

    def _made_prompt(self, phones: np.ndarray) -> Prompt:
        said = generate(
            self._semantic, torch.from_numpy(phones[None]).long(), None, self._sampler(0), steps_max=_PROMPT_CODES
        )
        return Prompt(phones=phones, codes=said.codes.astype(np.int32))

    def _utterance(self, prompt: Prompt, spoken: np.ndarray, number: int) -> Utterance:
        phones = np.concatenate([prompt.phones, spoken])[None].astype(np.int32)
        bert = np.zeros((1, self._semantic.config.features, phones.shape[1]), np.float32)
        if number % 2:
            bert = np.random.default_rng([self._seed, number]).standard_normal(bert.shape, np.float32)
        if prompt.bert is not None:
            bert[0, :, : len(prompt.phones)] = prompt.bert
        made = generate(
            self._semantic,
            torch.from_numpy(phones).long(),
            torch.from_numpy(prompt.codes[None]).long(),
            self._sampler(number + 1),
            bert=torch.from_numpy(bert),
            steps_max=_CODES_MAX,
        )
        return Utterance(
            phones=phones, spoken=spoken, bert=bert, prompt=prompt.codes.astype(np.int32),
            codes=made.codes.astype(np.int32),
        )  # fmt: skip

    def _sampler(self, number: int) -> Sampler:
        return Sampler(SamplingSettings(), np.random.default_rng([self._seed, number]))

    def _inputs(self, graph: PhoneGraph, utterance: Utterance, place: float, number: int) -> Inputs:
        makers = {
            semantic_graphs.PREFILL: self._prefill,
            semantic_graphs.STEP: self._step,
            sovits_parts.TEXT_ENCODER: self._text,
            sovits_parts.FLOW: self._flow,
            sovits_parts.VOCODER: self._vocoder,
            sovits_parts.VOCODER_STREAM: self._vocoder,
            sovits_parts.VOCODER_LIGHT_STREAM: self._vocoder,
        }
        wanted = {tensor.name: tensor.shape for tensor in graph.spec.inputs}
        made = makers[graph.kind](graph, wanted, utterance, place, number)
        return {name: made[name] for name in wanted}

    def _prefill(self, graph: PhoneGraph, wanted: dict[str, tuple[int, ...]], utterance: Utterance,
                 place: float, number: int) -> Inputs:  # fmt: skip
        """The text and a stretch of what was said: a sentence's prompt may have any length."""
        phones, codes = utterance.phones[:, : wanted["phones"][1]], utterance.said[: wanted["prompts"][1]]
        codes = codes[: max(1, round(len(codes) * place))]
        return prefill_inputs(self._semantic, graph.spec, phones, codes[None], utterance.bert[:, :, : phones.shape[1]])

    def _step(self, graph: PhoneGraph, wanted: dict[str, tuple[int, ...]], utterance: Utterance,
              place: float, number: int) -> Inputs:  # fmt: skip
        rows = step_rows(graph.spec)
        phones = utterance.phones[:, : rows // 2]
        said = utterance.said[: rows - phones.shape[1] + 1]
        first = min(len(utterance.prompt), len(said) // 2)
        now = first + round((len(said) - 1 - first) * place)
        return step_inputs(
            self._semantic, graph.spec, phones, said[None, :now], utterance.bert[:, :, : phones.shape[1]],
            token=int(said[now]),
        )  # fmt: skip

    def _text(self, graph: PhoneGraph, wanted: dict[str, tuple[int, ...]], utterance: Utterance,
              place: float, number: int) -> Inputs:  # fmt: skip
        codes, phones = wanted["codes"][1], wanted["phones"][1]
        said, spoken = utterance.codes[:codes], utterance.spoken[:phones]
        return {
            "codes": filled(said[None], codes),
            "phones": filled(spoken[None], phones),
            "codes_mask": presence(2 * len(said), 2 * codes),
            "phones_mask": presence(len(spoken), phones),
            **self._styles,
        }

    def _flow(self, graph: PhoneGraph, wanted: dict[str, tuple[int, ...]], utterance: Utterance,
              place: float, number: int) -> Inputs:  # fmt: skip
        length = wanted["z_p"][2]
        prior = self._prior(utterance, number)[:, :, :length]
        return {"z_p": filled(prior, length), "mask": presence(prior.shape[2], length), **self._styles}

    def _vocoder(self, graph: PhoneGraph, wanted: dict[str, tuple[int, ...]], utterance: Utterance,
                 place: float, number: int) -> Inputs:  # fmt: skip
        """A chunk as the engine cuts it; a whole vocoder gets the sentence."""
        length, overlap = wanted["z"][2], overlap_frames(self._sovits.config)
        prior = self._prior(utterance, number)
        mask = torch.ones(1, 1, prior.shape[2])
        (latent,) = sovits_parts.run(self._sovits.flow, torch.from_numpy(prior), mask, self._style.ge)
        if graph.kind == sovits_parts.VOCODER or length <= 2 * overlap:
            z = latent[:, :, :length].numpy()
            return {"z": filled(z, length), "mask": presence(z.shape[2], length), **self._styles}
        chunks = plan_chunks(latent.shape[2], length, overlap)
        fed, inside = window(latent.numpy(), chunks[number % len(chunks)], length)
        return {"z": fed, "mask": inside, **self._styles}

    def _prior(self, utterance: Utterance, number: int) -> np.ndarray:
        """A prior sample of the whole sentence, ``[1, inter, 2m]``."""
        codes, phones = torch.from_numpy(utterance.codes[None]), torch.from_numpy(utterance.spoken[None])
        masks = torch.ones(1, 1, 2 * codes.shape[1]), torch.ones(1, 1, phones.shape[1])
        mean, deviation = sovits_parts.run(self._sovits.prior, codes, phones, *masks, self._style.ge_text)
        noise = np.random.default_rng([self._seed, number, 1]).standard_normal(mean.shape, np.float32)
        return (mean + torch.from_numpy(noise) * torch.exp(deviation) * NOISE_SCALE).numpy()

    @cached_property
    def _sovits(self) -> Sovits:
        return sovits_model(self._sung)

    @cached_property
    def _style(self) -> Style:
        return self._voice or random_style(self._sung, self._seed)

    @property
    def _styles(self) -> Inputs:
        """The styles a graph may take; for the text encoder of v2Pro it is not the others'."""
        return {"ge": self._style.ge.numpy(), "ge_text": self._style.ge_text.numpy()}
