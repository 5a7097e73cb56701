"""The flow of SoVITS in reverse, with the flips between its couplings folded into their 1x1 convolutions.

A flip before and one after a coupling is the coupling with its halves exchanged and each half's channels reversed, so
every other coupling is rewritten that way and no flip is left (one is, for an odd number of couplings).
Source: ``module/models.py`` (ResidualCouplingBlock) of upstream.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from toolkit.models.vits.config import FlowConfig
from toolkit.models.vits.flow import WaveNet


class Coupling(nn.Module):
    """Half the channels, and the style, give the mean that is taken off the other half.

    Args:
        config: sizes.
        style: channels of the style vector; 0 where it is folded into biases.
        exchanged: the second half is kept and the first moved.
        gates: of each WaveNet layer, where they are not as many as its channels.
    """

    def __init__(
        self, config: FlowConfig, style: int, *, exchanged: bool, gates: tuple[int, ...] | None = None
    ) -> None:
        super().__init__()
        self.half, self.exchanged = config.channels // 2, exchanged
        self.pre = nn.Conv1d(self.half, config.hidden, 1)
        self.enc = WaveNet(config.hidden, config.kernel, config.dilations, style, gates)
        self.post = nn.Conv1d(config.hidden, self.half, 1)

    def forward(self, x: Tensor, mask: Tensor, style: Tensor | None) -> Tensor:
        """``[1, channels, frames]`` to the same."""
        first, second = x[:, : self.half], x[:, self.half :]
        kept, moved = (second, first) if self.exchanged else (first, second)
        mean = self.post(self.enc(self.pre(kept) * mask, mask, style)) * mask
        moved = (moved - mean) * mask
        return torch.cat([moved, kept] if self.exchanged else [kept, moved], dim=1)


class ReverseFlow(nn.Module):
    """Prior sample to latent.

    Args:
        config: sizes.
        style: channels of the style vector; 0 where it is folded into biases.
    """

    def __init__(self, config: FlowConfig, style: int = 0) -> None:
        super().__init__()
        count = config.couplings
        # Named as in the checkpoint, where the flips have the odd numbers. The last runs first, and is exchanged.
        self.flows = nn.ModuleDict(
            {
                str(2 * index): Coupling(config, style, exchanged=_exchanged(index, count), gates=gates)
                for index, gates in enumerate(config.gate_widths)
            }
        )
        self.odd = count % 2 == 1

    def forward(self, z_p: Tensor, mask: Tensor, style: Tensor | None = None) -> Tensor:
        """``[1, channels, frames]`` to the same; ``style`` is ``[1, style, 1]``."""
        z = z_p
        for coupling in reversed(self.flows.values()):
            z = coupling(z, mask, style)
        return torch.flip(z, dims=[1]) if self.odd else z


def _exchanged(index: int, count: int) -> bool:
    return (count - 1 - index) % 2 == 0


def without_flips(weights: Mapping[str, Tensor], config: FlowConfig) -> dict[str, Tensor]:
    """The checkpoint's tensors with the exchanged couplings' channels reversed."""
    folded = dict(weights)
    for index in range(config.couplings):
        if _exchanged(index, config.couplings):
            path = f"flow.flows.{2 * index}"
            folded[f"{path}.pre.weight"] = weights[f"{path}.pre.weight"].flip(1)
            for name in ("weight", "bias"):
                folded[f"{path}.post.{name}"] = weights[f"{path}.post.{name}"].flip(0)
    return folded
