"""Where a plan's arrays lie."""

import numpy as np
import pytest

import fastnn as fn
from fastnn.layers import Dense
from fastnn.memory import Memory, Parameters


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_memory(dtype):
    memory = Memory(dtype)
    for columns in (1, 15, 16, 17, 512, 1024):
        matrix = memory.matrix(3, columns)
        assert matrix.shape == (3, memory.width(columns)) and not matrix.any()
        assert matrix.ctypes.data % 64 == matrix.strides[0] % 64 == 0
        assert matrix.strides[0] % 2048 != 0


def test_parameters_move_the_weights():
    layers = [Dense(17), Dense(3, use_bias=False)]
    fn.Sequential(layers).build(5)
    before = [layer.weights["kernel"].copy() for layer in layers]
    parameters = Parameters(layers)
    assert parameters.serve(layers) and not parameters.serve(layers[:1])
    for layer, kernel in zip(layers, before, strict=True):
        assert np.array_equal(layer.weights["kernel"], kernel)
        assert np.shares_memory(layer.weights["kernel"], parameters.buffer)
    assert parameters.padded(layers[1], "bias") is None
    assert parameters.padded(layers[0], "kernel").shape == (5, 32)
    velocity = parameters.slot("velocity", 0.25)[layers[1], "kernel"]
    assert velocity.shape == (17, 3) and (velocity == 0.25).all()
    assert parameters.slot("velocity", 0)[layers[1], "kernel"] is velocity
    layers[0].bind("bias", np.zeros(17, np.float32))
    assert not parameters.serve(layers)
