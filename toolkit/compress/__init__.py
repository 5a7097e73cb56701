"""Changes a model's numbers on purpose: exact equalisation, ranges, quantisation-aware fine-tuning, sparsity."""
