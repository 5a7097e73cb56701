"""Sentences to train on: written for this project, most of them put together by a small grammar. CC0-1.0.

The grammar is for a wide choice of sounds, not of meanings. Which sentences there are depends on the count and the seed
only. Held-out sentences are `calibration_data`'s evaluation sentences, which nothing is ever fitted to, and generated
ones that are not among those trained on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from typing import Final

import numpy as np
import yaml

from toolkit.data import load_manifest

_TEMPLATES: Final = (
    "{person} {deed} {thing} {place}.",
    "{person} {deed} {thing} {manner}.",
    "{time}, {person} {deed} {thing}.",
    "{person} {motion} {why}.",
    "{subject} was {quality} and {quality}.",
    "{subject} is {quality} {why}.",
    "did {person} {act} {thing} {time}?",
    "why would {person} {act} {thing}?",
    "please {act} {thing}, and then {act} {thing}.",
    "{person} and {person} {motion} {time}.",
    "there are {number} {unit} {place}.",
    "it takes {number} {unit} to {act} {thing}.",
    "{time} {subject} was {quality}, but {person} {motion}.",
    "if {person} {deed} {thing}, nobody would {act} {thing}.",
    "what a {quality} day to {act} {thing}!",
    "{person} counted {number} {unit} and {number} {unit}.",
    "never {act} {thing} {place}.",
    "{subject} seemed {quality}; {person} {motion} {manner}.",
    "we should {act} {thing} {manner}, said {person}.",
    "where is {thing} that {person} {deed} {time}?",
)
_SLOT: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """What is said.

    Attributes:
        training: sentences to train on.
        held_out: generated sentences that are not among them.
        evaluation: the project's held-out sentences, none of them from the grammar.
    """

    training: tuple[str, ...]
    held_out: tuple[str, ...]
    evaluation: tuple[str, ...]


def corpus_texts(training: int, held_out: int, seed: int) -> Texts:
    """The sentences of a corpus.

    Args:
        training: how many to train on; the project's calibration sentences are the first of them.
        held_out: how many generated ones to hold out.
        seed: of the grammar.
    """
    manifest = load_manifest()
    own = [sentence.text for sentence in manifest.split("calibration")][:training]
    evaluation = tuple(sentence.text for sentence in manifest.split("evaluation"))
    made = generated(held_out + training - len(own), seed, known=(*own, *evaluation))
    return Texts(training=(*own, *made[held_out:]), held_out=tuple(made[:held_out]), evaluation=evaluation)


def generated(count: int, seed: int, known: tuple[str, ...] = ()) -> list[str]:
    """Different sentences of the grammar.

    Args:
        count: how many.
        seed: same seed, same sentences.
        known: sentences not to make again.
    """
    text = resources.files("toolkit.train").joinpath("lexicon.yaml").read_text(encoding="utf-8")
    words: dict[str, list[str]] = yaml.safe_load(text)
    choose = np.random.default_rng([seed, 0x5E7])
    seen, found = {_key(sentence) for sentence in known}, []
    while len(found) < count:
        template = _TEMPLATES[int(choose.integers(len(_TEMPLATES)))]
        said = _SLOT.sub(lambda slot: words[slot[1]][int(choose.integers(len(words[slot[1]])))], template)
        sentence = said[0].upper() + said[1:]
        if _key(sentence) not in seen:
            seen.add(_key(sentence))
            found.append(sentence)
    return found


def _key(sentence: str) -> str:
    return " ".join(sentence.casefold().split())
