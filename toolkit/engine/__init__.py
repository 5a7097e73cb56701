"""Speaks with a converted GPT-SoVITS bundle: numpy around the LiteRT interpreter, as a phone app would do it."""
