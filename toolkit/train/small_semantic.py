"""The small text-to-semantic model of this project: trained, so that compression has something to lose."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch

from toolkit.data.semantic_corpus import SemanticCorpus
from toolkit.models.gpt_sovits.semantic import SemanticModel
from toolkit.models.gpt_sovits.semantic_config import SemanticConfig
from toolkit.text.symbols import COUNT_V2
from toolkit.train.loop import StepProgress, TrainingSettings
from toolkit.train.trainer import train_semantic

INFO: Final = "T2S-small: trained on synthetic speech of one voice"
_TABLE_SPREAD: Final = 0.3  # beside positions of size 1


def small_config(*, width: int, layers: int, heads: int, codes: int) -> SemanticConfig:
    """Sizes in upstream's proportions, for the symbols of v2."""
    return SemanticConfig(
        width=width, heads=heads, layers=layers, inner=4 * width, symbols=COUNT_V2, vocabulary=codes + 1
    )


def untrained(config: SemanticConfig, seed: int) -> SemanticModel:
    """A model that has learned nothing. Text features have no weight: the corpus is English, which has none."""
    torch.manual_seed(seed)
    model = SemanticModel(config)
    with torch.no_grad():
        for table in (model.ar_text_embedding, model.ar_audio_embedding):
            table.word_embeddings.weight.mul_(_TABLE_SPREAD)
        model.bert_proj.weight.zero_()
        model.bert_proj.bias.zero_()
    return model.eval().requires_grad_(False)


def train_small(
    corpus: SemanticCorpus,
    config: SemanticConfig,
    settings: TrainingSettings,
    *,
    checkpoint_dir: Path | None = None,
    on_step: StepProgress | None = None,
) -> SemanticModel:
    """Trains the model on a corpus.

    Args:
        corpus: what to learn.
        config: sizes.
        settings: how long, and how.
        checkpoint_dir: where to keep a checkpoint, and to look for one.
        on_step: told after every step.
    """
    model = untrained(config, settings.seed)
    train_semantic(model, corpus.training, settings, task=INFO, checkpoint_dir=checkpoint_dir, on_progress=on_step)
    return model


def upstream_config(config: SemanticConfig) -> Mapping[str, Any]:
    """What upstream's files say beside the weights, where it holds of this model."""
    return {
        "data": {"max_eval_sample": 8, "max_sec": 54, "num_workers": 4, "pad_val": config.stop_token},
        "model": {"dropout": 0, "random_bert": 0},
        "inference": {"top_k": 15},
    }
