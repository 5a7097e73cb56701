"""Finds the Keras layer, hence the torch module, a tensor of a TFLite file stems from.

TensorFlow names a tensor after the scope of the operation that computed it, ``<model>/<layer>/<operation>``; where it
merged several into one operator it joins their names with semicolons, the last computed first or last by version.
"""

from __future__ import annotations

from collections.abc import Collection


def layers_of(tensor_name: str, layers: Collection[str]) -> list[str]:
    """Every layer named in ``tensor_name``, in the order they stand there."""
    found: list[str] = []
    for part in tensor_name.split(";"):
        pieces = part.split("/")
        best = ""
        for start in range(len(pieces)):
            for end in range(len(pieces), start, -1):
                candidate = "/".join(pieces[start:end])
                if candidate in layers and len(candidate) > len(best):
                    best = candidate
        if best and best not in found:
            found.append(best)
    return found


def layer_of(tensor_name: str, layers: Collection[str]) -> str | None:
    """The layer whose output the tensor is, ``None`` when none is named.

    Among several merged ones this is the one whose name comes first: TensorFlow puts the operation that gives the
    value in front.
    """
    found = layers_of(tensor_name, layers)
    return found[0] if found else None
