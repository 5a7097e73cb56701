"""A text-to-semantic model that trains in a second or two, on sentences whose codes follow from the phones."""

from functools import cache
from pathlib import Path

import numpy as np
import torch

from toolkit.data.semantic_corpus import SemanticCorpus, save_corpus
from toolkit.models.gpt_sovits.semantic import SemanticModel, load_semantic
from toolkit.models.gpt_sovits.semantic_batch import Pair
from toolkit.models.gpt_sovits.semantic_config import SemanticConfig
from toolkit.models.gpt_sovits.semantic_file import write_semantic
from toolkit.train.loop import TrainingSettings
from toolkit.train.small_semantic import untrained
from toolkit.train.trainer import train_semantic

SYMBOLS, CODES = 12, 16
CONFIG = SemanticConfig(width=32, heads=4, layers=2, inner=64, symbols=SYMBOLS, vocabulary=CODES + 1, features=8)
SETTINGS = TrainingSettings(steps=200, batch=16, learning_rate=5e-3, dropout=0.0, average_decay=0.9)


@cache
def small_corpus() -> SemanticCorpus:
    """Each phone is two codes: its own number and the one after."""
    draw = np.random.default_rng(0)

    def pair() -> Pair:
        phones = draw.integers(0, SYMBOLS, int(draw.integers(3, 8))).astype(np.int32)
        return Pair(phones=phones, codes=np.stack([phones, phones + 1], axis=1).reshape(-1).astype(np.int32))

    return SemanticCorpus(training=tuple(pair() for _ in range(96)), held_out=tuple(pair() for _ in range(16)))


@cache
def _weights() -> dict:
    model = untrained(CONFIG, seed=0)
    train_semantic(model, small_corpus().training, SETTINGS)
    return model.state_dict()


def trained_model() -> SemanticModel:
    """The trained model; a new one each time."""
    return load_semantic({name: value.clone() for name, value in _weights().items()}, heads=CONFIG.heads)


def written_on_one_thread(folder: Path) -> tuple[Path, Path]:
    """`written`, with the weights any machine gets."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    found = written(folder)
    torch.set_num_threads(before)
    return found


def written(folder: Path) -> tuple[Path, Path]:
    """The trained model and its corpus as files."""
    save_corpus(small_corpus(), folder / "corpus.npz")
    return write_semantic(folder / "small.ckpt", trained_model(), "small", {}), folder / "corpus.npz"
