"""How well a converted text-to-semantic model tells what comes next: the files themselves, run as a phone runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolkit.engine.bundle import bundle_folder, read_bundle
from toolkit.engine.loading import GraphLoader
from toolkit.engine.residency import UNBOUNDED_BYTES, Residency
from toolkit.engine.semantic import SemanticDecoder
from toolkit.quality.cross_entropy import summed_cross_entropy
from toolkit.quality.semantic import SemanticQuality

if TYPE_CHECKING:
    from toolkit.models.gpt_sovits.semantic import SemanticModel
    from toolkit.models.gpt_sovits.semantic_batch import Pair


def judge_codes(
    folder: Path,
    pairs: Sequence[Pair],
    *,
    threads: int = 1,
    reference: Callable[[Pair], np.ndarray] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> SemanticQuality:
    """Judges a bundle as `judge_semantic` judges a torch model: every code and stop token, each given those before it.

    Args:
        folder: a bundle, or a run directory with one.
        pairs: held-out sentences, at least one.
        threads: of the interpreters.
        reference: greedy choices ``[m + 1] int`` of a model to agree with.
        on_progress: told after every sentence.

    Raises:
        EngineError: no bundle, a damaged one, or a sentence is longer than its graphs.
    """
    bundle = read_bundle(bundle_folder(folder))
    loss, right, agreed, count = 0.0, 0, 0, 0
    with GraphLoader(Residency(UNBOUNDED_BYTES), threads=threads).using(bundle) as graphs:
        decoder = SemanticDecoder(bundle, graphs)
        for number, pair in enumerate(pairs, 1):
            wanted = np.append(pair.codes, bundle.semantic.stop_token)
            logits = decoder.logits(pair.phones, pair.codes)
            loss += summed_cross_entropy(logits, wanted)
            chosen = logits.argmax(axis=1)
            right, count = right + int((chosen == wanted).sum()), count + len(wanted)
            if reference is not None:
                agreed += int((chosen == reference(pair)).sum())
            if on_progress is not None:
                on_progress(number, len(pairs))
    return SemanticQuality(
        cross_entropy_nats=loss / count,
        top1_ratio=right / count,
        agreement_ratio=None if reference is None else agreed / count,
        predictions=count,
    )


def torch_choices(model: SemanticModel, pair: Pair) -> np.ndarray:
    """What a torch model would have chosen at every place of a sentence, ``[m + 1] int``."""
    import torch

    from toolkit.models.gpt_sovits.semantic_batch import batch_logits, batch_of

    with torch.inference_mode():
        return batch_logits(model, batch_of([pair], model.config.stop_token)).argmax(dim=1).numpy()
