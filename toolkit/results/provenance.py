"""Which run, where, with what, and the files it wrote."""

from __future__ import annotations

from pydantic import Field

from toolkit.results.record import Fact, Record


class Run(Record):
    """Which run this is. ``started`` is ISO 8601; ``dirty`` tells of uncommitted changes."""

    id: str
    model: str
    started: str | None = None
    command: str
    recipe_sha256: str | None = None
    recipe_path: str | None = None
    commit: str | None = None
    dirty: bool | None = None
    seeds: dict[str, int] = Field(default_factory=dict)
    input_sha256: dict[str, str] = Field(default_factory=dict)
    wall_seconds: float | None = None
    peak_rss_bytes: int | None = None


class Origin(Record):
    """What is said of where a model comes from, quoted; ``said_by`` is who says it. Nothing here is inferred."""

    statement: str
    said_by: str


class Host(Record):
    """The computer the numbers come from."""

    cpu: str
    logical_cores: int
    memory_bytes: int | None = None
    os: str = ""
    governor: str | None = None


class Device(Record):
    """The phone that was asked for or measured on; ``build`` is Android's build fingerprint, ``serial`` adb's."""

    name: str
    soc: str | None = None
    android: str | None = None
    api_level: int | None = None
    abi: str | None = None
    build: str | None = None
    serial: str | None = None


class Environment(Record):
    """Where and with what it ran. ``tools`` maps a package to its version."""

    host: Host
    device: Device | None = None
    delegate: str | None = None
    delegate_version: str | None = None
    tools: dict[str, str] = Field(default_factory=dict)
    lock_sha256: str | None = None
    container_digest: str | None = None


class Artifact(Record):
    """A file the run wrote; ``path`` is relative to the run directory."""

    stage: str
    path: str
    sha256: str
    size_bytes: int
    part: str | None = None
    compressed_bytes: int | None = None


class Stage(Record):
    """One step of the pipeline with what it reports about itself."""

    name: str
    seconds: float
    cached: bool = False
    peak_rss_bytes: int | None = None
    facts: dict[str, Fact] = Field(default_factory=dict)
