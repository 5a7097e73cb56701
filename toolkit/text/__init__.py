"""Text to the phone ids GPT-SoVITS was trained on."""
