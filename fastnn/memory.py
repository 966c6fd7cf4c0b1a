"""Where a plan's arrays lie: rows padded to whole vectors, and all weights in one buffer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.layers import Layer

# Rows this many bytes apart (or a multiple) would share cache sets: they get one vector more.
ALIASED_ROWS = 2048


class Memory:
    """Zeroed arrays, 64-byte aligned, whose rows are padded to whole vectors.

    Parameters
    ----------
    dtype : dtype
        float32 or float64.
    """

    def __init__(self, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)
        self.lanes = 64 // self.dtype.itemsize

    def width(self, columns: int) -> int:
        """`columns`, rounded up to whole vectors."""
        return -(-columns // self.lanes) * self.lanes

    def row_length(self, columns: int) -> int:
        """The distance between rows of that many columns, in numbers."""
        width = self.width(columns)
        return width + self.lanes * (width * self.dtype.itemsize % ALIASED_ROWS == 0)

    def flat(self, size: int) -> np.ndarray:
        """(size,) zeros."""
        item = self.dtype.itemsize
        raw = np.zeros(size * item + 64, np.uint8)
        start = -raw.ctypes.data % 64
        return raw[start : start + size * item].view(self.dtype)

    def matrix(self, rows: int, columns: int) -> np.ndarray:
        """(rows, width(columns)) zeros."""
        length = self.row_length(columns)
        return self.flat(rows * length).reshape(rows, length)[:, : self.width(columns)]


Place = tuple[Layer, str]  # which weight: its layer and its name there


class Parameters:
    """The weights of layers in one flat, padded buffer, and buffers of the same shape.

    Every layer's ``weights`` become views into the buffer.

    Parameters
    ----------
    layers : sequence of Layer
        Built, with weights, and all of one dtype.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = list(layers)
        self.memory = Memory(self.layers[0].dtype)
        self.size = 0
        self._places: dict[Place, tuple[int, tuple[int, ...], int]] = {}
        for layer in self.layers:
            for name, weight in layer.weights.items():
                length = self.memory.row_length(weight.shape[-1])
                self._places[layer, name] = self.size, weight.shape, length
                self.size += length * (weight.shape[0] if weight.ndim == 2 else 1)
        self.buffer = self.memory.flat(self.size)
        self._slots: dict[str, tuple[np.ndarray, dict[Place, np.ndarray]]] = {}
        self._views = self._views_of(self.buffer)
        for (layer, name), view in self._views.items():
            layer.bind(name, view)

    def serve(self, layers: Sequence[Layer]) -> bool:
        """Whether these layers are the ones, and still use this buffer."""
        return self.layers == layers and all(
            layer.weights.get(name) is view for (layer, name), view in self._views.items()
        )

    def slot(self, name: str, initial: float) -> dict[Place, np.ndarray]:
        """The views of an optimizer's slot, in a buffer of the same shape, made at first."""
        if name not in self._slots:
            buffer = self.memory.flat(self.size)
            # The padding too has a value that an update can go on with.
            buffer[:] = initial
            self._slots[name] = buffer, self._views_of(buffer)
        return self._slots[name][1]

    def padded(self, layer: Layer, name: str, slot: str | None = None) -> np.ndarray | None:
        """A weight, or its slot, with its padding; None if the layer has no such weight."""
        if (layer, name) not in self._places:
            return None
        return self._padded(self.buffer if slot is None else self._slots[slot][0], (layer, name))

    def _padded(self, buffer: np.ndarray, place: Place) -> np.ndarray:
        start, shape, length = self._places[place]
        rows = shape[0] if len(shape) == 2 else 1
        whole = buffer[start : start + rows * length].reshape(rows, length)
        whole = whole[:, : self.memory.width(shape[-1])]
        return whole if len(shape) == 2 else whole[0]

    def _views_of(self, buffer: np.ndarray) -> dict[Place, np.ndarray]:
        return {
            place: self._padded(buffer, place)[..., : shape[-1]]
            for place, (_, shape, _) in self._places.items()
        }
