"""Trains a small text-to-semantic model from nothing but packaged parts, so that there is something to compress."""
