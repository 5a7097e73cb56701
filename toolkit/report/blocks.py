"""What a section of the page is made of. Sections build blocks; one template knows how each kind of block looks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from markupsafe import Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A table cell. ``tone`` colours it (good, bad, muted, dtype names …); ``hover`` is shown on hovering.

    ``link`` is where on the page it leads.
    """

    text: str = ""
    tone: str = ""
    hover: str = ""
    chart: Markup | None = None
    sub: str = ""
    mono: bool = False
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A table column; numbers go to the right."""

    title: str
    unit: str = ""
    number: bool = False
    wide: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A real table. Rows after ``fold_after`` are folded away.

    ``form`` is how it behaves: ``stacking`` turns rows into small cards on a narrow screen, ``matrix`` stays compact,
    ``roomy`` gives the wide column most of the width.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    fold_after: int | None = None
    form: Literal["plain", "stacking", "matrix", "roomy"] = "plain"
    kind: Literal["table"] = "table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Legend:
    """One entry of a chart's legend; ``swatch`` is the class that colours it."""

    swatch: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A chart with its title, axes explained in words, and legend."""

    chart: Markup
    title: str = ""
    caption: str = ""
    legend: tuple[Legend, ...] = ()
    padded: bool = True
    kind: Literal["figure"] = "figure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Label and value pairs."""

    items: tuple[tuple[str, str], ...]
    mono: bool = False
    kind: Literal["facts"] = "facts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A remark. ``missing`` says why something has no data."""

    text: str
    tone: Literal["info", "warn", "missing", "bad"] = "info"
    hover: str = ""
    link: str = ""
    kind: Literal["note"] = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One of the six numbers at the top."""

    title: str
    value: str
    unit: str = ""
    status: str = ""
    lines: tuple[str, ...] = ()
    chart: Markup | None = None
    href: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cards:
    """The six numbers."""

    cards: tuple[Card, ...]
    kind: Literal["cards"] = "cards"


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """One sentence in both versions, with the spectrograms."""

    title: str
    text: str
    reference: str
    candidate: str
    images: tuple[tuple[str, str], ...] = ()
    facts: str = ""
    scale: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Players:
    """Audio to listen to."""

    players: tuple[Player, ...]
    kind: Literal["players"] = "players"


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """One sentence by several voices; ``voices`` are label and source of each."""

    title: str
    text: str
    voices: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Takes:
    """The same sentences by several voices, to listen to."""

    takes: tuple[Take, ...]
    kind: Literal["takes"] = "takes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Something to copy."""

    text: str
    title: str = ""
    kind: Literal["code"] = "code"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Blocks side by side where there is room."""

    blocks: tuple[Block, ...]
    columns: int = 2
    kind: Literal["grid"] = "grid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """Blocks behind a line that opens them."""

    summary: str
    blocks: tuple[Block, ...]
    kind: Literal["folded"] = "folded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A heading inside a section."""

    text: str
    kind: Literal["heading"] = "heading"


Block = Table | Figure | Facts | Note | Cards | Players | Takes | Code | Grid | Folded | Heading


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section of the page."""

    id: str
    title: str
    lead: str = ""
    blocks: tuple[Block, ...] = field(default=())
