"""What Keras has in a module of this name, for scripts that look for it there."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _validate as check
from fastnn._random import set_random_seed

__all__ = ["set_random_seed", "to_categorical"]


def to_categorical(x: ArrayLike, num_classes: int | None = None) -> np.ndarray:
    """Make one-hot rows of class labels.

    Losses and metrics named ``Sparse…`` take the labels as they are.

    Parameters
    ----------
    x : array_like
        Labels of at least 0, of any shape; an axis of length 1 at the end of several is dropped.
    num_classes : int, optional
        By default the highest label + 1.

    Returns
    -------
    ndarray of shape (..., num_classes), float64

    Raises
    ------
    TypeError, ValueError
        If a label is not whole, or not in [0, num_classes).
    """
    x = check.as_numbers(x, "x")
    shape = x.shape[:-1] if x.ndim > 1 and x.shape[-1] == 1 else x.shape
    if num_classes is not None:
        num_classes = check.positive_int(num_classes, "num_classes")
    labels = check.as_labels(x.reshape(-1), "x", x.size, num_classes)
    found = np.zeros((labels.size, labels.max() + 1 if num_classes is None else num_classes))
    found[np.arange(labels.size), labels] = 1
    return found.reshape(*shape, -1)
