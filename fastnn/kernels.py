"""The compiled kernels as functions on arrays, checked before anything is written.

Every function has a readable NumPy twin of the same name and signature in `fastnn.reference`,
which gives its formula and source.

Inputs may be anything that NumPy turns into an array of real numbers: lists, integers, strided,
Fortran-ordered, read-only, byte-swapped and memory-mapped arrays. They are converted exactly. The
result is float64 if any floating input is float64, else float32. Where a function takes `out`,
that must be a writeable C array of the result's exact shape and type; it is also what is returned.

A wrong kind of thing raises TypeError, a wrong shape or value, or an empty array, ValueError.

Each function first hands its arguments to the core as they are. The core takes them if there is
nothing to convert, and else returns None with nothing changed; only then are they looked at here,
converted, or refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import _dispatch
from . import _validate as check

ArrayLike = Any  # what NumPy turns into an array; Any, for the name is bound to the array then
_CORES = (_dispatch.core("float32"), _dispatch.core("float64"))  # the more common one first

# Codes of the core, the same in both precisions.
_ROW_CODES = _CORES[0].ROW_ACTIVATIONS
_CODES = _CORES[0].ACTIVATIONS | _ROW_CODES
_CODES[None] = _CODES["linear"]
_LOSS_CODES = _CORES[0].LOSSES
_UPDATE_CODES = _CORES[0].UPDATES


def _in_both(name: str) -> list[Callable]:
    """Return the core's function for float32 and for float64, to be tried in turn."""
    return [getattr(core, name) for core in _CORES]


_MATMUL, _DENSE, _COLUMN_SUM = map(_in_both, ("matmul", "dense_forward", "column_sum"))
_ACTIVATE, _ACTIVATE_GRADIENT = map(_in_both, ("activate", "activate_gradient"))
_LOSS, _STEP = map(_in_both, ("loss", "update"))


def _operands(*named: tuple[ArrayLike | None, str, int | None]) -> list:
    """Return the arrays of ``(array, name, axes)`` checked, in their common type and C layout.

    None stays None. Axes None means any shape; the rows of a matrix may lie apart.
    """
    arrays = [x if x is None else check.as_numbers(x, name) for x, name, _ in named]
    dtype = check.real_dtype(*(x for x in arrays if x is not None))
    return [
        x if x is None else _convert(x, name, ndim, dtype)
        for x, (_, name, ndim) in zip(arrays, named, strict=True)
    ]


def _convert(x: np.ndarray, name: str, ndim: int | None, dtype: np.dtype) -> np.ndarray:
    if ndim == 2:
        return check.as_matrix(x, name, dtype)
    if ndim == 1:
        return check.as_vector(x, name, dtype)
    return np.asarray(check.as_real(x, name, dtype), order="C")


def _expect_output(
    out: np.ndarray | None, shape: tuple[int, ...], dtype: np.dtype, **inputs: np.ndarray | None
) -> None:
    """Raise unless `out` is None or fit for the result, and apart in memory from `inputs`."""
    if out is not None:
        check.as_output(out, "out", shape, dtype, rows_apart=len(shape) == 2)
        for name, x in inputs.items():
            if x is not None:
                check.expect_apart(out, "out", x, name)


def _expect_output_like(like: np.ndarray, out: np.ndarray | None, **inputs: np.ndarray) -> None:
    """Raise unless `out` is None or fit for a result like `like`; it may be one of `inputs`."""
    if out is not None:
        check.as_output(out, "out", like.shape, like.dtype)
        for name, other in inputs.items():
            check.expect_same_or_apart(out, "out", other, name)


def _delivered(
    result: np.ndarray | None, out: np.ndarray | None, shape: tuple[int, ...] | None = None
) -> np.ndarray:
    """Return what the core made of checked arguments, in the checked `out` if there is one."""
    if result is None:
        raise RuntimeError("expected the core to take checked arrays, got a refusal")
    if shape is not None:
        result = result.reshape(shape)
    if out is None:
        return result
    out[...] = result
    return out


# ---- products --------------------------------------------------------------------------------


