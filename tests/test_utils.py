"""One-hot rows of labels."""

import numpy as np
import pytest

import fastnn as fn
from fastnn.utils import to_categorical


def test_by_hand():
    rows = to_categorical([0, 2, 1])
    assert rows.tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]] and rows.dtype == np.float64
    assert to_categorical([[1], [0]], 2).tolist() == [[0, 1], [1, 0]]
    assert to_categorical([[1, 0]], num_classes=4).shape == (1, 2, 4)
    assert to_categorical(np.array([1.0, 0.0]), 3).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert to_categorical(2).tolist() == [0, 0, 1]
    assert fn.utils.set_random_seed is fn.set_random_seed


@pytest.mark.parametrize(
    "x, classes, message",
    [
        ([0, 3], 3, "x: expected labels in [0, 3), got 3 at row 1"),
        ([0, -1], None, "x: expected labels in [0, 2**63), got -1 at row 1"),
        ([0.5], 3, "x: expected labels in [0, 3), got 0.5 at row 0"),
        ([], None, "x: expected at least one element, got none (shape (0,))"),
        ([0], 0, "num_classes: expected a positive integer, got 0"),
    ],
)
def test_errors(x, classes, message):
    with pytest.raises(ValueError) as error:
        to_categorical(x, classes)
    assert str(error.value) == message
