"""Latency of a graph on a device nobody has at hand: estimated, never measured, and always said so."""
