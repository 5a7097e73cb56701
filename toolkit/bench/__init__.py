"""Measures latency and memory, and says when a measurement may not be quoted."""
