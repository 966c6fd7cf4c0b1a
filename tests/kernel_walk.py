"""The walk over all kernels: for each, how to draw arguments and how far it may be off.

A case knows no expected values; those come from the NumPy twin in float64. Its `magnitude` is the
size of what is added up, times the number of rounding steps: a bound on the error in units of eps
that does not shrink or grow with the result itself.

Run as a program, it prints a digest of every kernel's bytes, which must be the same for all builds
of the core and all numbers of threads.
"""

import hashlib
import json
import sys
import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import fastnn as fn
from fastnn import kernels, reference

ACTIVATIONS = list(reference._ACTIVATIONS)
FROM_INPUT = kernels.FROM_INPUT
# An update by name, and numbers for it: those of its formula, then the decay and the clip.
UPDATES = {
    "sgd": [0.1],
    "momentum": [0.1, 0.5],
    "nesterov": [0.1, 0.5],
    "adagrad": [0.1, 0.5],
    "rmsprop": [0.1, 0.75, 0.25, 0.125],
    "rmsprop_momentum": [0.1, 0.75, 0.25, 0.125, 0.5],
    "rmsprop_centered": [0.1, 0.75, 0.25, 0.125],
    "rmsprop_centered_momentum": [0.1, 0.75, 0.25, 0.125, 0.5],
    "adadelta": [0.1, 0.75, 0.25, 0.125],
    "adam": [0.1, 0.25, 0.125, 1e-7],
    "amsgrad": [0.1, 0.25, 0.125, 1e-7],
    "adamax": [0.1, 0.25, 0.5, 1e-7],
    "nadam": [0.1, 0.25, 0.125, 1e-7, 0.2],
    "lion": [0.1, 0.75, 0.25, 0.5, 0.5],
}
STEPS = 8  # rounding steps of an elementwise function or an epilogue, generously


class Case(NamedTuple):
    """One way to call one kernel."""

    name: str
    draw: Callable  # (rng, n, k, m) -> arguments, arrays in float64
    magnitude: Callable  # arguments in float64 -> one array or number for each result
    written: tuple[int, ...] = ()  # positions of the arguments that are updated in place

    def arguments(self, n: int, k: int, m: int, dtype=np.float32) -> list:
        """Draw arguments, the same ones in every process."""
        rng = np.random.default_rng([zlib.crc32(self.name.encode()), n, k, m])
        return cast(self.draw(rng, n, k, m), dtype)

    def __call__(self, module, arguments: list) -> list[np.ndarray]:
        """Call the kernel and return all that it computes, as arrays."""
        result = getattr(module, self.name)(*arguments)
        if self.written:
            assert result is None
            return [np.array(arguments[i]) for i in self.written]
        if isinstance(result, float):
            double = np.asarray(arguments[0]).dtype.itemsize == 8 and is_real(arguments[0])
            return [np.array(result, np.float64 if double else np.float32)]
        return list(result) if isinstance(result, tuple) else [result]

    def same_for_rows(self) -> bool:
        """Whether a row of the result depends on that row of the first argument alone."""
        return self.name in ("dense_forward", "affine", "prelu", *ACTIVATIONS, "exp", "log")


def is_real(x) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def cast(arguments, dtype) -> list:
    """Return a copy of the arguments with the floating arrays in `dtype`."""
    return [x.astype(dtype) if is_real(x) else x for x in arguments]


def _product(transpose_a: bool, transpose_b: bool) -> Case:
    def draw(rng, n, k, m):
        a = rng.standard_normal((k, n) if transpose_a else (n, k))
        b = rng.standard_normal((m, k) if transpose_b else (k, m))
        return a, b, transpose_a, transpose_b

    def magnitude(a, b, *_):
        a, b = np.abs(a.T if transpose_a else a), np.abs(b.T if transpose_b else b)
        return [a.shape[1] * (a @ b)]

    return Case("matmul", draw, magnitude)


