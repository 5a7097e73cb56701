"""The normalising flow of VITS, run in reverse (prior to latent).

Four residual couplings with a channel flip after each. ``mean_only``: the log deviation is 0, so the reverse of a
coupling is one subtraction. Parameter names are those of the Piper checkpoints (``flow.flows.0.enc.in_layers.0`` …).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from toolkit.models.vits.config import FlowConfig


class WaveNet(nn.Module):
    """Gated convolutions with residual and skip paths; the last layer has a skip path only.

    Args:
        hidden: channels.
        kernel: width of the gated convolutions.
        dilations: of each layer.
        style: channels of a style vector that is added to every layer's gates; 0 for none.
        gates: of each layer, where they are not as many as the channels.

    Raises:
        ValueError: gates of more or fewer layers, or a layer without any.
    """

    def __init__(
        self,
        hidden: int,
        kernel: int,
        dilations: tuple[int, ...],
        style: int = 0,
        gates: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        self.gates = (hidden,) * len(dilations) if gates is None else gates
        if len(self.gates) != len(dilations) or min(self.gates, default=1) < 1:
            raise ValueError(f"gates {self.gates} for {len(dilations)} layers of a WaveNet")
        self.cond_layer = nn.Conv1d(style, 2 * sum(self.gates), 1) if style else None
        self.hidden = hidden
        last = len(dilations) - 1
        self.in_layers = nn.ModuleList(
            nn.Conv1d(hidden, 2 * width, kernel, dilation=dilation, padding=(kernel - 1) * dilation // 2)
            for width, dilation in zip(self.gates, dilations, strict=True)
        )
        self.res_skip_layers = nn.ModuleList(
            nn.Conv1d(width, hidden if index == last else 2 * hidden, 1) for index, width in enumerate(self.gates)
        )

    def forward(self, x: Tensor, mask: Tensor, style: Tensor | None = None) -> Tensor:
        """``[1, hidden, frames]`` to the same; ``mask`` is ``[1, 1, frames]``, ``style`` ``[1, style, 1]``."""
        added = self.cond_layer(style) if self.cond_layer is not None else None
        told = 0
        skips: Tensor | None = None
        last = len(self.in_layers) - 1
        for index, (in_layer, res_skip) in enumerate(zip(self.in_layers, self.res_skip_layers, strict=True)):
            gates, width = in_layer(x), self.gates[index]
            if added is not None:
                gates = gates + added[:, told : told + 2 * width]
                told += 2 * width
            acted = torch.tanh(gates[:, :width]) * torch.sigmoid(gates[:, width:])
            both = res_skip(acted)
            if index == last:
                skip = both
            else:
                x = (x + both[:, : self.hidden]) * mask
                skip = both[:, self.hidden :]
            skips = skip if skips is None else skips + skip
        if skips is None:
            raise ValueError("a WaveNet needs at least one layer")
        return skips * mask


class ResidualCoupling(nn.Module):
    """Half the channels give the mean that is taken off the other half.

    Args:
        config: widths and depths.
        gates: of each WaveNet layer.
    """

    def __init__(self, config: FlowConfig, gates: tuple[int, ...]) -> None:
        super().__init__()
        self.half = config.channels // 2
        self.pre = nn.Conv1d(self.half, config.hidden, 1)
        self.enc = WaveNet(config.hidden, config.kernel, config.dilations, gates=gates)
        self.post = nn.Conv1d(config.hidden, self.half, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Reverse direction; ``[1, channels, frames]`` to the same."""
        kept, moved = x[:, : self.half], x[:, self.half :]
        mean = self.post(self.enc(self.pre(kept) * mask, mask)) * mask
        return torch.cat([kept, (moved - mean) * mask], dim=1)


class Flip(nn.Module):
    """Reverses the channel order."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """``[1, channels, frames]`` to the same; the mask is not used."""
        return torch.flip(x, dims=[1])


class ResidualCouplingFlow(nn.Module):
    """All couplings and flips, in the order of the checkpoint; ``forward`` runs them backwards.

    Args:
        config: widths and depths.

    Raises:
        ValueError: gates of more or fewer couplings than there are.
    """

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        if len(config.gate_widths) != config.couplings:
            raise ValueError(f"gates of {len(config.gate_widths)} couplings for {config.couplings}")
        layers: list[nn.Module] = []
        for gates in config.gate_widths:
            layers += [ResidualCoupling(config, gates), Flip()]
        self.flows = nn.ModuleList(layers)

    def forward(self, z_p: Tensor, mask: Tensor) -> Tensor:
        """Prior sample to latent.

        Args:
            z_p: ``[1, channels, frames]``, 0 where the mask is 0.
            mask: ``[1, 1, frames]`` float32.

        Returns:
            ``z`` ``[1, channels, frames]``, 0 where the mask is 0.
        """
        z = z_p
        for layer in reversed(self.flows):
            z = layer(z, mask)
        return z
