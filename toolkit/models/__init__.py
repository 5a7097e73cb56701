"""Models the toolkit knows by name: VITS voices (Piper) and small random stand-ins of the same classes."""
