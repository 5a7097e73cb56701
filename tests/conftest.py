"""What holds for the whole of a test session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.toolkit.results.results_files import broken_results_files


@pytest.fixture(scope="session", autouse=True)
def every_results_file_follows_the_published_schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """At the end of the session: whatever the tests wrote is what `toolkit report --schema` promises."""
    yield
    broken = broken_results_files(Path(tmp_path_factory.getbasetemp()))
    assert broken == {}, broken
