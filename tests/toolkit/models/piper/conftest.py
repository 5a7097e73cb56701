"""Small Piper-like voices: exported the way Piper exports, so that names, folds and anonymous kernels are the same."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from toolkit.models.seeded import seeded_config, seeded_voice
from toolkit.models.vits.flow import WaveNet

GIN = 8


class PointConv(nn.Conv1d):
    """A 1x1 convolution on [batch, time, channels]: what Piper's attention really holds."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.in_features, linear.out_features, 1)
        self.weight.data, self.bias.data = linear.weight.data[..., None].clone(), linear.bias.data.clone()

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class ConditionedWaveNet(nn.Module):
    """VITS's WaveNet with a speaker vector added before each gate."""

    def __init__(self, plain: WaveNet, depth: int) -> None:
        super().__init__()
        self.hidden, self.in_layers, self.res_skip_layers = plain.hidden, plain.in_layers, plain.res_skip_layers
        self.cond_layer = nn.Conv1d(GIN, 2 * plain.hidden * depth, 1)
        self.speaker: Tensor | None = None

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        hidden, total = self.hidden, torch.zeros_like(x)
        conditions = self.cond_layer(self.speaker)
        for index, (in_layer, res_skip) in enumerate(zip(self.in_layers, self.res_skip_layers, strict=True)):
            gates = in_layer(x) + conditions[:, 2 * hidden * index : 2 * hidden * (index + 1)]
            both = res_skip(torch.tanh(gates[:, :hidden]) * torch.sigmoid(gates[:, hidden:]))
            if index < len(self.in_layers) - 1:
                x, total = (x + both[:, :hidden]) * mask, total + both[:, hidden:]
            else:
                total = total + both
        return total * mask


class Durations(nn.Module):
    """Named like Piper's stochastic predictor, and as noisy; otherwise as small as can be."""

    def __init__(self, hidden: int, speakers: int) -> None:
        super().__init__()
        self.pre, self.proj, self.mix = nn.Conv1d(hidden, 8, 1), nn.Conv1d(8, 8, 1), nn.Conv1d(10, 2, 1)
        if speakers > 1:
            self.cond = nn.Conv1d(GIN, 8, 1)
        with torch.no_grad():
            self.mix.bias.fill_(1.0)

    def forward(self, x: Tensor, mask: Tensor, noise_w: Tensor, speaker: Tensor | None) -> Tensor:
        x = self.pre(x)
        if speaker is not None:
            x = x + self.cond(speaker)
        x = self.proj(x) * mask
        noise = torch.randn(x.size(0), 2, x.size(2)) * noise_w
        return torch.split(self.mix(torch.cat([x, noise], 1)) * mask, [1, 1], 1)[0]


class FakePiper(nn.Module):
    """Piper's ``SynthesizerTrn.infer`` over this project's own parts, speaker conditioning put back."""

    def __init__(self, speakers: int, resblock: str) -> None:
        super().__init__()
        torch.manual_seed(7)
        config, parts = seeded_config(resblock), copy.deepcopy(dict(seeded_voice(0, resblock).modules))
        self.enc_p, self.flow, self.dec = parts["encoder"].enc_p, parts["flow"].flow, parts["decoder"].dec
        for attention in self.enc_p.encoder.attn_layers:
            for name in ("conv_q", "conv_k", "conv_v", "conv_o"):
                setattr(attention, name, PointConv(getattr(attention, name)))
        self.dp = Durations(config.encoder.hidden, speakers)
        self.speakers = speakers
        if speakers > 1:
            self.emb_g = nn.Embedding(speakers, GIN)
            self.dec.cond = nn.Conv1d(GIN, config.generator.initial, 1)
            for coupling in list(self.flow.flows)[::2]:
                coupling.enc = ConditionedWaveNet(coupling.enc, len(config.flow.dilations))
        self.speaker: Tensor | None = None
        self.requires_grad_(False).eval()

    def forward(self, input: Tensor, input_lengths: Tensor, scales: Tensor, sid: Tensor | None = None) -> Tensor:
        if sid is not None:
            self.speaker = self.emb_g(sid).unsqueeze(-1)
            for coupling in list(self.flow.flows)[::2]:
                coupling.enc.speaker = self.speaker
        mask = (torch.arange(input.size(1)) < input_lengths[:, None]).float()[:, None]
        x, m_p, logs_p = self.enc_p(input, mask)
        durations = torch.ceil(torch.exp(self.dp(x, mask, scales[2], self.speaker)) * mask * scales[1])
        ends = torch.cumsum(durations, -1)
        frame = torch.arange(durations.sum().long())[None, :, None]
        path = ((frame < ends) & (frame >= ends - durations)).float()
        m_p, logs_p = (torch.matmul(path, s.transpose(1, 2)).transpose(1, 2) for s in (m_p, logs_p))
        z_p = m_p + torch.randn_like(m_p) * torch.exp(logs_p) * scales[0]
        frames_mask = torch.ones_like(z_p[:, :1])
        return self.dec(self.flow(z_p, frames_mask) * frames_mask, frames_mask, self.speaker).unsqueeze(1)


@pytest.fixture(scope="session")
def make_piper(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, str], Path]:
    """Exports (once) a voice of so many speakers and such residual blocks; gives its .onnx path."""
    made: dict[tuple[int, str], Path] = {}

    def make(speakers: int, resblock: str) -> Path:
        if (speakers, resblock) not in made:
            path = tmp_path_factory.mktemp("piper") / f"fake-{speakers}-{resblock}.onnx"
            inputs = [torch.randint(0, 20, (1, 41)), torch.tensor([41]), torch.tensor([0.667, 1.0, 0.8])]
            names = ["input", "input_lengths", "scales"]
            if speakers > 1:
                inputs, names = [*inputs, torch.tensor([0])], [*names, "sid"]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.onnx.export(
                    FakePiper(speakers, resblock), tuple(inputs), str(path), opset_version=15, dynamo=False,
                    input_names=names, output_names=["output"], do_constant_folding=False,
                )  # fmt: skip
            settings = {
                "audio": {"sample_rate": 16000, "quality": "x_low"},
                "espeak": {"voice": "de"},
                "inference": {"noise_scale": 0.5, "length_scale": 1, "noise_w": 0.7},
                "num_speakers": speakers,
                "phoneme_id_map": {k: list(v) for k, v in seeded_voice(0).phoneme_id_map.items()},
            }
            Path(f"{path}.json").write_text(json.dumps(settings), encoding="utf-8")
            made[speakers, resblock] = path
        return made[speakers, resblock]

    return make
