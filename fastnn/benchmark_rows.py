"""What `fastnn bench` measures: each row is one kernel, or a training step, at one size.

A row has a side for every implementation that can do its work: "fastnn", and "numpy" in the
fastest writing that we know (ufuncs and products into buffers made beforehand, nothing allocated).
A step with a further part has the side "plain": fastnn's step without it.
A further peer is a further key in `Row.sides`, and a `Contestant` in `fastnn.benchmark`.

Sizes are read "n x k x m": (n, k) times (k, m).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, repeat
from typing import Any, NamedTuple

import numpy as np

from fastnn import kernels, layers, losses, optimizers, reference
from fastnn.model import Sequential

Array = np.ndarray


class Job(NamedTuple):
    """A side's work on a row: what is timed, and what is verified before."""

    call: Callable[[], Any]  # timed
    check: Callable[[], Any]  # run once, on fresh inputs, before; returns the output or outputs
    steps: int = 1  # training steps in one call: times are given per step


class Expected(NamedTuple):
    """An output as float64 has it, and how far from it a result may be."""

    value: Array
    tolerance: Array | float


@dataclass(frozen=True)
class Row:
    """One line of the benchmark."""

    name: str
    group: str
    inputs: Callable[[], Sequence[Array]]  # new arrays at every call, the same in every process
    sides: Mapping[str, Callable[..., Job]]  # takes the inputs, and may overwrite them
    expected: Callable[..., list[Expected]]  # takes the inputs as float64; one for each output
    dtype: str = "float32"
    flops: float = 0.0  # of one call or step; 0 where a rate of them says little
    products: bool = False  # whether NumPy calls its BLAS here
    quick: bool = False  # part of the short benchmark
    full: bool = False  # only part of the long one

    def job(self, side: str) -> Job:
        """Return the work of a side, on fresh inputs."""
        return self.sides[side](*self.inputs())

    def reference(self) -> list[Expected]:
        """Return what each output should be."""
        return self.expected(*(x.astype("f8") if x.dtype.kind == "f" else x for x in self.inputs()))


_SIZES = (1_000, 10_000, 100_000)


