"""The token loop of upstream's ``infer_panel_naive`` on the torch model, stop rules included.

It exists to be compared with: the engine's loop (`toolkit.engine.semantic`) runs on the graphs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from toolkit.engine.sampling import Sampler
from toolkit.models.gpt_sovits.semantic import SemanticModel

STEPS_MIN = 11
"""In so many first steps the stop token's column is cut off; upstream's ``if idx < 11``."""
STEPS_MAX = 1500
_NO_LIMIT = -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Generated:
    """What the loop made.

    Attributes:
        sequence: ``[prompt + n]`` prompt and codes, the stop token not among them; upstream's ``y``.
        index: upstream's ``idx``: the step it stopped in; 0 when there is no prompt, as upstream returns it then.
        prompt: length of the prompt.
        stopped: the model ended the sentence.
    """

    sequence: np.ndarray = field(repr=False)
    index: int
    prompt: int
    stopped: bool

    @property
    def codes(self) -> np.ndarray:
        """Every code that was made."""
        return self.sequence[self.prompt :]

    @property
    def upstream_codes(self) -> np.ndarray:
        """What upstream hands on, ``y[-idx:]``.

        After a stop token these are ``codes``. When a limit ends the loop, ``idx + 1`` codes were made and the first
        one is lost; with ``idx`` 0 the slice is everything, the prompt included.
        """
        return self.sequence[-self.index :] if self.index else self.sequence


@torch.inference_mode()
def generate(
    model: SemanticModel,
    phones: Tensor,
    prompt: Tensor | None,
    sampler: Sampler,
    *,
    bert: Tensor | None = None,
    early_stop: int = _NO_LIMIT,
    steps_min: int = STEPS_MIN,
    steps_max: int = STEPS_MAX,
) -> Generated:
    """Codes of a sentence.

    Args:
        model: the model.
        phones: ``[1, Tx]``.
        prompt: ``[1, Ty]`` codes of the reference, or ``None``.
        sampler: draws.
        bert: ``[1, features, Tx]``.
        early_stop: upstream's ``early_stop_num``: ends when more codes than that were made; -1 is never.
        steps_min: in so many first steps the stop token cannot be drawn.
        steps_max: ends in that step at the latest.
    """
    start = torch.empty(1, 0, dtype=torch.long) if prompt is None else prompt.long()
    state = model.prefill(phones, start, bert)
    said = start[0].numpy().astype(np.int32)
    stop, length = model.config.stop_token, len(said)
    stopped, step = False, 0
    for step in range(steps_max):
        logits = state.logits[0].numpy()
        token, likeliest = sampler.next(logits[:-1] if step < steps_min else logits, said)
        # Upstream edits the logits in place, so its second stop test reads them after the penalty.
        stopped = stop in (token, likeliest)
        if stopped:
            break
        said = np.append(said, np.int32(token))
        if early_stop != _NO_LIMIT and len(said) - length > early_stop:
            break
        state = model.step(torch.tensor([[token]]), len(said) - 1, state)
    return Generated(sequence=said, index=step if prompt is not None else 0, prompt=length, stopped=stopped)
