"""Where a model comes from, in the words of whoever publishes it."""

from __future__ import annotations

from pathlib import Path

from toolkit.results import Origin

CARD = "MODEL_CARD"
"""What rhasspy/piper-voices puts beside each voice."""

_LONGEST_BYTES = 16_384

RANDOM_ORIGIN = Origin(
    statement="Seeded random weights, made by this toolkit. Trained on nothing; nobody's licence applies to them.",
    said_by="flowlite-toolkit",
)


def origin_beside(path: Path) -> Origin | None:
    """The model card that lies beside a voice; None where there is none, or one too long to quote."""
    card = path.with_name(CARD)
    if not card.is_file() or card.stat().st_size > _LONGEST_BYTES:
        return None
    text = card.read_text(encoding="utf-8", errors="replace").strip()
    return Origin(statement=text, said_by=f"{CARD} beside {path.name}") if text else None
