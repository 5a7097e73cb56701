"""A graph of a model at one length, as it is going to run on a phone: what the pipeline converts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from torch import nn

from converters.spec import PartSpec


@dataclass(frozen=True, slots=True, eq=False)
class PhoneGraph:
    """One graph to convert.

    Attributes:
        kind: what it does, e.g. ``t2s_step``.
        bucket: its length: rows (prefill, cache), codes (text encoder, flow, code extractor) or frames (vocoder, style
            encoder).
        module: the torch module.
        spec: its interface; inputs in the order of ``forward``.
        probes: inputs as sentences or recordings give them.
    """

    kind: str
    bucket: int
    module: nn.Module = field(repr=False)
    spec: PartSpec = field(repr=False)
    probes: tuple[dict[str, np.ndarray], ...] = field(repr=False)

    @property
    def name(self) -> str:
        """Its name in the bundle, e.g. ``t2s_step_512``; the signature's key."""
        return f"{self.kind}_{self.bucket}"