def _through(activation: str, z_error: np.ndarray, z: np.ndarray, *values) -> np.ndarray:
    """Carry a bound on the error of `z` through an activation."""
    m = z.shape[-1]
    if activation == "softmax":
        return (2 * z_error).max(axis=-1, keepdims=True) + m + STEPS
    if activation == "log_softmax":
        size = np.abs(z).max(axis=-1, keepdims=True) + np.log(m) + 1
        return (2 * z_error).max(axis=-1, keepdims=True) + m + STEPS * size
    value = np.abs(getattr(reference, activation)(z, *values))
    # None of the others is steeper than 1.8; the twin's Gaussian, and that of its tanh form, loses
    # as much as its argument is large.
    slope = 2 * np.maximum(value, 1) if activation in ("exponential", "exp") else 2
    steps = STEPS * (1 + z * z) if activation.startswith("gelu") else STEPS
    bound = slope * z_error + steps * value
    if activation in ("step", "threshold"):  # they jump where z may be on either side
        jump = {"step": 0.0, "threshold": 1.0}[activation]
        bound = bound + (np.abs(z - jump) < 1e-3) * (z_error > 0) * 2.0**24
    return bound


def _dense(activation: str, use_bias: bool) -> Case:
    def draw(rng, n, k, m):
        bias = rng.standard_normal(m) if use_bias else None
        kernel = rng.standard_normal((k, m)) / np.sqrt(k)
        return rng.standard_normal((n, k)), kernel, bias, activation

    def magnitude(x, kernel, bias, _):
        bias = np.zeros(kernel.shape[1]) if bias is None else bias
        z_error = (x.shape[1] + 1) * (np.abs(x) @ np.abs(kernel) + np.abs(bias))
        return [_through(activation, z_error, x @ kernel + bias)]

    return Case("dense_forward", draw, magnitude)


def _gradient_magnitude(activation: str, y: np.ndarray, dy: np.ndarray) -> np.ndarray:
    m = y.shape[-1]
    if activation == "softmax":
        return np.abs(y) * (np.abs(dy) + (np.abs(dy * y)).sum(-1, keepdims=True)) * (m + STEPS)
    if activation == "log_softmax":
        return np.abs(dy) + np.exp(y) * np.abs(dy).sum(-1, keepdims=True) * (m + STEPS)
    if activation == "exponential":
        return STEPS * np.abs(dy * y)
    size = 1 + np.abs(y) if activation in FROM_INPUT else 1
    return STEPS * size * np.abs(dy)  # 1 - y rounds relative to 1, x * f'(x) relative to x


def _saved(activation: str, z: np.ndarray, *values) -> np.ndarray:
    """Return what the gradient is computed from."""
    return z if activation in FROM_INPUT else getattr(reference, activation)(z, *values)


def _dense_backward(activation: str) -> Case:
    def draw(rng, n, k, m):
        x, kernel = rng.standard_normal((n, k)), rng.standard_normal((k, m)) / np.sqrt(k)
        y = _saved(activation, x @ kernel)
        return x, kernel, y, rng.standard_normal((n, m)), activation

    def magnitude(x, kernel, y, dy, _):
        n, m = y.shape
        dz = np.abs(reference.activate_gradient(activation, y, dy))
        dz_error = _gradient_magnitude(activation, y, dy)
        return [
            (dz_error + m * dz) @ np.abs(kernel).T,
            np.abs(x).T @ (dz_error + n * dz),
            (dz_error + n * dz).sum(axis=0),
        ]

    return Case("dense_backward", draw, magnitude)


def _activation(activation: str, by_name: bool, *values) -> Case:
    def draw(rng, n, k, m):
        x = 3 * rng.standard_normal((n, m))
        x = np.abs(x) if activation == "log" else x
        return (activation, x) if by_name else (x, *values)

    def magnitude(*arguments):
        x = arguments[1 if by_name else 0]
        return [_through(activation, 0 * x, x, *values)]

    return Case("activate" if by_name else activation, draw, magnitude)


