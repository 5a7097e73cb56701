"""Globs of a recipe against torch's module paths, before minutes of conversion rather than after them.

Which operators a module becomes is known only at the end of the float chain, where every glob is resolved for good. But
operators carry the path of the module they come from, so a glob no module path can satisfy is refused at once. Modules
of a voice are this project's, and known when it is opened. What a traced or exported program calls its modules is not
what its operators carry: any other model is asked once it is an ONNX graph, its first and cheapest form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from converters.onnx_graph.name_nodes import ROOT
from toolkit.compress.torch_globs import refuse_hopeless
from toolkit.delegates.runtime import parse_release
from toolkit.errors import RecipeError
from toolkit.recipe.schema import Part, Recipe

if TYPE_CHECKING:
    from toolkit.pipeline.sources import SourcePart

Paths = Callable[[], Iterable[str]]
VOICE_PARTS = ("encoder", "flow", "decoder", "durations")
MODEL_PARTS = ("model",)


def module_paths(module: Any) -> list[str]:
    """Paths of a torch module and everything in it, as operators carry them."""
    return [name or ROOT for name, _ in module.named_modules(remove_duplicate=False)]


def check_globs(recipe: Recipe, parts: Mapping[str, Paths]) -> None:
    """Refuses globs that can match nothing.

    Args:
        recipe: its precision rules, sparsity and splits.
        parts: name to what gives its module paths; asked only where the recipe has globs for it.

    Raises:
        RecipeError: a glob matches nothing.
    """
    for name, paths in parts.items():
        wanted = _globs(recipe.part(name))
        if wanted:
            known = list(paths())
            for where, what, pattern in wanted:
                refuse_hopeless(pattern, known, where=f"part {name!r}, {where}", what=what)


def check_names(recipe: Recipe, known: Iterable[str]) -> None:
    """Refuses settings of a part there is none of.

    Raises:
        RecipeError: the recipe names such a part.
    """
    names = [*known]
    for name in recipe.parts:
        if name != "*" and name not in names:
            raise RecipeError(
                f"it has settings for part {name!r}, and there is none of that name",
                code="recipe/no-such-part",
                where=f"parts.{name}",
                hint=f"the parts are {', '.join(names)}",
            )


def check_release(recipe: Recipe) -> None:
    """Refuses a release of the runtime that is none.

    Raises:
        DelegateError: it is none.
    """
    if recipe.delegate.runtime:
        parse_release(recipe.delegate.runtime)


def check_voice(recipe: Recipe, parts: Iterable[SourcePart]) -> None:
    """Refuses, of the parts of a voice, globs that match nothing and settings of a part no voice has.

    Raises:
        RecipeError: a glob matches nothing, or there is no such part.
    """
    check_names(recipe, VOICE_PARTS)
    modules = {part.name: part.model for part in parts}
    check_globs(recipe, {name: lambda model=model: module_paths(model) for name, model in modules.items()})


def check_exported(recipe: Recipe, part: str, graph: Any) -> None:
    """Refuses globs no operator of a part's ONNX graph can satisfy, however it is rewritten.

    Rewriting names operators after those they replace, below the same module path.

    Args:
        recipe: its precision rules, sparsity and splits.
        part: name of the part.
        graph: `onnx.ModelProto` whose nodes are named ``<module path>/<Op>``.

    Raises:
        RecipeError: a glob matches nothing.
    """

    def paths() -> list[str]:
        inputs = [tensor.name for tensor in graph.graph.input]  # what turns an input round is named after it
        return [*(node.name.rpartition("/")[0] for node in graph.graph.node), *inputs]

    check_globs(recipe, {part: paths})


def _globs(settings: Part) -> list[tuple[str, str, str]]:
    """Where each glob stands, what it is, and itself."""
    rules = enumerate(settings.precision.rules)
    found = [(f"precision rule {index + 1}", "rule", rule.match) for index, rule in rules]
    if settings.compress.sparsity is not None:
        found.append(("compress.sparsity.match", "sparsity glob", settings.compress.sparsity.match))
    found += [("compress.principal", "split", split.match) for split in settings.compress.principal]
    found += [("compress.levels", "split", split.match) for split in settings.compress.levels]
    return found
