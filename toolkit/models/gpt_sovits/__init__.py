"""GPT-SoVITS: checkpoints, torch modules and the graphs a phone runs."""