def rows() -> list[Row]:
    """Return every row, in the order of the table."""
    return [
        _matmul(32, 64, 32, quick=True),
        _matmul(32, 784, 128),
        _matmul(128, 784, 256, quick=True),
        _matmul(256, 512, 512, quick=True),
        *(_matmul(256, 256, 256, a, b) for a in (False, True) for b in (False, True)),
        *(_matmul(1024, 1024, 1024, a, b) for a in (False, True) for b in (False, True)),
        _matmul(128, 784, 256, dtype="float64"),
        _matmul(256, 512, 512, dtype="float64"),
        _dense_forward(32, 64, 32),
        _dense_forward(32, 784, 128),
        _dense_forward(128, 784, 256, quick=True),
        _dense_forward(256, 512, 512),
        _dense_forward(1024, 1024, 1024),
        _dense_forward(256, 512, 512, dtype="float64"),
        _dense_backward(32, 64, 32),
        _dense_backward(32, 784, 128),
        _dense_backward(128, 784, 256, quick=True),
        _dense_backward(256, 512, 512),
        *(_elementwise(name, size) for name in _ELEMENTWISE for size in _SIZES),
        *(_softmax(size // _CLASSES) for size in _SIZES),
        *(_crossentropy(size // _CLASSES) for size in _SIZES),
        *(_update(name, size) for name in _UPDATES for size in _SIZES),
        _step("T", (64, 32, 10), 32, steps=256, epochs=8, quick=True),
        _step("S", (784, 128, 10), 32, steps=64, epochs=4, quick=True),
        _step("M", (784, 256, 128, 10), 128, steps=64, epochs=1),
        *(_part(name, "M", (784, 256, 128, 10), 128, steps=32) for name in _PARTS),
        _step("L", (784, 1024, 1024, 10), 256, steps=16, epochs=1, full=True),
        _part("Adam", "L", (784, 1024, 1024, 10), 256, steps=8, full=True),
        _step("X", (1024, 2048, 2048, 2048, 10), 512, steps=4, epochs=1, full=True),
        _part("Adam", "X", (1024, 2048, 2048, 2048, 10), 512, steps=4, full=True),
    ]


def _job(call: Callable[[], Any]) -> Job:
    """Return the job whose timed call is also what is verified."""
    return Job(call, call)


def _fastest(*writings: Callable[[], Any]) -> Job:
    """Return the job of the writing that is fastest on this machine."""

    def seconds(call: Callable[[], Any]) -> float:
        start = time.perf_counter()
        for _ in repeat(None, 20):
            call()
        return time.perf_counter() - start

    return _job(min(writings, key=lambda call: min(seconds(call) for _ in range(5))))


def _uniform(*shapes: tuple[int, ...], dtype: str, low: float = -1, high: float = 1) -> list[Array]:
    generator = np.random.default_rng(0)
    return [generator.uniform(low, high, shape).astype(dtype) for shape in shapes]


def _eps(dtype: str) -> float:
    return float(np.finfo(dtype).eps)


def _with_dtype(name: str, dtype: str) -> str:
    return name if dtype == "float32" else f"{name} {dtype}"


# ---- products --------------------------------------------------------------------------------


def _product_tolerance(length: int, magnitudes: Array, dtype: str) -> Array:
    """Bound the error of sums of `length` products whose absolute values add up to `magnitudes`.

    The worst case is ``length * eps * magnitudes`` (N. J. Higham, Accuracy and Stability of
    Numerical Algorithms, eq. 3.5); errors of either sign grow as the square root of the length.
    """
    return 2 * np.sqrt(length) * _eps(dtype) * magnitudes


def _matmul(
    n: int,
    k: int,
    m: int,
    transpose_a: bool = False,
    transpose_b: bool = False,
    dtype: str = "float32",
    quick: bool = False,
) -> Row:
    shapes = (k, n) if transpose_a else (n, k), (m, k) if transpose_b else (k, m)

    def fastnn_side(a: Array, b: Array) -> Job:
        out = np.empty((n, m), dtype)
        return _job(lambda: kernels.matmul(a, b, transpose_a, transpose_b, out=out))

    def numpy_side(a: Array, b: Array) -> Job:
        out = np.empty((n, m), dtype)
        left, right = a.T if transpose_a else a, b.T if transpose_b else b
        return _job(lambda: np.dot(left, right, out))

    def expected(a: Array, b: Array) -> list[Expected]:
        value = reference.matmul(a, b, transpose_a, transpose_b)
        magnitudes = reference.matmul(np.abs(a), np.abs(b), transpose_a, transpose_b)
        return [Expected(value, _product_tolerance(k, magnitudes, dtype))]

    return Row(
        _with_dtype(f"matmul {n}x{k}x{m}" + " a.T" * transpose_a + " b.T" * transpose_b, dtype),
        "product",
        lambda: _uniform(*shapes, dtype=dtype),
        {"fastnn": fastnn_side, "numpy": numpy_side},
        expected,
        dtype,
        flops=2.0 * n * k * m,
        products=True,
        quick=quick,
    )


def _dense_forward(n: int, k: int, m: int, dtype: str = "float32", quick: bool = False) -> Row:
    def fastnn_side(x: Array, kernel: Array, bias: Array) -> Job:
        out = np.empty((n, m), dtype)
        return _job(lambda: kernels.dense_forward(x, kernel, bias, "relu", out=out))

    def numpy_side(x: Array, kernel: Array, bias: Array) -> Job:
        out, zeros = np.empty((n, m), dtype), np.zeros((n, m), dtype)

        def call() -> Array:
            np.dot(x, kernel, out)
            np.add(out, bias, out)
            # With an array of zeros NumPy takes its SIMD loop; with a scalar it does not.
            return np.maximum(out, zeros, out=out)

        return _job(call)

    def expected(x: Array, kernel: Array, bias: Array) -> list[Expected]:
        value = reference.dense_forward(x, kernel, bias, "relu")
        magnitudes = np.abs(x) @ np.abs(kernel) + np.abs(bias)
        return [Expected(value, _product_tolerance(k + 1, magnitudes, dtype))]

    return Row(
        _with_dtype(f"dense_forward {n}x{k}x{m} relu", dtype),
        "product",
        lambda: _uniform((n, k), (k, m), (m,), dtype=dtype),
        {"fastnn": fastnn_side, "numpy": numpy_side},
        expected,
        dtype,
        flops=2.0 * n * k * m,
        products=True,
        quick=quick,
    )


def _dense_backward(n: int, k: int, m: int, quick: bool = False) -> Row:
    def inputs() -> list[Array]:
        x, kernel, z, dy = _uniform((n, k), (k, m), (n, m), (n, m), dtype="float32")
        return [x, kernel, np.maximum(z, 0), dy]

    def fastnn_side(x: Array, kernel: Array, y: Array, dy: Array) -> Job:
        return _job(lambda: kernels.dense_backward(x, kernel, y, dy, "relu"))

    def numpy_side(x: Array, kernel: Array, y: Array, dy: Array) -> Job:
        dx, dkernel, dbias = np.empty_like(x), np.empty_like(kernel), np.empty(m, x.dtype)
        dz, active = np.empty_like(dy), np.empty(dy.shape, np.bool_)
        zero, ones = np.zeros((), x.dtype), np.ones(n, x.dtype)

        def call() -> tuple[Array, ...]:
            np.greater(y, zero, active)
            np.multiply(dy, active, dz)
            np.dot(dz, kernel.T, dx)
            np.dot(x.T, dz, dkernel)
            np.dot(ones, dz, dbias)  # faster than np.add.reduce over the first axis
            return dx, dkernel, dbias

        return _job(call)

    def expected(x: Array, kernel: Array, y: Array, dy: Array) -> list[Expected]:
        values = reference.dense_backward(x, kernel, y, dy, "relu")
        magnitudes = reference.dense_backward(np.abs(x), np.abs(kernel), y, np.abs(dy), "relu")
        return [
            Expected(value, _product_tolerance(length, magnitude, "float32"))
            for value, length, magnitude in zip(values, (m, n, n), magnitudes, strict=True)
        ]

    return Row(
        f"dense_backward {n}x{k}x{m} relu",
        "product",
        inputs,
        {"fastnn": fastnn_side, "numpy": numpy_side},
        expected,
        flops=4.0 * n * k * m,
        products=True,
        quick=quick,
    )


# ---- elementwise functions -------------------------------------------------------------------


def _numpy_relu(x: Array) -> Job:
    out, zero, zeros = np.empty_like(x), np.zeros((), x.dtype), np.zeros_like(x)
    return _fastest(
        lambda: np.maximum(x, zeros, out=out),  # a SIMD loop, but one array more to read
        lambda: np.maximum(x, zero, out=out),
    )


def _numpy_sigmoid(x: Array) -> Job:
    out, one, half = np.empty_like(x), np.ones((), x.dtype), np.full((), 0.5, x.dtype)

    def by_exp() -> Array:  # 1 / (1 + exp(-x))
        np.negative(x, out)
        np.exp(out, out)
        np.add(out, one, out)
        return np.divide(one, out, out)

    def by_tanh() -> Array:  # (1 + tanh(x / 2)) / 2
        np.multiply(x, half, out)
        np.tanh(out, out)
        np.multiply(out, half, out)
        return np.add(out, half, out)

    return _fastest(by_exp, by_tanh)


def _numpy_ufunc(ufunc: np.ufunc) -> Callable[[Array], Job]:
    def numpy_side(x: Array) -> Job:
        out = np.empty_like(x)
        return _job(lambda: ufunc(x, out))

    return numpy_side


class _Elementwise(NamedTuple):
    numpy: Callable[[Array], Job]
    low: float  # of the inputs
    high: float
    relative: float  # tolerance, in eps of the value: twice NumPy's own worst error
    absolute: float = 0.0  # in eps


_ELEMENTWISE = {
    "relu": _Elementwise(_numpy_relu, -8, 8, 0),
    # The writing by tanh is accurate to eps of 1, not of a small value; a network needs no more.
    "sigmoid": _Elementwise(_numpy_sigmoid, -8, 8, 0, 4),
    "tanh": _Elementwise(_numpy_ufunc(np.tanh), -8, 8, 8),
    "exp": _Elementwise(_numpy_ufunc(np.exp), -8, 8, 8),
    "log": _Elementwise(_numpy_ufunc(np.log), 0.01, 8, 8),
}


def _elementwise(name: str, size: int) -> Row:
    function = _ELEMENTWISE[name]

    def fastnn_side(x: Array) -> Job:
        kernel, out = getattr(kernels, name), np.empty_like(x)
        return _job(lambda: kernel(x, out=out))

    def expected(x: Array) -> list[Expected]:
        value = getattr(reference, name)(x)
        tolerance = function.relative * np.abs(value) + function.absolute
        return [Expected(value, _eps("float32") * tolerance)]

    return Row(
        f"{name} {size}",
        "elementwise",
        lambda: _uniform((size,), dtype="float32", low=function.low, high=function.high),
        {"fastnn": fastnn_side, "numpy": function.numpy},
        expected,
        quick=size == 100_000,
    )


# ---- softmax and its loss --------------------------------------------------------------------

_CLASSES = 10
_SOFTMAX_EPS = 32  # tolerance in eps: x - max(x) is rounded at up to 16, and exp carries that over


def _logits(n: int) -> Array:
    return _uniform((n, _CLASSES), dtype="float32", low=-8, high=8)[0]


def _labels(n: int, classes: int) -> Array:
    return np.random.default_rng(1).integers(0, classes, n)


def _softmax(n: int) -> Row:
    def fastnn_side(x: Array) -> Job:
        out = np.empty_like(x)
        return _job(lambda: kernels.softmax(x, out=out))

    def numpy_side(x: Array) -> Job:
        # Along rows as short as these NumPy's reductions are slow: the largest is found down the
        # columns of a transposed copy, and the sum there too, or by a product with ones.
        columns, row = np.empty(x.T.shape, x.dtype), np.empty(n, x.dtype)
        largest, sums = np.empty((n, 1), x.dtype), np.empty_like(x)
        ones, out = np.ones((_CLASSES, _CLASSES), x.dtype), np.empty_like(x)

        def by_rows() -> Array:
            np.copyto(columns, x.T)
            np.maximum.reduce(columns, axis=0, out=largest[:, 0])
            np.subtract(x, largest, out)
            np.exp(out, out)
            np.dot(out, ones, sums)
            return np.divide(out, sums, out)

        def by_columns() -> Array:
            np.copyto(columns, x.T)
            np.maximum.reduce(columns, axis=0, out=row)
            np.subtract(columns, row, columns)
            np.exp(columns, columns)
            np.add.reduce(columns, axis=0, out=row)
            np.divide(columns, row, columns)
            np.copyto(out.T, columns)
            return out

        return _fastest(by_rows, by_columns)

    def expected(x: Array) -> list[Expected]:
        value = reference.softmax(x)
        return [Expected(value, _SOFTMAX_EPS * _eps("float32") * value)]

    return Row(
        f"softmax {n}x{_CLASSES}",
        "elementwise",
        lambda: [_logits(n)],
        {"fastnn": fastnn_side, "numpy": numpy_side},
        expected,
    )


def _numpy_crossentropy(
    logits: Array, row_losses: Array, gradient: Array, scale: float
) -> Callable[[Array], None]:
    """Return a function of labels that fills `row_losses`, and `gradient` times `scale`."""
    n, m = logits.shape
    columns, largest = np.empty((m, n), logits.dtype), np.empty((n, 1), logits.dtype)
    sums, spread = np.empty_like(logits), np.full((m, m), 1 / scale, logits.dtype)
    index, starts = np.empty(n, np.int64), np.arange(n) * m
    picked, flat = np.empty_like(row_losses), gradient.reshape(-1)
    factor = np.full((), scale, logits.dtype)

    def call(labels: Array) -> None:
        np.add(starts, labels, index)
        np.copyto(columns, logits.T)  # see _softmax
        np.maximum.reduce(columns, axis=0, out=largest[:, 0])
        np.subtract(logits, largest, gradient)
        flat.take(index, out=picked, mode="clip")  # the other modes make a copy of `out`
        np.exp(gradient, gradient)
        np.dot(gradient, spread, sums)  # in every column the sum of the row, over the scale
        np.multiply(sums[:, 0], factor, row_losses)
        np.log(row_losses, row_losses)
        np.subtract(row_losses, picked, row_losses)
        np.divide(gradient, sums, gradient)
        flat.take(index, out=picked, mode="clip")
        np.subtract(picked, factor, picked)
        flat[index] = picked

    return call


def _crossentropy(n: int) -> Row:
    def numpy_side(x: Array, labels: Array) -> Job:
        row_losses, gradient = np.empty(n, x.dtype), np.empty_like(x)
        compute = _numpy_crossentropy(x, row_losses, gradient, 1 / n)

        def call() -> tuple[Array, ...]:
            compute(labels)
            return row_losses, gradient

        return _job(call)

    def expected(x: Array, labels: Array) -> list[Expected]:
        values, gradient = reference.softmax_crossentropy(x, labels)
        tolerance = _SOFTMAX_EPS * _eps("float32")
        return [Expected(values, tolerance), Expected(gradient, tolerance / n)]

    return Row(
        f"softmax_crossentropy {n}x{_CLASSES}",
        "elementwise",
        lambda: [_logits(n), _labels(n, _CLASSES)],
        {
            "fastnn": lambda x, labels: _job(lambda: kernels.softmax_crossentropy(x, labels)),
            "numpy": numpy_side,
        },
        expected,
        quick=n == 10_000,
    )


# ---- updates ---------------------------------------------------------------------------------

_LEARNING_RATE = 1e-3
_MOMENTUM = 0.9
_EPSILON = 1e-7
_UPDATE_EPS = 4  # tolerance in eps: a few roundings of numbers below 2

Update = Callable[[], object]  # of its arrays, in place


def _numpy_sgd(w: Array, g: Array, slot: Array) -> Update:
    step, rate = np.empty_like(w), np.full((), _LEARNING_RATE, w.dtype)

    def call() -> None:
        np.multiply(g, rate, step)
        np.subtract(w, step, w)

    return call


def _numpy_momentum(w: Array, g: Array, velocity: Array) -> Update:
    step, rate = np.empty_like(w), np.full((), _LEARNING_RATE, w.dtype)
    momentum = np.full((), _MOMENTUM, w.dtype)

    def call() -> None:
        np.multiply(velocity, momentum, velocity)
        np.multiply(g, rate, step)
        np.subtract(velocity, step, velocity)
        np.add(w, velocity, w)

    return call


def _numpy_adagrad(w: Array, g: Array, accumulator: Array) -> Update:
    step, rate = np.empty_like(w), np.full((), _LEARNING_RATE, w.dtype)
    epsilon = np.full((), _EPSILON, w.dtype)

    def call() -> None:
        np.multiply(g, g, step)
        np.add(accumulator, step, accumulator)
        np.add(accumulator, epsilon, step)
        np.sqrt(step, step)
        np.divide(g, step, step)
        np.multiply(step, rate, step)
        np.subtract(w, step, w)

    return call


_UPDATES = {"sgd": _numpy_sgd, "momentum": _numpy_momentum, "adagrad": _numpy_adagrad}


def _by_name(module: Any, name: str, w: Array, g: Array, slot: Array) -> Update:
    """Return the update of this name in `kernels` or `reference`, on its arguments."""
    update = getattr(module, f"{name}_update")
    if name == "sgd":
        return lambda: update(w, g, _LEARNING_RATE)
    setting = {"momentum": _MOMENTUM, "adagrad": _EPSILON}[name]
    return lambda: update(w, g, slot, _LEARNING_RATE, setting)


def _update(name: str, size: int) -> Row:
    def inputs() -> list[Array]:
        w, g, slot = _uniform((size,), (size,), (size,), dtype="float32")
        return [w, g, np.abs(slot) + np.float32(0.1)]  # an accumulator is positive

    def side(update: Callable[..., Update]) -> Callable[..., Job]:
        def job(w: Array, g: Array, slot: Array) -> Job:
            call = update(w, g, slot)

            def check() -> tuple[Array, ...]:
                call()
                return w, slot

            return Job(call, check)

        return job

    def expected(w: Array, g: Array, slot: Array) -> list[Expected]:
        _by_name(reference, name, w, g, slot)()
        return [Expected(x, _UPDATE_EPS * _eps("float32")) for x in (w, slot)]

    return Row(
        f"{name} {size}",
        "update",
        inputs,
        {
            "fastnn": side(lambda *arrays: _by_name(kernels, name, *arrays)),
            "numpy": side(_UPDATES[name]),
        },
        expected,
        quick=size == 100_000,
    )


# ---- whole training steps --------------------------------------------------------------------

_CHECKED_STEPS = 2
_STEP_EPS = 4  # tolerance in eps, of the largest parameter of its array


def _network(units: tuple[int, ...], batch: int, steps: int) -> list[Array]:
    """Return random data, labels, and the parameters of a network: kernel, bias, kernel, ...

    Next to ReLU's kink a rounding error decides whether a unit passes its gradient. So that float32
    and float64 take the same branches, and the check can be strict, the biases keep every unit five
    standard deviations off the kink, half of them on each side.
    """
    n = batch * steps
    x, *weights = _uniform((n, units[0]), *pairwise(units), dtype="float32")
    parameters = []
    h = x[: batch * _CHECKED_STEPS].astype(np.float64)
    for kernel in weights:
        kernel *= np.float32(np.sqrt(3 / len(kernel)))  # variance 1 / inputs
        z = h @ kernel
        hidden = kernel is not weights[-1]
        off = np.where(np.arange(z.shape[1]) % 2, 5, -5) * z.std(axis=0) * hidden
        bias = (off - z.mean(axis=0)).astype(np.float32)
        h = np.maximum(z + bias, 0)
        parameters += [kernel, bias]
    return [x, _labels(n, units[-1]), *parameters]


class _NumpyNetwork:
    """A network with ReLU in between, trained in place by plain NumPy: no array is ever made."""

    def __init__(self, batch: int, parameters: Sequence[Array]) -> None:
        # One flat buffer for all parameters, and one for their gradients: four calls update all.
        self.flat = np.concatenate([p.reshape(-1) for p in parameters])
        self.velocity, self.gradient = np.zeros_like(self.flat), np.empty_like(self.flat)
        ends = np.cumsum([p.size for p in parameters])[:-1]
        self.parameters, gradients = (
            [v.reshape(p.shape) for v, p in zip(np.split(flat, ends), parameters, strict=True)]
            for flat in (self.flat, self.gradient)
        )
        self.kernels, self.biases = self.parameters[::2], self.parameters[1::2]
        self.dkernels, self.dbiases = gradients[::2], gradients[1::2]
        self.x = np.empty((batch, len(self.kernels[0])), np.float32)
        self.labels = np.empty(batch, np.int64)
        shapes = [(batch, len(bias)) for bias in self.biases]
        self.y, self.dy, self.zeros = ([np.zeros(s, np.float32) for s in shapes] for _ in range(3))
        self.active = [np.empty(shape, np.bool_) for shape in shapes]
        self.losses, self.total = np.empty(batch, np.float32), np.zeros(batch, np.float32)
        self.ones, self.zero = np.ones(batch, np.float32), np.zeros((), np.float32)
        self.momentum = np.full((), _MOMENTUM, np.float32)
        # The gradient is linear in the loss: scaled by the learning rate here, it is so everywhere.
        scale = _LEARNING_RATE / batch
        self.loss = _numpy_crossentropy(self.y[-1], self.losses, self.dy[-1], scale)

    def step(self, x: Array, labels: Array, rows: Array) -> None:
        """Train on some rows, and add their losses to `total`."""
        x.take(rows, axis=0, out=self.x, mode="clip")
        labels.take(rows, out=self.labels, mode="clip")
        inputs = [self.x, *self.y[:-1]]
        last = len(inputs) - 1
        for i, h in enumerate(inputs):
            y = self.y[i]
            np.dot(h, self.kernels[i], y)
            np.add(y, self.biases[i], y)
            if i < last:
                np.maximum(y, self.zeros[i], out=y)
        self.loss(self.labels)
        np.add(self.total, self.losses, self.total)
        for i in range(last, -1, -1):
            dy = self.dy[i]
            if i < last:
                np.greater(self.y[i], self.zero, self.active[i])
                np.multiply(dy, self.active[i], dy)
            np.dot(inputs[i].T, dy, self.dkernels[i])
            np.dot(self.ones, dy, self.dbiases[i])
            if i:
                np.dot(dy, self.kernels[i].T, self.dy[i - 1])
        np.multiply(self.velocity, self.momentum, self.velocity)
        np.subtract(self.velocity, self.gradient, self.velocity)
        np.add(self.flat, self.velocity, self.flat)

    def epoch(self, x: Array, labels: Array, order: Array) -> float:
        """Train on all rows of `order`; return the mean of their losses."""
        self.total[:] = 0
        batch = len(self.x)
        for start in range(0, len(order), batch):
            self.step(x, labels, order[start : start + batch])
        return float(self.total.sum()) / len(order)


def _reference_step(
    parameters: Sequence[Array], velocities: Sequence[Array], x: Array, labels: Array
) -> float:
    """Train on a batch in place, by the reference kernels; return the loss."""
    outputs = [x]
    activations = ["relu"] * (len(parameters) // 2 - 1) + ["linear"]
    for i, activation in enumerate(activations):
        kernel, bias = parameters[2 * i : 2 * i + 2]
        outputs.append(reference.dense_forward(outputs[-1], kernel, bias, activation))
    row_losses, dy = reference.softmax_crossentropy(outputs[-1], labels)
    gradients: list[Array] = []
    for i, activation in reversed(list(enumerate(activations))):
        dy, dkernel, dbias = reference.dense_backward(
            outputs[i], parameters[2 * i], outputs[i + 1], dy, activation
        )
        gradients[:0] = [dkernel, dbias]
    for w, g, velocity in zip(parameters, gradients, velocities, strict=True):
        reference.momentum_update(w, g, velocity, _LEARNING_RATE, _MOMENTUM)
    return float(row_losses.mean())


def _step(
    letter: str,
    units: tuple[int, ...],
    batch: int,
    steps: int,
    epochs: int,
    quick: bool = False,
    full: bool = False,
) -> Row:
    """Return the row of a network: a call fits it for some `epochs` of some `steps`."""
    checked = batch * _CHECKED_STEPS

    def fastnn_side(x: Array, labels: Array, *parameters: Array) -> Job:
        hidden = [layers.Dense(m, activation="relu") for m in units[1:-1]]
        model = Sequential([layers.Input((units[0],)), *hidden, layers.Dense(units[-1])])
        model.compile(
            optimizer=optimizers.SGD(learning_rate=_LEARNING_RATE, momentum=_MOMENTUM),
            loss=losses.SparseCategoricalCrossentropy(from_logits=True),
        )

        def check() -> tuple[Array, ...]:
            model.set_weights(list(parameters))
            history = model.fit(
                x[:checked], labels[:checked], batch_size=batch, shuffle=False, verbose=0
            )
            return *model.get_weights(), np.array(history.history["loss"])

        def call() -> None:
            model.fit(x, labels, batch_size=batch, epochs=epochs, verbose=0)

        return Job(call, check, steps * epochs)

    def numpy_side(x: Array, labels: Array, *parameters: Array) -> Job:
        network, generator = _NumpyNetwork(batch, parameters), np.random.default_rng(2)

        def check() -> tuple[Array, ...]:
            loss = network.epoch(x, labels, np.arange(checked))
            return *network.parameters, np.array([loss])

        def call() -> None:
            for _ in range(epochs):
                network.epoch(x, labels, generator.permutation(len(x)))

        return Job(call, check, steps * epochs)

    def expected(x: Array, labels: Array, *parameters: Array) -> list[Expected]:
        velocities = [np.zeros_like(p) for p in parameters]
        batches = [slice(start, start + batch) for start in range(0, checked, batch)]
        loss = np.mean([_reference_step(parameters, velocities, x[b], labels[b]) for b in batches])
        values = [*parameters, np.array([loss])]
        return [Expected(v, _STEP_EPS * _eps("float32") * np.abs(v).max()) for v in values]

    products = [2.0 * batch * k * m for k, m in pairwise(units)]
    return Row(
        f"step {letter} {'-'.join(map(str, units))} batch {batch}",
        "step",
        lambda: _network(units, batch, steps),
        {"fastnn": fastnn_side, "numpy": numpy_side},
        expected,
        flops=3 * sum(products) - products[0],  # the first layer needs no gradient of its input
        products=True,
        quick=quick,
        full=full,
    )


# ---- what a part adds to a step --------------------------------------------------------------


def _relu(m: int, dtype: str) -> list[layers.Layer]:
    return [layers.Dense(m, activation="relu", dtype=dtype)]


def _normalized(m: int, dtype: str) -> list[layers.Layer]:
    dense = layers.Dense(m, use_bias=False, dtype=dtype)
    return [dense, layers.BatchNormalization(dtype=dtype), layers.ReLU(dtype=dtype)]


def _dropped(m: int, dtype: str) -> list[layers.Layer]:
    return [*_relu(m, dtype), layers.Dropout(0.2, seed=m, dtype=dtype)]


def _momentum() -> optimizers.Optimizer:
    return optimizers.SGD(_LEARNING_RATE, momentum=_MOMENTUM)


def _adam() -> optimizers.Optimizer:
    # With an epsilon of the size of the gradients, so that its steps do not hang on their signs.
    return optimizers.Adam(_LEARNING_RATE, epsilon=1e-3)


# The hidden layers and the optimizer.
_Hidden = Callable[[int, str], list[layers.Layer]]
_PARTS: dict[str, tuple[_Hidden, Callable[[], optimizers.Optimizer]]] = {
    "Adam": (_relu, _adam),
    "batch normalization": (_normalized, _momentum),
    "dropout": (_dropped, _momentum),
}


def _part_model(
    units: tuple[int, ...], hidden: _Hidden, optimizer: optimizers.Optimizer, dtype: str
) -> Sequential:
    stack = [layer for m in units[1:-1] for layer in hidden(m, dtype)]
    model = Sequential([*stack, layers.Dense(units[-1], dtype=dtype)])
    model.compile(optimizer, losses.SparseCategoricalCrossentropy(from_logits=True))
    model.build(units[0])
    return model


def _part(
    name: str, letter: str, units: tuple[int, ...], batch: int, steps: int, full: bool = False
) -> Row:
    """Return the row of a network with a part: momentum and ReLU are the plain step's."""
    hidden, optimizer = _PARTS[name]
    checked = batch * _CHECKED_STEPS

    def inputs() -> list[Array]:
        if hidden is not _normalized:
            return _network(units, batch, steps)
        n = batch * steps
        (x,) = _uniform((n, units[0]), dtype="float32")
        model = _part_model(units, hidden, optimizer(), "float32")
        named = [(name, w.shape) for layer in model.layers for name, w in layer.weights.items()]
        weights = _uniform(*(shape for _, shape in named), dtype="float32")
        for (name, shape), weight in zip(named, weights, strict=True):
            weight *= np.float32(np.sqrt(3 / shape[0]) if name == "kernel" else 0.1)
            if name in ("gamma", "moving_variance"):
                weight += 1
        return [x, _labels(n, 10), *weights]

    def side(timed: tuple[_Hidden, Callable[[], optimizers.Optimizer]]) -> Callable[..., Job]:
        def job(x: Array, labels: Array, *weights: Array) -> Job:
            model = _part_model(units, timed[0], timed[1](), "float32")

            def check() -> tuple[Array, ...]:
                model = _part_model(units, hidden, optimizer(), "float32")
                model.set_weights(list(weights))
                model.fit(x[:checked], labels[:checked], batch_size=batch, shuffle=False, verbose=0)
                return tuple(model.get_weights())

            def call() -> None:
                model.fit(x, labels, batch_size=batch, verbose=0)

            return Job(call, check, steps)

        return job

    def expected(x: Array, labels: Array, *weights: Array) -> list[Expected]:
        model = _part_model(units, hidden, optimizer(), "float64")
        model.set_weights(list(weights))
        assert model.loss is not None and model.optimizer is not None
        for start in range(0, checked, batch):
            rows = slice(start, start + batch)
            model.backward(model.loss.gradient(labels[rows], model(x[rows], training=True)))
            moving = [(layer, weight) for layer in model.layers for weight in layer.moving]
            model.optimizer.update(
                [layer.weights[weight] for layer, weight in moving],
                [layer.gradients[weight] for layer, weight in moving],
            )
        return [
            Expected(v, _STEP_EPS * _eps("float32") * max(1.0, np.abs(v).max()))
            for v in model.get_weights()
        ]

    products = [2.0 * batch * k * m for k, m in pairwise(units)]
    return Row(
        f"step {letter} with {name}",
        "step",
        inputs,
        {"fastnn": side((hidden, optimizer)), "plain": side((_relu, _momentum))},
        expected,
        flops=3 * sum(products) - products[0],
        full=full,
    )
