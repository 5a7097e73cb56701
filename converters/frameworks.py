"""Lazy access to the heavy frameworks, with the environment they need set before they load."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from converters.errors import ExtraMissing

# Must be set before TensorFlow is imported anywhere in the process: TF-MOT works on Keras 2 only.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# oneDNN reorders float sums depending on the thread count; without it the same recipe gives the same bytes.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

_PIP = "pip install --no-deps --require-hashes -r requirements.lock"


def load(name: str) -> ModuleType:
    """Imports a framework by name.

    Raises:
        ExtraMissing: the package is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
        raise ExtraMissing(f"package {name!r} is not installed", hint=f"run: {_PIP}") from error


def torch() -> ModuleType:
    """PyTorch."""
    return load("torch")


def onnx() -> ModuleType:
    """ONNX."""
    return load("onnx")


def onnxruntime() -> ModuleType:
    """ONNX Runtime."""
    return load("onnxruntime")


def tensorflow() -> ModuleType:
    """TensorFlow, on Keras 2."""
    return load("tensorflow")


def tf_keras() -> ModuleType:
    """Keras 2."""
    return load("tf_keras")


def tfmot() -> ModuleType:
    """TensorFlow Model Optimization."""
    return load("tensorflow_model_optimization")
