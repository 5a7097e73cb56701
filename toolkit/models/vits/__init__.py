"""The VITS parts in PyTorch (text encoder, flow, generator) and the host code that runs between them."""
