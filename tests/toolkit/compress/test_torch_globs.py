"""Globs over torch names: what can be refused before operators are known, and nothing else."""

from itertools import product

import pytest

from toolkit.compress.torch_globs import matches, may_match, refuse_hopeless
from toolkit.errors import RecipeError

PATHS = ("forward", "dec", "dec.conv_pre", "dec.ups.0", "dec.resblocks.10.convs1.2", "enc_p.mrte.cross_attention")
OPERATORS = ("Conv", "Add_1", "MatMul_12", "Relu")
PATTERNS = (
    "*", "dec", "dec.conv_pre", "dec.ups.[0-2]", "dec.resblocks.[0-8].convs*", "dec.*", "dec*Add_1", "*Add_?", "*/Relu",
    "h.layers.*/Relu", "dec/Add_1", "dec.conv_pre/*", "enc_p.mrte.*/MatMul_[12]*", "forward/Concat*", "d?c*", "dec.*_1",
    "[!d]*", "*_attention/MatMul_1", "dec.conv_post", "dec.conv", "", "dec/", "[", "dec[/]Conv", "Conv", "*Conv*12",
)  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_no_glob_that_matches_an_operator_is_given_up(pattern: str) -> None:
    for path, operator in product(PATHS, OPERATORS):
        if matches(pattern, f"{path}/{operator}"):
            assert may_match(pattern, path), (path, operator)


@pytest.mark.parametrize(
    "pattern", ["dec.conv_post", "dec.conv", "DEC.*", "flow.*", "decoder/Add_1", "dec.ups.[5-9]", ""]
)
def test_a_glob_no_module_can_satisfy_is_refused_with_the_nearest_names(pattern: str) -> None:
    with pytest.raises(RecipeError, match="matches no operator") as caught:
        refuse_hopeless(pattern, PATHS, where="part 'dec', precision rule 1")
    assert caught.value.code == "recipe/rule-matches-nothing"
    assert "dec" in caught.value.hint and caught.value.where == "part 'dec', precision rule 1"


def test_a_path_with_slashes_of_its_own_is_narrower_than_its_beginning() -> None:
    """Graphs of other exporters: every operator is ``model/…``, and what follows still tells them apart."""
    paths = ("model/dense_1", "model/lstm/cell")
    for pattern in ("model", "model/*", "model/dense_1/MatMul*", "model/lstm/*", "*cell/Add"):
        refuse_hopeless(pattern, paths, where="")
    for pattern in ("model/dense_2/*", "model/lstn/*", "dense_1", "cell"):
        with pytest.raises(RecipeError, match="matches no operator"):
            refuse_hopeless(pattern, paths, where="")


def test_a_glob_some_operator_may_satisfy_is_let_through() -> None:
    for pattern in ("dec.ups.0", "dec/Add_77", "*Conv", "dec.*"):
        refuse_hopeless(pattern, PATHS, where="")
