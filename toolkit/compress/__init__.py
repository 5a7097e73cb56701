"""Changes a model's numbers on purpose: exact equalisation, calibrated ranges, quantisation-aware fine-tuning, sparsity."""
