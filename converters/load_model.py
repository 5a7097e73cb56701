"""Opens any PyTorch model: a factory, a TorchScript file, a `torch.export` archive, or an ONNX file.

Files are untrusted input. TorchScript goes through `torch.jit.load`, archives through `torch.export.load`; pickles are
never read, so a checkpoint made with `torch.save(model)` is refused with the way out. A factory is the user's own code.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import struct
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters import frameworks
from converters.errors import InputError, ShapeNotStatic
from converters.load_onnx import load_onnx
from converters.load_program import load_program
from converters.spec import PartSpec, TensorSpec
from converters.torch_to_onnx import outputs_of

_FACTORY = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")
_SCRIPT_SUFFIXES = frozenset({".pt", ".pth", ".ts", ".jit", ".torchscript"})
_DTYPES = {"torch.float32": "float32", "torch.int32": "int32", "torch.int64": "int32"}
_KINDS = "package.module:factory, a TorchScript file (.pt), a torch.export archive (.pt2) or an .onnx file"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model and its static interface.

    Attributes:
        model: `nn.Module`, `ScriptModule`, `ExportedProgram` or `onnx.ModelProto`.
        spec: what goes in and comes out.
        origin: ``factory``, ``TorchScript file``, ``torch.export file`` or ``ONNX file``.
    """

    model: Any
    spec: PartSpec
    origin: str


def load_model(text: str, inputs: tuple[TensorSpec, ...] = ()) -> LoadedModel:
    """Opens the model ``text`` names.

    Args:
        text: ``package.module:factory`` or a path.
        inputs: declared inputs, in the order of ``forward``. May be empty for .pt2 and for .onnx with static shapes.

    Raises:
        InputError: there is no such model, it is damaged, or the declared inputs do not fit.
        ShapeNotStatic: an input shape is neither declared nor static in the file.
        UnsupportedOp: an ONNX operator has no faithful translation.
    """
    _check_declaration(inputs)
    path = Path(text)
    if path.is_file():
        return _from_file(path, inputs)
    if _FACTORY.match(text):
        module = _from_factory(text)
        return _with_outputs(module, text.rpartition(":")[2].rpartition(".")[2], inputs, "factory")
    raise InputError(f"no model {text!r}", where=text, hint=f"give {_KINDS}")


def _check_declaration(inputs: tuple[TensorSpec, ...]) -> None:
    names = [t.name for t in inputs]
    for tensor in inputs:
        if names.count(tensor.name) > 1:
            raise InputError(f"input {tensor.name!r} is declared twice")
        if tensor.dtype not in ("float32", "int32"):
            raise InputError(f"input {tensor.name!r} is declared {tensor.dtype}", hint="use float32 or int32")
        if any(size < 1 for size in tensor.shape):
            raise InputError(f"input {tensor.name!r} has shape {tensor.shape}", hint="every size is at least 1")


def _from_file(path: Path, inputs: tuple[TensorSpec, ...]) -> LoadedModel:
    if path.suffix == ".onnx":
        model, spec = load_onnx(path, inputs)
        return LoadedModel(model=model, spec=spec, origin="ONNX file")
    if path.suffix == ".pt2":
        program = load_program(path)
        return _with_outputs(program, path.stem, _program_inputs(program, inputs, path), "torch.export file")
    if path.suffix in _SCRIPT_SUFFIXES:
        return _with_outputs(_load_script(path), path.stem, inputs, "TorchScript file")
    raise InputError(f"unknown kind of model file {path.suffix!r}", where=str(path), hint=f"give {_KINDS}")


def _load_script(path: Path) -> Any:
    torch = frameworks.torch()
    hint = "save it with torch.jit.trace(model.eval(), example_inputs).save(path), or give package.module:factory"
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise InputError(f"not a TorchScript archive: {error}", where=str(path), hint=hint) from error
    if not any(name.endswith("/constants.pkl") for name in names):
        what = (
            "a torch.save checkpoint" if any(n.endswith("/data.pkl") for n in names) else "an archive of another kind"
        )
        raise InputError(f"{what}, not a TorchScript file", where=str(path), hint=hint)
    try:
        return torch.jit.load(path, map_location="cpu").eval()
    except Exception as error:  # damaged archives raise whatever their first broken record leads to
        raise InputError(
            f"TorchScript file cannot be read: {_first_line(error)}", where=str(path), hint=hint
        ) from error


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]


@contextlib.contextmanager
def _working_directory_first() -> Iterator[None]:
    """Factories may live beside the user, as with ``python -m``."""
    added = str(Path.cwd())
    sys.path.insert(0, added)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(added)


def _from_factory(text: str) -> Any:
    torch = frameworks.torch()
    module_name, _, attribute = text.partition(":")
    with _working_directory_first():
        try:
            found: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            raise InputError(
                f"no module {error.name!r}", where=text, hint="install it, or run from the directory it lies in"
            ) from error
        except Exception as error:
            raise InputError(f"importing {module_name} failed: {error!r}", where=text) from error
        for name in attribute.split("."):
            if not hasattr(found, name):
                raise InputError(f"{module_name} has no {attribute!r}", where=text)
            found = getattr(found, name)
        if isinstance(found, torch.nn.Module):
            return found
        if not callable(found):
            raise InputError(f"{text} is {type(found).__name__}, neither a module nor a factory", where=text)
        try:
            module = found()
        except Exception as error:
            raise InputError(
                f"{text}() failed: {error!r}", where=text, hint="the factory is called without arguments"
            ) from error
    if not isinstance(module, torch.nn.Module):
        raise InputError(f"{text}() returned {type(module).__name__}, not an nn.Module", where=text)
    return module


def _program_inputs(program: Any, inputs: tuple[TensorSpec, ...], path: Path) -> tuple[TensorSpec, ...]:
    """Inputs as the program was exported with; a declaration may name them and has to agree."""
    names = program.graph_signature.user_inputs
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    found = []
    for name in names:
        value = values[name]
        dtype = _DTYPES.get(str(value.dtype))
        if dtype is None:
            raise InputError(f"input {name!r} is {value.dtype}", where=str(path), hint="inputs are float32 or integers")
        found.append(TensorSpec(name=name, shape=tuple(int(s) for s in value.shape), dtype=dtype))
    if not inputs:
        return tuple(found)
    declared = [(t.shape, t.dtype) for t in inputs]
    exported = [(t.shape, t.dtype) for t in found]
    if declared != exported:
        raise InputError(
            f"declared are {declared}, the program was exported for {exported}",
            where=str(path),
            hint="declare the same shapes, or export the program again",
        )
    return inputs


def _with_outputs(model: Any, name: str, inputs: tuple[TensorSpec, ...], origin: str) -> LoadedModel:
    if not inputs:
        raise ShapeNotStatic(
            "no inputs are declared", where=name, hint="declare them in forward() order, e.g. --input mel:1x80x200"
        )
    spec = PartSpec(name=name, inputs=inputs, outputs=outputs_of(model, inputs))
    return LoadedModel(model=model, spec=spec, origin=origin)
