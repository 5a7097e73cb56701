"""Compresses, measures and ships models that `converters` re-states as TFLite."""

__version__ = "0.1.0"
