"""An ONNX graph that waits on disk until it is asked for: its weights are in memory only while they are needed."""

from __future__ import annotations

import tempfile
from typing import Any

from converters import frameworks
from converters.memory import LARGE_MODEL_BYTES
from converters.onnx_graph.run import without_initializers
from converters.onnx_graph.weights_size import weights_bytes
from converters.temporary_room import no_room


class StoredModel:
    """A graph of any size; only a large one leaves memory.

    Its constants are written and read one by one: as a whole, protobuf needs three times their size for it.

    Args:
        model: ``onnx.ModelProto``. One that leaves memory does so when the caller lets go of it.
        leave: false keeps it in memory whatever its size, for a graph that somebody else holds anyway.

    Attributes:
        size_bytes: of its constants.

    Raises:
        InputError: there is no room on the disk for temporary files.
    """

    def __init__(self, model: Any, *, leave: bool = True) -> None:
        self.size_bytes = weights_bytes(model)
        self._kept = None if leave and self.size_bytes >= LARGE_MODEL_BYTES else model
        if self._kept is not None:
            return
        # Without a name from the start: it goes with this object, or with the process, whatever ends it.
        self._file = tempfile.TemporaryFile(prefix="onnx-")  # noqa: SIM115
        self._sizes: list[int] = []
        try:
            for message in (without_initializers(model), *model.graph.initializer):
                self._sizes.append(self._file.write(message.SerializeToString(deterministic=True)))
            self._file.flush()
        except OSError as error:
            self._file.close()
            raise no_room(f"a graph of {self.size_bytes:,} bytes has", error) from error

    def load(self) -> Any:
        """The graph; read anew each time when it is on disk."""
        if self._kept is not None:
            return self._kept
        self._file.seek(0)
        model = frameworks.onnx().ModelProto.FromString(self._file.read(self._sizes[0]))
        for size in self._sizes[1:]:
            model.graph.initializer.add().ParseFromString(self._file.read(size))
        return model