def _activation_gradient(activation: str, by_name: bool, *values) -> Case:
    def draw(rng, n, k, m):
        y = _saved(activation, 3 * rng.standard_normal((n, m)), *values)
        dy = rng.standard_normal((n, m))
        return (activation, y, dy) if by_name else (y, dy, *values)

    def magnitude(*arguments):
        start = 1 if by_name else 0
        return [_gradient_magnitude(activation, *arguments[start : start + 2])]

    return Case("activate_gradient" if by_name else f"{activation}_gradient", draw, magnitude)


def _loss(name: str, targets: Callable, weighted: bool) -> Case:
    def draw(rng, n, k, m):
        weight = rng.uniform(0.1, 2, n) if weighted else None
        return 3 * rng.standard_normal((n, m)), targets(rng, n, m), weight

    def magnitude(x, t, weight):
        n, m = x.shape
        weight = np.ones(n) if weight is None else weight
        size = (np.abs(x) + (np.abs(t) if is_real(t) else 0)).max(axis=1) + np.log(m) + 1
        soft = name == "softmax_crossentropy" and is_real(t)
        mass = 1 + np.abs(t).sum(axis=1) if soft else 1
        values = size * size if name == "mean_squared_error" else size * mass
        slope = weight / n * size * mass
        return [(m + STEPS) * values, ((m + STEPS) * slope)[:, None] * np.ones((1, m))]

    return Case(name, draw, magnitude)


def _labels(rng, n, m):
    return rng.integers(0, m, n)


def _probabilities(rng, n, m):
    return rng.uniform(size=(n, m))  # not summing to one: the formulas hold for any weights


def _normal(rng, n, m):
    return rng.standard_normal((n, m))


def _update_arrays(rng, n, m, slots: int) -> list:
    """Weights, gradients, slots: two means of squares, at least 0.1, and a small mean of values."""
    w, g, square, other = rng.standard_normal((4, n, m))
    small = rng.uniform(-0.1, 0.1, (n, m))
    return [w, g, *[np.abs(square) + 0.1, np.abs(other) + 0.1, small][:slots]]


def _update_magnitude(w, g, *slots) -> list:
    # No root or quotient is of less than about 0.1, or larger than what goes into it by much.
    size = STEPS * (np.abs(w) + np.abs(g) + g * g + sum(np.abs(s) for s in slots))
    return [2 * size] * (1 + len(slots))


def _update(name: str, slots: int, *numbers, last: tuple[int, ...] = ()) -> Case:
    """`last`: which of the slots are arguments that come after the numbers."""

    def draw(rng, n, k, m):
        w, g, *state = _update_arrays(rng, n, m, slots)
        after = [state[i] for i in last]
        return (w, g, *[x for i, x in enumerate(state) if i not in last], *numbers, *after)

    def magnitude(*arguments):
        return _update_magnitude(*[x for x in arguments if is_real(x)])

    first = 2 + slots - len(last)
    places = (0, *range(2, first), *range(first + len(numbers), 2 + slots + len(numbers)))
    return Case(name, draw, magnitude, written=places)


def _lion_magnitude(w, g, momentum, *numbers):
    bounds = _update_magnitude(w, g, momentum)
    near = np.abs(numbers[1] * momentum + (1 - numbers[1]) * g) < 1e-5  # the sign may be the other
    return [bounds[0] + near * 1e10, bounds[1]]


def _update_by_name(kind: str, extras: bool) -> Case:
    slots = {"sgd": 0, "rmsprop_centered_momentum": 3, "amsgrad": 3}.get(kind, 1)
    if kind in ("rmsprop_momentum", "rmsprop_centered", "adadelta", "adam", "adamax", "nadam"):
        slots = 2
    numbers = UPDATES[kind]
    hyper = numbers + [0.0] * (8 - len(numbers)) + [0.25, 0.75] if extras else numbers

    def draw(rng, n, k, m):
        w, g, *state = _update_arrays(rng, n, m, 3)
        if kind.startswith("rmsprop_centered"):
            state = [state[0], state[2], state[1]]
        return kind, hyper, w, g, *state[:slots]

    def magnitude(kind, hyper, w, g, *state):
        if kind == "lion":
            clipped = np.clip(g, -0.75, 0.75) if extras else g
            return _lion_magnitude(w, clipped, *state, *numbers)
        return _update_magnitude(w, g, *state)

    return Case("update", draw, magnitude, (2, *range(4, 4 + slots)))


