"""The sections of the page, each built from a result and nothing else."""
