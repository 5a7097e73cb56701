"""The page of a search."""

import re

from tests.toolkit.search.made_versions import over, refused, result, version
from toolkit.cli.app import outcome
from toolkit.report.search_page import render_search
from toolkit.results.search import save_search

FITS = version(1, score=20, size=80, ms=10)
MISSES = version(2, score=30, size=120, ms=15, violations=(over("total_bytes", 120, 90),))


def test_page_of_a_found_version_shows_it_and_all_others():
    page = render_search(result(FITS, MISSES, refused(3, "decoder", {"precision.decoder": "x"}), best=1, front=(1, 2)))
    assert "✓ FOUND" in page and "NOTHING FITS" not in page
    assert 'href="best/index.html"' in page
    assert "10.0 ms estimated for A Phone on CPU (median error 40%" in page.replace("10 ms", "10.0 ms")
    assert page.count('class="bubble chosen"') == 2
    assert page.count('class="bubble misses"') == 2
    assert "[precision/not-realised]: no" in page
    assert "latency, ms, estimated" in page


def test_page_of_a_miss_says_what_blocks():
    page = render_search(result(MISSES, nearest=2, blockers=("Whole bundle on disk: no version keeps 90",)))
    assert "✕ NOTHING FITS" in page and "FOUND<" not in page
    assert "no version keeps 90" in page
    assert 'href="best/index.html"' not in page


def test_latency_is_never_shown_without_the_word():
    page = render_search(result(FITS, MISSES, best=1))
    for line in re.findall(r"<(?:th|text|dd|figcaption)[^>]*>([^<]*[Ll]atency[^<]*)<", page):
        assert "estimated" in line.lower(), line


def test_page_is_rendered_again_from_its_file(tmp_path, capfd):
    save_search(result(FITS, MISSES, best=1), tmp_path / "search.json")
    assert outcome(["report", str(tmp_path)]) == 0
    assert (tmp_path / "index.html").read_text(encoding="utf-8") == render_search(result(FITS, MISSES, best=1))
    (tmp_path / "search.json").write_text("{}")
    assert outcome(["report", str(tmp_path / "search.json")]) == 2
    assert "error[results/unreadable]" in capfd.readouterr().err


def test_words_of_a_model_are_escaped():
    page = render_search(result(FITS, best=1, model="<script>alert(1)</script>"))
    assert "<script>" not in page