def _loss_by_name(kind: str, targets: Callable, scale: float) -> Case:
    """The gradient of ``scale * sum_i(w_i * losses_i)``, n * scale times that of the mean."""
    name = kind.removeprefix("sparse_")
    _, draw, magnitude, _ = _loss(name, targets, True)

    def scaled(kind, x, t, weight, scale):
        values, gradient = magnitude(x, t, weight)
        return [values, gradient * len(x) * scale]

    return Case("loss", lambda *sizes: (kind, *draw(*sizes), scale), scaled)


def _affine(optional: bool) -> Case:
    def draw(rng, n, k, m):
        scale, shift, center = rng.standard_normal((3, m))
        return rng.standard_normal((n, m)), scale, *((shift, center) if optional else (None, None))

    def magnitude(x, scale, shift, center):
        size = np.abs(scale) * (np.abs(x) + (0 if center is None else np.abs(center)))
        return [STEPS * (size + (0 if shift is None else np.abs(shift)))]

    return Case("affine", draw, magnitude)


def _prelu_gradient(x, alpha, dy):
    return [STEPS * (1 + np.abs(alpha)) * np.abs(dy), len(x) * np.abs(x * dy).sum(axis=0)]


def _normal_with_vectors(optional: bool):
    def draw(rng, n, k, m):
        gamma, beta = rng.standard_normal((2, m))
        return 1 + rng.standard_normal((n, m)), *((gamma, beta) if optional else (None, None)), 0.1

    return draw


def _normalization_magnitude(axis: int):
    def magnitude(x, gamma, beta, epsilon):
        n = x.shape[axis]
        _, mean, _ = reference.batch_normalization(x if axis == 0 else x.T)
        mean = mean if axis == 0 else mean[:, None]
        d = np.abs(x - mean)
        mean_error = n * np.abs(x).mean(axis=axis, keepdims=True)
        variance = np.square(d).mean(axis=axis, keepdims=True)
        spread = variance + epsilon
        inverse = 1 / np.sqrt(spread)
        # A wrong mean moves the variance by its square, and by sum(d) * error, which is rounding.
        relative = (n + STEPS) * variance / spread + STEPS
        size = mean_error + d * relative
        size = (1 if gamma is None else np.abs(gamma)) * inverse * size
        y = size + STEPS * (0 if beta is None else np.abs(beta))
        last = (n + STEPS) * variance if axis == 0 else relative * inverse
        return [y, mean_error.ravel() + 0 * variance.ravel(), last.ravel()]

    return magnitude


def _batch_gradient(constant: bool) -> Case:
    def draw(rng, n, k, m):
        mean, gamma = rng.standard_normal((2, m))
        x, dy = rng.standard_normal((2, n, m))
        return x, mean, rng.uniform(0.5, 2, m), gamma, dy, 0.1, constant

    def magnitude(x, mean, variance, gamma, dy, epsilon, constant):
        n, inverse = len(x), 1 / np.sqrt(variance + epsilon)
        d = np.abs(x) + np.abs(mean)
        along, level = np.abs(d * dy).sum(axis=0), np.abs(dy).sum(axis=0)
        inner = STEPS * np.abs(dy) + (n + STEPS) / n * (level + d * inverse**2 * along)
        dx = np.abs(gamma) * inverse * inner
        return [dx, (n + STEPS) * along * inverse, n * level]

    return Case("batch_normalization_gradient", draw, magnitude)


def _layer_gradient(optional: bool) -> Case:
    def draw(rng, n, k, m):
        x, dy = rng.standard_normal((2, n, m))
        gamma = rng.standard_normal(m) if optional else None
        return x, rng.standard_normal(n), rng.uniform(0.5, 2, n), gamma, dy

    def magnitude(x, mean, inverse, gamma, dy):
        n, m = x.shape
        mean, inverse = mean[:, None], inverse[:, None]
        xhat = (np.abs(x) + np.abs(mean)) * inverse
        g = np.abs(dy if gamma is None else dy * gamma)
        level, along = g.mean(axis=1, keepdims=True), (g * xhat).mean(axis=1, keepdims=True)
        dx = inverse * (STEPS * g + (m + STEPS) * (level + xhat * along))
        return [dx, (n + STEPS) * np.abs(dy * xhat).sum(axis=0), n * np.abs(dy).sum(axis=0)]

    return Case("layer_normalization_gradient", draw, magnitude)


