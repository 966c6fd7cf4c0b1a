"""A copy of a model to try things on: what happens to it, the model never feels."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from fastnn.layers import Layer
from fastnn.model import Sequential


def twin_of(model: Sequential, dtype: str | None = None) -> tuple[Sequential, list[Layer]]:
    """Copy a model, and list the copy's layers, those that layers hold within them included.

    Without `dtype` the copy shares the model's weights, and nothing that a pass forward or backward
    writes to; with it, weights and layers are of that type. Gradients start empty.
    """
    # What deepcopy finds in here it takes for copied already, wherever in the model it stands.
    kept = model.optimizer, model.history
    copies: dict[int, Any] = {id(part): part for part in kept}
    for weight in model.weights:
        copies[id(weight)] = weight if dtype is None else weight.astype(dtype, order="C")
    copies |= {id(layer.gradients): {} for layer in model.layers}
    twin = copy.deepcopy(model, copies)
    layers = [part for part in copies.values() if isinstance(part, Layer)]
    if dtype is not None:
        for layer in layers:
            if layer.dtype is not None:
                layer.dtype = np.dtype(dtype).name
    return twin, layers
