"""First weights of a narrower flow, from the teacher's and from what goes through it on real sentences.

Inside a coupling all but the gates is linear, and linear maps may be written in another basis. So the student's stream
holds the principal directions of the teacher's; its gates are the teacher's that contribute most, reading from these
directions; and what the gates write is fitted, layer by layer, to what the teacher's whole layers wrote.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from toolkit.distil.least_squares import fitted, largest, principal
from toolkit.models.vits.flow import ResidualCoupling, ResidualCouplingFlow, WaveNet

_SPREAD = 0.02  # of what has no counterpart in the teacher


@torch.no_grad()
def start_flow(student: ResidualCouplingFlow, teacher: ResidualCouplingFlow, z_p: Tensor, mask: Tensor) -> None:
    """Fills a student's weights.

    Args:
        student: as many couplings of the same kernel; hidden channels, gates and layers at most the teacher's.
        teacher: gives the weights.
        z_p: prior samples ``[batch, channels, frames]`` to fit on, 0 where the mask is.
        mask: ``[batch, 1, frames]``.
    """
    z = z_p
    for own, told in zip(reversed(student.flows), reversed(teacher.flows), strict=True):
        if isinstance(own, ResidualCoupling) and isinstance(told, ResidualCoupling):
            _start_coupling(own, told, z[:, : told.half], mask)
        z = told(z, mask)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trace:
    """What went through a teacher's coupling; rows are frames inside the mask.

    Attributes:
        streams: the residual stream before each layer, ``[batch, hidden, frames]``.
        acted: what each layer's gates gave, likewise.
        means: the mean so far after each layer, without the bias, ``[rows, half]``.
    """

    streams: list[Tensor]
    acted: list[Tensor]
    means: list[Tensor]


def _start_coupling(student: ResidualCoupling, teacher: ResidualCoupling, kept: Tensor, mask: Tensor) -> None:
    valid = mask[:, 0].bool()
    trace = _traced(teacher, kept, mask, valid)
    hidden = student.pre.out_channels
    basis = principal(torch.cat([_rows(each, valid) for each in trace.streams]), hidden)
    said = principal(trace.means[-1], min(hidden, teacher.half))
    student.pre.weight.copy_((basis.T @ teacher.pre.weight[..., 0])[..., None])
    student.pre.bias.copy_(basis.T @ teacher.pre.bias)
    student.post.weight.normal_(0.0, _SPREAD)
    student.post.weight[:, : said.shape[1], 0] = said
    student.post.bias.copy_(teacher.post.bias)

    net, told = student.enc, teacher.enc
    layers = torch.linspace(0, len(told.in_layers) - 1, len(net.in_layers)).round().long().tolist()
    x = student.pre(kept) * mask
    spoken = torch.zeros_like(trace.means[0])
    for place, layer in enumerate(layers):
        acted = _start_gates(net, told, (place, layer), trace.acted[layer], basis, x)
        rows, last = _rows(acted, valid), place == len(layers) - 1
        skip, skip_bias = fitted(rows, (trace.means[-1 if last else layer] - spoken) @ said)
        written = net.res_skip_layers[place]
        written.weight.normal_(0.0, _SPREAD)
        written.bias.zero_()
        first = 0 if last else hidden
        written.weight[first : first + said.shape[1], :, 0] = skip
        written.bias[first : first + said.shape[1]] = skip_bias
        spoken = spoken + (rows @ skip.T + skip_bias) @ said.T
        if not last:
            wanted = _rows(trace.streams[layers[place + 1]], valid) @ basis - _rows(x, valid)
            weight, bias = fitted(rows, wanted)
            written.weight[:hidden, :, 0] = weight
            written.bias[:hidden] = bias
            x = (x + written(acted)[:, :hidden]) * mask


def _start_gates(
    net: WaveNet, told: WaveNet, places: tuple[int, int], acted: Tensor, basis: Tensor, x: Tensor
) -> Tensor:
    """The gates that contribute most; returns what they give for the student's stream ``x``."""
    place, layer = places
    weight, bias = told.in_layers[layer].weight, told.in_layers[layer].bias
    writes = told.res_skip_layers[layer].weight[..., 0].square().sum(0)
    width = net.gates[place]
    units = largest(acted.square().mean((0, 2)) * writes, width)
    rows = torch.cat([units, units + told.gates[layer]])
    net.in_layers[place].weight.copy_(torch.einsum("oik,ij->ojk", weight[rows], basis))
    net.in_layers[place].bias.copy_(bias[rows])
    gates = net.in_layers[place](x)
    return torch.tanh(gates[:, :width]) * torch.sigmoid(gates[:, width:])


def _traced(coupling: ResidualCoupling, kept: Tensor, mask: Tensor, valid: Tensor) -> _Trace:
    net, hidden = coupling.enc, coupling.enc.hidden
    x = coupling.pre(kept) * mask
    streams, acts, means = [], [], []
    total = torch.zeros_like(x)
    for place, (in_layer, res_skip) in enumerate(zip(net.in_layers, net.res_skip_layers, strict=True)):
        gates, width = in_layer(x), net.gates[place]
        acted = torch.tanh(gates[:, :width]) * torch.sigmoid(gates[:, width:])
        both = res_skip(acted)
        streams.append(x)
        acts.append(acted)
        last = place == len(net.in_layers) - 1
        total = total + both[:, 0 if last else hidden :]
        means.append(_rows(functional.conv1d(total, coupling.post.weight), valid))
        x = (x + both[:, :hidden]) * mask
    return _Trace(streams=streams, acted=acts, means=means)


def _rows(x: Tensor, valid: Tensor) -> Tensor:
    """``[batch, channels, frames]`` to ``[rows, channels]`` of the frames inside the mask."""
    return x.transpose(1, 2)[valid]