def _pair(rng, n, k, m):
    return tuple(rng.standard_normal((2, n, m)))


def _uniform(rng, n, m):
    return rng.uniform(0.05, 0.95, (n, m))


def _positive(rng, n, m):
    return rng.uniform(0.3, 3, (n, m))


def _wide(rng, n, m):
    return 3 * rng.standard_normal((n, m))


def _signs(rng, n, m):
    return rng.choice([-1.0, 1.0], (n, m))


def _one_hot(rng, n, m):
    return np.eye(m)[_labels(rng, n, m)]


def _further_loss(
    kind: str, preds: Callable, targets: Callable, numbers: tuple = (), steep: float = 1
) -> Case:
    """A loss whose derivatives are at most about `steep` times the size of its arguments."""

    def draw(rng, n, k, m):
        return kind, preds(rng, n, m), targets(rng, n, m), rng.uniform(0.1, 2, n), 0.3, numbers

    def magnitude(kind, x, t, weight, scale, numbers):
        n, m = x.shape
        size = 1 + np.abs(x).max(axis=1) + (np.abs(t).max(axis=1) if is_real(t) else 0)
        values = (m + STEPS) * steep * size * size
        slope = values * weight * scale
        if kind == "root_mean_squared_error":
            total = (weight * scale * ((x - t) ** 2).mean(axis=1)).sum()
            slope = slope * (1 + n) / np.sqrt(total)
        elif kind == "cosine_similarity":
            slope = slope / np.linalg.norm(x, axis=1)
        return [values, slope[:, None] * np.ones((1, m))]

    return Case("loss", draw, magnitude)


def _triplets() -> Case:
    """Embeddings on a grid, so that no rounding decides which distance is greater."""

    def draw(rng, n, k, m):
        n = min(n, 150)
        x = np.round(8 * rng.standard_normal((n, m))) / 8
        return "triplet", x, rng.integers(0, 5, n), rng.uniform(0.1, 2, n), 0.3, (1.0,)

    def magnitude(kind, x, labels, weight, scale, numbers):
        n, m = x.shape
        values = (m + STEPS) * (1 + np.linalg.norm(x, axis=1).max()) * np.ones(n)
        return [values, (n + m + STEPS) * n * scale * 2 * np.ones((n, m))]

    return Case("loss", draw, magnitude)


