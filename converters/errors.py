"""Errors of the conversion floor.

    ToolError(code, where, hint)
    └── ConversionError          a hop could not re-state the model
        ├── UnsupportedOp        an operator has no faithful translation
        ├── ShapeNotStatic       an axis stayed symbolic after binding
        ├── InputError           a file, checkpoint or declared input is unusable
        ├── ParityError          two representations of the model disagree
        ├── ForeignToolFailed    onnx2tf, TensorFlow … raised
        └── ExtraMissing         an optional package is not installed

Every error a user can meet carries a stable ``code`` (``toolkit explain CODE`` prints its long text), the place
(``where``) and what to do (``hint``).
"""

from __future__ import annotations


class ToolError(Exception):
    """An error a user can act on.

    Attributes:
        code: stable identifier, ``area/what-happened``.
        message: what happened, with the value that was found.
        where: file, layer or field it happened in; empty when it has no place.
        hint: what to do about it; empty only when nothing can be done.
        part: part of the model it happened in; empty where that is not known.
    """

    code = "internal/unclassified"
    part = ""

    def __init__(self, message: str, *, code: str | None = None, where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.code = code or type(self).code
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        lines = [f"error[{self.code}]: {self.message}"]
        if self.where:
            lines.append(f"  in  {self.where}")
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


class ConversionError(ToolError):
    """A hop could not re-state the model."""

    code = "convert/failed"


class UnsupportedOp(ConversionError):
    """An operator has no faithful translation; ``where`` names the torch layer."""

    code = "convert/unsupported-op"


class ShapeNotStatic(ConversionError):
    """An axis stayed symbolic after the declared shapes were bound."""

    code = "convert/shape-not-static"


class InputError(ConversionError):
    """A file, checkpoint or declared input is missing, damaged, foreign or of the wrong shape."""

    code = "input/unusable"


class ParityError(ConversionError):
    """Two representations of the model disagree; ``where`` names the first diverging operator by its torch name."""

    code = "convert/parity"


class ForeignToolFailed(ConversionError):
    """A third-party converter raised; the message carries the tool, its version and its last lines."""

    code = "convert/foreign-tool-failed"


class ExtraMissing(ConversionError):
    """An optional package is not installed; ``hint`` is the command that installs it."""

    code = "environment/extra-missing"