def matmul(
    a: ArrayLike,
    b: ArrayLike,
    transpose_a: bool = False,
    transpose_b: bool = False,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Multiply two matrices, ``a @ b``.

    Parameters
    ----------
    a : array of shape (n, k), or (k, n) with `transpose_a`
    b : array of shape (k, m), or (m, k) with `transpose_b`
    transpose_a, transpose_b : bool
        Use the operand transposed; it is not copied.
    out : ndarray of shape (n, m), optional
        Must not overlap `a` or `b`; its rows may lie apart.

    Returns
    -------
    ndarray of shape (n, m)
    """
    for kernel in _MATMUL:
        result = kernel(a, b, transpose_a, transpose_b, out, _dispatch.threads)
        if result is not None:
            return result
    a, b = _operands((a, "a", 2), (b, "b", 2))
    transpose_a = check.flag(transpose_a, "transpose_a")
    transpose_b = check.flag(transpose_b, "transpose_b")
    k, n = a.shape if transpose_a else a.shape[::-1]
    inner, m = b.shape[::-1] if transpose_b else b.shape
    if inner != k:
        axis = "columns" if transpose_b else "rows"
        raise ValueError(f"b: expected {k} {axis}, got {inner} (shape {b.shape})")
    _expect_output(out, (n, m), a.dtype, a=a, b=b)
    core = _dispatch.core(a.dtype)
    result = core.matmul(a, b, transpose_a, transpose_b, None, _dispatch.threads)
    return _delivered(result, out)


def dense_forward(
    x: ArrayLike,
    kernel: ArrayLike,
    bias: ArrayLike | None = None,
    activation: str | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Compute a dense layer, ``act(x @ kernel + bias)``, in one pass.

    Parameters
    ----------
    x : array of shape (n, k)
    kernel : array of shape (k, m)
    bias : array of shape (m,), optional
    activation : {"linear", "sigmoid", "tanh", "relu", "softmax", "log_softmax"}, optional
    out : ndarray of shape (n, m), optional
        Must not overlap an input; its rows may lie apart.

    Returns
    -------
    ndarray of shape (n, m)
    """
    if activation is None or (type(activation) is str and activation in _ACTIVATIONS):
        code = _CODES[activation]
        for forward in _DENSE:
            result = forward(x, kernel, bias, code, out, _dispatch.threads)
            if result is not None:
                return result
    x, kernel, bias = _operands((x, "x", 2), (kernel, "kernel", 2), (bias, "bias", 1))
    _expect_layer(x, kernel)
    m = kernel.shape[1]
    if bias is not None:
        check.expect_shape(bias, "bias", (m,))
    name = _activation(activation, "activation")
    _expect_output(out, (x.shape[0], m), x.dtype, x=x, kernel=kernel, bias=bias)
    core = _dispatch.core(x.dtype)
    result = core.dense_forward(x, kernel, bias, _CODES[name], None, _dispatch.threads)
    return _delivered(result, out)


def dense_backward(
    x: ArrayLike,
    kernel: ArrayLike,
    y: ArrayLike,
    dy: ArrayLike,
    activation: str | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Carry a gradient back through a dense layer.

    Parameters
    ----------
    x : array of shape (n, k)
    kernel : array of shape (k, m)
    y : array of shape (n, m)
        The output of `dense_forward`.
    dy : array of shape (n, m)
        The gradient of the loss with respect to `y`.
    activation : str, optional
        As in `dense_forward`.

    Returns
    -------
    dx, dkernel, dbias : ndarray of shapes (n, k), (k, m) and (m,)
    """
    x, kernel, y, dy = _operands((x, "x", 2), (kernel, "kernel", 2), (y, "y", 2), (dy, "dy", 2))
    _expect_layer(x, kernel)
    shape = (x.shape[0], kernel.shape[1])
    check.expect_shape(y, "y", shape)
    check.expect_shape(dy, "dy", shape)
    name = _activation(activation, "activation")
    dz = dy if name == "linear" else activate_gradient(name, y, dy)
    return matmul(dz, kernel, transpose_b=True), matmul(x, dz, transpose_a=True), column_sum(dz)


def _expect_layer(x: np.ndarray, kernel: np.ndarray) -> None:
    if x.shape[1] != kernel.shape[0]:
        raise ValueError(
            f"x: expected {check.plural(kernel.shape[0], 'feature')}, got {x.shape[1]} "
            f"(shape {x.shape}, kernel {kernel.shape})"
        )


def column_sum(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Sum each column of a matrix, from the first row to the last.

    Parameters
    ----------
    x : array of shape (n, m)
    out : ndarray of shape (m,), optional
        Must not overlap `x`.

    Returns
    -------
    ndarray of shape (m,)
    """
    for kernel in _COLUMN_SUM:
        result = kernel(x, out, _dispatch.threads)
        if result is not None:
            return result
    (x,) = _operands((x, "x", 2))
    _expect_output(out, (x.shape[1],), x.dtype, x=x)
    return _delivered(_dispatch.core(x.dtype).column_sum(x, None, _dispatch.threads), out)


# ---- activations -----------------------------------------------------------------------------


def _rows(x: np.ndarray, name: str, code: int) -> np.ndarray:
    """Return `x` as a matrix of its last axis."""
    if x.ndim == 0 and code in _ROW_CODES.values():
        raise ValueError(f"{name}: expected at least 1 axis, got 0 (shape ())")
    return x.reshape(-1, x.shape[-1] if x.ndim else 1)


def _function(name: str, doc: str) -> Callable[..., np.ndarray]:
    """Build the function of this name in the core."""
    code = _CODES[name]

    def function(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
        for kernel in _ACTIVATE:
            result = kernel(code, x, out, _dispatch.threads)
            if result is not None:
                return result
        (x,) = _operands((x, "x", None))
        rows = _rows(x, "x", code)
        _expect_output_like(x, out, x=x)
        result = _dispatch.core(x.dtype).activate(code, rows, None, _dispatch.threads)
        return _delivered(result, out, x.shape)

    function.__doc__ = doc
    function.__name__ = function.__qualname__ = name
    return function


def _gradient(name: str, doc: str) -> Callable[..., np.ndarray]:
    """Build the gradient of the function of this name in the core."""
    code = _CODES[name]

    def function(y: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
        for kernel in _ACTIVATE_GRADIENT:
            result = kernel(code, y, dy, out, _dispatch.threads)
            if result is not None:
                return result
        y, dy = _operands((y, "y", None), (dy, "dy", None))
        check.expect_shape(dy, "dy", y.shape)
        rows, slopes = _rows(y, "y", code), _rows(dy, "dy", code)
        _expect_output_like(dy, out, y=y, dy=dy)
        core = _dispatch.core(y.dtype)
        result = core.activate_gradient(code, rows, slopes, None, _dispatch.threads)
        return _delivered(result, out, y.shape)

    function.__doc__ = doc
    function.__name__ = function.__qualname__ = f"{name}_gradient"
    return function


def _elementwise(name: str, what: str) -> Callable[..., np.ndarray]:
    return _function(
        name,
        f"""Compute {what}, elementwise.

    Parameters
    ----------
    x : array of any shape
    out : ndarray of the shape of `x`, optional
        May be `x` itself.

    Returns
    -------
    ndarray of the shape of `x`
    """,
    )


def _elementwise_gradient(name: str, what: str) -> Callable[..., np.ndarray]:
    return _gradient(
        name,
        f"""Compute the gradient of `{name}` from its output: {what}.

    Parameters
    ----------
    y : array of any shape
        The output of `{name}`.
    dy : array of the shape of `y`
        The gradient of the loss with respect to `y`.
    out : ndarray of the shape of `y`, optional
        May be `y` or `dy` itself.

    Returns
    -------
    ndarray of the shape of `y`
    """,
    )


linear = _elementwise("linear", "a copy of `x`")
sigmoid = _elementwise("sigmoid", "``1 / (1 + exp(-x))``")
tanh = _elementwise("tanh", "the hyperbolic tangent")
relu = _elementwise("relu", "``max(x, 0)``, where NaN stays NaN")
exp = _elementwise("exp", "``exp(x)``")
log = _elementwise("log", "the natural logarithm: -inf at 0, NaN below")

linear_gradient = _elementwise_gradient("linear", "``dy``")
sigmoid_gradient = _elementwise_gradient("sigmoid", "``dy * y * (1 - y)``")
tanh_gradient = _elementwise_gradient("tanh", "``dy * (1 - y**2)``")
relu_gradient = _elementwise_gradient("relu", "``dy`` where ``y > 0``, else 0")


softmax = _function(
    "softmax",
    """Compute ``exp(x) / sum(exp(x))`` over the last axis, without overflow.

    Parameters
    ----------
    x : array of shape (..., m)
    out : ndarray of the shape of `x`, optional
        May be `x` itself.

    Returns
    -------
    ndarray of the shape of `x`
    """,
)
log_softmax = _function(
    "log_softmax",
    """Compute the logarithm of `softmax`, without its underflow. Arguments as there.""",
)
softmax_gradient = _gradient(
    "softmax",
    """Compute the gradient of `softmax` from its output: ``y * (dy - sum(dy * y))``.

    Parameters
    ----------
    y, dy : array of shape (..., m)
        The output, and the gradient of the loss with respect to it.
    out : ndarray of the shape of `y`, optional
        May be `y` or `dy` itself.

    Returns
    -------
    ndarray of the shape of `y`
    """,
)
log_softmax_gradient = _gradient(
    "log_softmax",
    """Compute the gradient of `log_softmax` from its output: ``dy - exp(y) * sum(dy)``.

    Arguments as in `softmax_gradient`.
    """,
)


# ---- by name ---------------------------------------------------------------------------------

_ACTIVATIONS = {
    "linear": (linear, linear_gradient),
    "sigmoid": (sigmoid, sigmoid_gradient),
    "tanh": (tanh, tanh_gradient),
    "relu": (relu, relu_gradient),
    "softmax": (softmax, softmax_gradient),
    "log_softmax": (log_softmax, log_softmax_gradient),
}


def _activation(name: str | None, argument: str) -> str:
    return "linear" if name is None else check.choice(name, argument, _ACTIVATIONS)


def activate(name: str, x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Apply an activation by name.

    Parameters
    ----------
    name : {"linear", "sigmoid", "tanh", "relu", "softmax", "log_softmax"}
    x, out
        As in the function of that name.
    """
    return _ACTIVATIONS[check.choice(name, "name", _ACTIVATIONS)][0](x, out)


def activate_gradient(
    name: str, y: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None
) -> np.ndarray:
    """Compute the gradient of an activation by name, from its output.

    Parameters
    ----------
    name : str
        As in `activate`.
    y, dy, out
        As in the gradient function of that name.
    """
    return _ACTIVATIONS[check.choice(name, "name", _ACTIVATIONS)][1](y, dy, out)


# ---- losses ----------------------------------------------------------------------------------


def softmax_crossentropy(
    logits: ArrayLike, targets: ArrayLike, sample_weight: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Compute softmax, cross-entropy and their gradient in one pass.

    Parameters
    ----------
    logits : array of shape (n, m)
    targets : array of shape (n,) or (n, m)
        Class labels in ``[0, m)``, or a probability for every class.
    sample_weight : array of shape (n,), optional

    Returns
    -------
    losses : ndarray of shape (n,)
        The loss of each row, not weighted; finite for any finite logits.
    gradient : ndarray of shape (n, m)
        The gradient of ``mean(sample_weight * losses)`` with respect to `logits`.
    """
    if np.ndim(targets) == 2 and np.shape(targets) == np.shape(logits):
        return _loss(
            "softmax_crossentropy", (logits, "logits"), (targets, "targets"), sample_weight
        )
    return _loss(
        "sparse_softmax_crossentropy", (logits, "logits"), (targets, "targets"), sample_weight
    )


def mean_squared_error(
    y_pred: ArrayLike, y_true: ArrayLike, sample_weight: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the mean squared error of each row and its gradient.

    Parameters
    ----------
    y_pred, y_true : array of shape (n, m)
    sample_weight : array of shape (n,), optional

    Returns
    -------
    losses : ndarray of shape (n,)
        ``mean((y_pred - y_true)**2)`` of each row, not weighted.
    gradient : ndarray of shape (n, m)
        The gradient of ``mean(sample_weight * losses)`` with respect to `y_pred`.
    """
    return _loss("mean_squared_error", (y_pred, "y_pred"), (y_true, "y_true"), sample_weight)


def binary_crossentropy(
    logits: ArrayLike, y_true: ArrayLike, sample_weight: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Compute sigmoid, binary cross-entropy and their gradient in one pass.

    Parameters
    ----------
    logits : array of shape (n, m)
    y_true : array of shape (n, m)
        Probabilities in [0, 1].
    sample_weight : array of shape (n,), optional

    Returns
    -------
    losses : ndarray of shape (n,)
        The mean over each row, not weighted; finite for any finite logits.
    gradient : ndarray of shape (n, m)
        The gradient of ``mean(sample_weight * losses)`` with respect to `logits`.
    """
    return _loss("binary_crossentropy", (logits, "logits"), (y_true, "y_true"), sample_weight)


def loss(
    kind: str,
    y_pred: ArrayLike,
    y_true: ArrayLike,
    sample_weight: ArrayLike | None = None,
    scale: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute a loss by name, with the gradient of any multiple of its sum.

    Parameters
    ----------
    kind : str
        "sparse_softmax_crossentropy" (labels), "softmax_crossentropy" (probabilities),
        "mean_squared_error" or "binary_crossentropy" (from logits).
    y_pred : array of shape (n, m)
    y_true : array of shape (n, m), or (n,) for labels
    sample_weight : array of shape (n,), optional
    scale : float, optional
        By default 1 / n.

    Returns
    -------
    losses : ndarray of shape (n,)
        The loss of each row, not weighted.
    gradient : ndarray of shape (n, m)
        The gradient of ``scale * sum(sample_weight * losses)`` with respect to `y_pred`.
    """
    check.choice(kind, "kind", _LOSSES)
    scale = None if scale is None else check.number(scale, "scale")
    return _loss(kind, (y_pred, "y_pred"), (y_true, "y_true"), sample_weight, scale)


_LOSSES = (
    "sparse_softmax_crossentropy",
    "softmax_crossentropy",
    "mean_squared_error",
    "binary_crossentropy",
)


def _loss(
    kind: str,
    pred: tuple[ArrayLike, str],
    true: tuple[ArrayLike, str],
    sample_weight: ArrayLike | None,
    scale: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    code = _LOSS_CODES[kind]
    if sample_weight is None:
        for kernel in _LOSS:
            result = kernel(code, pred[0], true[0], None, scale, _dispatch.threads)
            if result is not None:
                return result
    weight = (sample_weight, "sample_weight", None)
    if kind == "sparse_softmax_crossentropy":
        y_pred, weights = _operands((*pred, 2), weight)
        y_true = check.as_labels(*true, *y_pred.shape)
    else:
        y_pred, y_true, weights = _operands((*pred, 2), (*true, 2), weight)
        check.expect_shape(y_true, true[1], y_pred.shape)
    if weights is not None:
        weights = check.as_sample_weight(weights, "sample_weight", y_pred.shape[0])
    core = _dispatch.core(y_pred.dtype)
    return core.loss(code, y_pred, y_true, weights, scale, _dispatch.threads)


# ---- updates, in place -----------------------------------------------------------------------


def sgd_update(w: np.ndarray, g: ArrayLike, learning_rate: float) -> None:
    """Take a step of gradient descent in place: ``w -= learning_rate * g``.

    Parameters
    ----------
    w : ndarray of any shape
        Parameters, float32 or float64 in any layout; updated.
    g : array of the shape of `w`
        Their gradient; computed in the type of `w`.
    learning_rate : float
        At least 0.
    """
    if _stepped("sgd", (learning_rate,), w, g):
        return
    _update("sgd", [check.non_negative_rate(learning_rate, "learning_rate")], w, g)


def momentum_update(
    w: np.ndarray,
    g: ArrayLike,
    velocity: np.ndarray,
    learning_rate: float,
    momentum: float = 0.9,
    nesterov: bool = False,
) -> None:
    """Take a step of gradient descent with momentum, in place.

    ``velocity = momentum * velocity - learning_rate * g``, then ``w += velocity``, or with
    `nesterov` ``w += momentum * velocity - learning_rate * g``.

    Parameters
    ----------
    w, velocity : ndarray of any shape
        Parameters and their velocity, of one type and shape; both updated.
    g : array of the shape of `w`
    learning_rate : float
        At least 0.
    momentum : float
        In [0, 1].
    nesterov : bool
    """
    if type(nesterov) is bool and type(momentum) is float and momentum <= 1:
        kind = "nesterov" if nesterov else "momentum"
        if _stepped(kind, (learning_rate, momentum), w, g, velocity):
            return
    hyper = [
        check.non_negative_rate(learning_rate, "learning_rate"),
        check.fraction(momentum, "momentum", closed=True),
    ]
    kind = "nesterov" if check.flag(nesterov, "nesterov") else "momentum"
    _update(kind, hyper, w, g, velocity, "velocity")


def adagrad_update(
    w: np.ndarray,
    g: ArrayLike,
    accumulator: np.ndarray,
    learning_rate: float,
    epsilon: float = 1e-7,
) -> None:
    """Take a step of Adagrad in place.

    ``accumulator += g**2``, then ``w -= learning_rate * g / sqrt(accumulator + epsilon)``.

    Parameters
    ----------
    w, accumulator : ndarray of any shape
        Parameters and their sum of squared gradients, of one type and shape; both updated.
    g : array of the shape of `w`
    learning_rate, epsilon : float
        At least 0.
    """
    if _stepped("adagrad", (learning_rate, epsilon), w, g, accumulator):
        return
    hyper = [
        check.non_negative_rate(learning_rate, "learning_rate"),
        check.non_negative_rate(epsilon, "epsilon"),
    ]
    _update("adagrad", hyper, w, g, accumulator, "accumulator")


def update(
    kind: str,
    hyper: ArrayLike,
    w: np.ndarray,
    g: ArrayLike,
    slot: Any = None,
) -> None:
    """Take a step of an optimizer in place, by name.

    Parameters
    ----------
    kind : {"sgd", "momentum", "nesterov", "adagrad"}
    hyper : array of at most 8 numbers
        The learning rate; then the momentum, or Adagrad's epsilon.
    w : ndarray of any shape
        Parameters, float32 or float64 in any layout; updated.
    g : array of the shape of `w`
    slot : ndarray of the type and shape of `w`
        The velocity, or Adagrad's accumulator; updated. None for "sgd".
    """
    check.choice(kind, "kind", ("sgd", "momentum", "nesterov", "adagrad"))
    hyper = check.as_vector(hyper, "hyper", np.float64)
    if len(hyper) > 8:
        raise ValueError(f"hyper: expected at most 8 numbers, got {len(hyper)}")
    if _stepped(kind, tuple(hyper.tolist()), w, g, *(() if kind == "sgd" else (slot,))):
        return
    _update(kind, hyper, w, g, slot, "slot")


_MOST = float(np.finfo(np.float32).max)


def _stepped(kind: str, hyper: tuple, w: Any, g: Any, *slots: Any) -> bool:
    """Take the step if there is nothing to convert and both precisions hold the numbers."""
    for number in hyper:
        if type(number) is not float or not 0 <= number <= _MOST:
            return False
    code = _UPDATE_CODES[kind]
    for step in _STEP:
        done = step(code, hyper, w, g, slots, _dispatch.threads)
        if done is not None:
            return True
    return False


def _update(
    kind: str,
    hyper: list[float] | np.ndarray,
    w: np.ndarray,
    g: ArrayLike,
    slot: Any = None,
    slot_name: str = "",
) -> None:
    check.expect_updatable(w, "w")
    g = check.as_numbers(g, "g")
    check.expect_shape(g, "g", w.shape)
    written = [np.asarray(w)]
    if kind != "sgd":
        check.expect_updatable(slot, slot_name, like=w)
        check.expect_apart(slot, slot_name, w, "w")
        written.append(np.asarray(slot))
    dtype = check.real_dtype(w)
    g = np.asarray(check.as_real(g, "g", dtype), order="C")
    if any(np.may_share_memory(g, x) for x in written):
        g = g.copy()  # the core reads g while it writes w and the slot
    row = np.zeros(8, dtype)
    row[: len(hyper)] = hyper
    # Arrays that are not plain C arrays are updated in a copy and written back.
    plain = [x if _is_plain(x) else x.astype(dtype, order="C") for x in written]
    flat_w, *slots = [x.reshape(-1) for x in plain]
    step = _dispatch.core(dtype).update
    hyper = tuple(row.tolist())
    _delivered(
        step(_UPDATE_CODES[kind], hyper, flat_w, g.reshape(-1), tuple(slots), _dispatch.threads),
        None,
    )
    for x, result in zip(written, plain, strict=True):
        if result is not x:
            x[...] = result


def _is_plain(x: np.ndarray) -> bool:
    return x.flags.carray and x.dtype.isnative