BY_NAME = ["linear", "relu", "elu", "gelu", "softmax", "log_softmax"]
# Activations with parameters: (negative_slope, max_value, threshold) of relu, alpha, theta.
PARAMETERS = {
    "relu": [(0.1, 2.0, 0.5), (0.0, None, 0.25), (0.0, 3.0, 0.0), (0.5, 0.0, 0.0)],
    "leaky_relu": [(0.01,), (0.0,), (1.5,)],
    "elu": [(1.7,), (0.0,)],
    "celu": [(0.25,), (2.5,)],
    "threshold": [(0.0,), (2.0,)],
}
WITH_PARAMETERS = [(a, values) for a, several in PARAMETERS.items() for values in several]
CASES = {
    **{f"matmul-{'nt'[a]}{'nt'[b]}": _product(bool(a), bool(b)) for a in (0, 1) for b in (0, 1)},
    **{f"dense_forward-{a}": _dense(a, True) for a in ACTIVATIONS},
    "dense_forward-nobias": _dense("relu", False),
    **{f"dense_backward-{a}": _dense_backward(a) for a in ACTIVATIONS},
    **{a: _activation(a, False) for a in [*ACTIVATIONS, "exp", "log"]},
    **{f"activate-{a}": _activation(a, True) for a in BY_NAME},
    **{f"{a}-{values}": _activation(a, False, *values) for a, values in WITH_PARAMETERS},
    **{
        f"{a}_gradient-{values}": _activation_gradient(a, False, *values)
        for a, values in WITH_PARAMETERS
    },
    **{f"{a}_gradient": _activation_gradient(a, False) for a in ACTIVATIONS},
    **{f"activate_gradient-{a}": _activation_gradient(a, True) for a in BY_NAME},
    "softmax_crossentropy-labels": _loss("softmax_crossentropy", _labels, False),
    "softmax_crossentropy-labels-weighted": _loss("softmax_crossentropy", _labels, True),
    "softmax_crossentropy": _loss("softmax_crossentropy", _probabilities, True),
    "mean_squared_error": _loss("mean_squared_error", _normal, True),
    "binary_crossentropy": _loss("binary_crossentropy", _probabilities, False),
    "column_sum": Case(
        "column_sum",
        lambda rng, n, k, m: (rng.standard_normal((n, m)),),
        lambda x: [len(x) * np.abs(x).sum(axis=0)],
    ),
    "affine": _affine(True),
    "affine-scale": _affine(False),
    "prelu": Case(
        "prelu",
        lambda rng, n, k, m: (rng.standard_normal((n, m)), rng.standard_normal(m)),
        lambda x, alpha: [STEPS * (1 + np.abs(alpha)) * np.abs(x)],
    ),
    "prelu_gradient": Case(
        "prelu_gradient",
        lambda rng, n, k, m: (_normal(rng, n, m), rng.standard_normal(m), _normal(rng, n, m)),
        _prelu_gradient,
    ),
    **{
        f"{name}{'' if optional else '-plain'}": Case(
            name, _normal_with_vectors(optional), _normalization_magnitude(axis)
        )
        for axis, name in enumerate(("batch_normalization", "layer_normalization"))
        for optional in (True, False)
    },
    "batch_normalization_gradient": _batch_gradient(False),
    "batch_normalization_gradient-constant": _batch_gradient(True),
    "layer_normalization_gradient": _layer_gradient(True),
    "layer_normalization_gradient-plain": _layer_gradient(False),
    "multiply": Case("multiply", _pair, lambda x, y: [np.abs(x * y)]),
    "dropout": Case(
        "dropout",
        lambda rng, n, k, m: (rng.standard_normal((n, m)), 0.3, 2**33 + 5, 2**40 + 3),
        lambda x, *_: [STEPS * np.abs(x), STEPS + 0 * x],
    ),
    "gaussian_noise": Case(
        "gaussian_noise",
        lambda rng, n, k, m: (rng.standard_normal((n, m)), 0.3, 2**33 + 5, 2**40 + 3),
        lambda x, *_: [np.abs(x) + STEPS * 0.3 * 6],
    ),
    "sum_of_squares": Case(
        "sum_of_squares",
        lambda rng, n, k, m: (rng.standard_normal((n, m)),),
        lambda x: [2 * (x * x).sum()],  # float64 within, one rounding at the end
    ),
    "add_penalty": Case(
        "add_penalty",
        lambda rng, n, k, m: (*rng.standard_normal((2, n, m)), 0.25, 0.1),
        lambda g, w, *_: [STEPS * (np.abs(g) + np.abs(w) + 1)],
        (0,),
    ),
    "sgd_update": _update("sgd_update", 0, 0.1),
    "momentum_update": _update("momentum_update", 1, 0.1, 0.9),
    "momentum_update-nesterov": _update("momentum_update", 1, 0.1, 0.9, True),
    "adagrad_update": _update("adagrad_update", 1, 0.1, 1e-7),
    "rmsprop_update": _update("rmsprop_update", 1, 0.1, 0.9, 1e-7),
    "rmsprop_update-momentum": _update("rmsprop_update", 2, 0.1, 0.9, 1e-7, 0.5, last=(1,)),
    "rmsprop_update-centered": _update("rmsprop_update", 3, 0.1, 0.9, 1e-7, 0.5, last=(1, 2)),
    "adadelta_update": _update("adadelta_update", 2, 0.5, 0.9, 1e-3),
    "adam_update": _update("adam_update", 2, 3, 0.1, 0.8, 0.9, 1e-7),
    "adam_update-amsgrad": _update("adam_update", 3, 3, 0.1, 0.8, 0.9, 1e-7, last=(2,)),
    "adamax_update": _update("adamax_update", 2, 3, 0.1, 0.8, 0.9, 1e-7),
    "nadam_update": _update("nadam_update", 2, 3, 0.1, 0.8, 0.9, 1e-7),
    "lion_update": _update("lion_update", 1, 0.1, 0.9, 0.99)._replace(magnitude=_lion_magnitude),
    **{f"update-{kind}": _update_by_name(kind, False) for kind in UPDATES},
    **{f"update-{kind}-extras": _update_by_name(kind, True) for kind in UPDATES},
    "loss-labels": _loss_by_name("sparse_softmax_crossentropy", _labels, 0.3),
    "loss-probabilities": _loss_by_name("softmax_crossentropy", _probabilities, 0.3),
    "loss-squared": _loss_by_name("mean_squared_error", _normal, 0.3),
    "loss-binary": _loss_by_name("binary_crossentropy", _probabilities, 0.3),
    **{
        f"loss-{kind}-{len(numbers)}": _further_loss(kind, preds, targets, numbers, *steep)
        for kind, preds, targets, numbers, *steep in [
            ("softmax_crossentropy", _wide, _probabilities, (0.1,), 4),
            ("sparse_crossentropy_of_probabilities", _uniform, _labels, (), 400),
            ("crossentropy_of_probabilities", _uniform, _probabilities, (), 400),
            ("crossentropy_of_probabilities", _uniform, _one_hot, (0.1,), 400),
            ("binary_crossentropy", _wide, _probabilities, (0.1,)),
            ("binary_crossentropy_of_probabilities", _uniform, _probabilities, (0.1,), 400),
            ("binary_focal_crossentropy", _wide, _probabilities, ()),
            ("binary_focal_crossentropy", _wide, _one_hot, (0.0, 1.5, 0.25, 0.75)),
            ("binary_focal_crossentropy_of_probabilities", _uniform, _one_hot, (0.1, 0.5), 400),
            ("root_mean_squared_error", _wide, _normal, ()),
            ("sum_squared_error", _wide, _normal, ()),
            ("mean_absolute_error", _wide, _normal, ()),
            ("mean_absolute_percentage_error", _wide, _positive, (), 400),
            ("mean_squared_logarithmic_error", _wide, _positive, ()),
            ("huber", _wide, _normal, (1.5,)),
            ("log_cosh", _wide, _normal, ()),
            ("quantile", _wide, _normal, (0.2,)),
            ("kl_divergence", _uniform, _uniform, (), 400),
            ("poisson", _positive, _positive, (), 20),
            ("hinge", _wide, _signs, ()),
            ("squared_hinge", _wide, _signs, ()),
            ("categorical_hinge", _wide, _one_hot, ()),
            ("cosine_similarity", _wide, _normal, ()),
            ("contrastive", _positive, _one_hot, (2.0,)),
        ]
    },
    "loss-triplet": _triplets(),
}

# From too small to share, over sizes that end in the middle of a tile, to several blocks and to
# operands that are packed.
SHARED_SIZES = [
    (1, 1, 1),
    (5, 3, 2),
    (29, 70, 65),
    (131, 300, 257),
    (460, 600, 270),
    (2049, 33, 130),
]


def digests(dtype, threads: int) -> dict[str, str]:
    """Return a digest of the bytes of all results of every case."""
    with fn.num_threads(threads):
        return {
            key: hashlib.sha256(
                b"".join(
                    result.tobytes()
                    for size in SHARED_SIZES
                    for result in case(kernels, case.arguments(*size, dtype=dtype))
                )
            ).hexdigest()
            for key, case in CASES.items()
        }


if __name__ == "__main__":
    found = {dtype: digests(dtype, 2) for dtype in ("float32", "float64")}
    json.dump({"arch": fn.show_config()["arch"], **found}, sys.stdout)
