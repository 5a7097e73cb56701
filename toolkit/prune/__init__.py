"""Structured pruning in torch: whole channels and heads go, and what remains is an ordinary smaller checkpoint."""
