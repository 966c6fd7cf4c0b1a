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

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import _dispatch, _steps
from . import _validate as check

ArrayLike = Any  # what NumPy turns into an array; Any, for the name is bound to the array then
_CORES = (_dispatch.core("float32"), _dispatch.core("float64"))  # the more common one first

# Codes of the core, the same in both precisions.
_ROW_CODES = _CORES[0].ROW_ACTIVATIONS
_CODES = _CORES[0].ACTIVATIONS | _ROW_CODES
_CODES[None] = _CODES["linear"]
FROM_INPUT = _CORES[0].FROM_INPUT  # activations whose gradient is computed from their input
_LOSS_CODES = _CORES[0].LOSSES
_UPDATE_CODES = _CORES[0].UPDATES
_UPDATE_SLOTS = _CORES[0].UPDATE_SLOTS
_HYPERS = _CORES[0].hypers


def _in_both(name: str) -> list[Callable]:
    """Return the core's function for float32 and for float64, to be tried in turn."""
    return [getattr(core, name) for core in _CORES]


_MATMUL, _DENSE, _COLUMN_SUM = map(_in_both, ("matmul", "dense_forward", "column_sum"))
_ACTIVATE, _ACTIVATE_GRADIENT = map(_in_both, ("activate", "activate_gradient"))
_LOSS, _STEP = map(_in_both, ("loss", "update"))
_ADD_PENALTY, _SUM_OF_SQUARES = map(_in_both, ("add_penalty", "sum_of_squares"))
_AFFINE, _PRELU, _PRELU_GRADIENT = map(_in_both, ("affine", "prelu", "prelu_gradient"))
_BATCH = _in_both("batch_normalization")
_BATCH_GRADIENT = _in_both("batch_normalization_gradient")
_LAYER = _in_both("layer_normalization")
_LAYER_GRADIENT = _in_both("layer_normalization_gradient")
_MULTIPLY, _DROPOUT, _NOISE = map(_in_both, ("multiply", "dropout", "gaussian_noise"))


_OPTIONAL = ("beta", "bias", "center", "gamma", "sample_weight", "shift")


def _operands(*named: tuple[ArrayLike | None, str, int | None]) -> list:
    """Return the arrays of ``(array, name, axes)`` checked, in their common type and C layout.

    None stays None where it may stand for an array. Axes None means any shape; the rows of a matrix
    may lie apart.
    """
    arrays = [
        x if x is None and name in _OPTIONAL else check.as_numbers(x, name) for x, name, _ in named
    ]
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
    activation : str, optional
        Any name that `activate` takes; its parameters have their defaults.
    out : ndarray of shape (n, m), optional
        Must not overlap an input; its rows may lie apart.

    Returns
    -------
    ndarray of shape (n, m)
    """
    if activation is None or (type(activation) is str and activation in _ACTIVATIONS):
        code, numbers = _CODES[activation], DEFAULT_NUMBERS.get(activation, ())
        for forward in _DENSE:
            result = forward(x, kernel, bias, code, numbers, out, _dispatch.threads)
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
    code, numbers = _CODES[name], DEFAULT_NUMBERS.get(name, ())
    result = core.dense_forward(x, kernel, bias, code, numbers, None, _dispatch.threads)
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
        The output of `dense_forward`; or, for an activation whose gradient is computed from its
        input (`activate_gradient`), that input ``x @ kernel + bias``.
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
# What the core is given for the parameters of an activation. The three kinds of relu are one there,
# (slope, bound, threshold), so are the three of elu: p * x above 0, n * (exp(q * x) - 1) below.


def _relu(
    negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> tuple[float, ...]:
    floats = type(negative_slope) is type(threshold) is float
    if floats and negative_slope == threshold == 0 and max_value is None:
        return ()  # the plain one, sooner
    slope = check.non_negative_rate(negative_slope, "negative_slope")
    most = np.inf if max_value is None else check.non_negative_rate(max_value, "max_value")
    threshold = check.non_negative_rate(threshold, "threshold")
    return (slope, most, threshold) if slope or threshold or max_value is not None else ()


def _leaky_relu(negative_slope: float = 0.2) -> tuple[float, ...]:
    return check.non_negative_rate(negative_slope, "negative_slope"), np.inf, 0.0


def _elu(alpha: float = 1.0) -> tuple[float, ...]:
    return 1.0, check.non_negative_rate(alpha, "alpha"), 1.0


def _celu(alpha: float = 1.0) -> tuple[float, ...]:
    expected = "a number from 1e-30 to 1e30"  # of which float32 holds the inverse too
    found = check.number(alpha, "alpha", expected)
    if not 1e-30 <= found <= 1e30:
        raise ValueError(f"alpha: expected {expected}, got {alpha!r}")
    return 1.0, found, 1 / found


def _threshold(theta: float = 1.0) -> tuple[float, ...]:
    return 0.0, np.inf, check.non_negative_rate(theta, "theta")


# Of the parameters of each activation that has some: checks them and returns its numbers.
PARAMETERS: dict[str, Callable[..., tuple[float, ...]]] = {
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "celu": _celu,
    "threshold": _threshold,
}

# Self-normalizing networks, G. Klambauer et al., NeurIPS 2017: they keep mean 0 and variance 1.
SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717

# The numbers of every activation that has some, with its parameters at their defaults.
DEFAULT_NUMBERS: dict[str | None, tuple[float, ...]] = {
    "relu6": (0.0, 6.0, 0.0),
    "selu": (SELU_SCALE, SELU_SCALE * SELU_ALPHA, 1.0),
    **{name: numbers() for name, numbers in PARAMETERS.items()},
}


def _rows(x: np.ndarray, name: str, code: int) -> np.ndarray:
    """Return `x` as a matrix of its last axis."""
    if x.ndim == 0 and code in _ROW_CODES.values():
        raise ValueError(f"{name}: expected at least 1 axis, got 0 (shape ())")
    return x.reshape(-1, x.shape[-1] if x.ndim else 1)


def _apply(
    name: str, numbers: tuple[float, ...], x: ArrayLike, out: np.ndarray | None
) -> np.ndarray:
    """Call the function of this name in the core."""
    code = _CODES[name]
    for kernel in _ACTIVATE:
        result = kernel(code, numbers, x, out, _dispatch.threads)
        if result is not None:
            return result
    (x,) = _operands((x, "x", None))
    rows = _rows(x, "x", code)
    _expect_output_like(x, out, x=x)
    result = _dispatch.core(x.dtype).activate(code, numbers, rows, None, _dispatch.threads)
    return _delivered(result, out, x.shape)


def _apply_gradient(
    name: str,
    numbers: tuple[float, ...],
    saved: ArrayLike,
    dy: ArrayLike,
    out: np.ndarray | None,
) -> np.ndarray:
    """Call the gradient of the function of this name in the core."""
    code = _CODES[name]
    for kernel in _ACTIVATE_GRADIENT:
        result = kernel(code, numbers, saved, dy, out, _dispatch.threads)
        if result is not None:
            return result
    argument = "x" if name in FROM_INPUT else "y"
    saved, dy = _operands((saved, argument, None), (dy, "dy", None))
    check.expect_shape(dy, "dy", saved.shape)
    rows, slopes = _rows(saved, argument, code), _rows(dy, "dy", code)
    _expect_output_like(dy, out, **{argument: saved}, dy=dy)
    core = _dispatch.core(dy.dtype)
    result = core.activate_gradient(code, numbers, rows, slopes, None, _dispatch.threads)
    return _delivered(result, out, saved.shape)


def _function(name: str, doc: str) -> Callable[..., np.ndarray]:
    """Build the function of this name, without parameters."""
    code, numbers = _CODES[name], DEFAULT_NUMBERS.get(name, ())

    def function(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
        # As `_apply` begins: a call more is a twentieth of a microsecond.
        for kernel in _ACTIVATE:
            result = kernel(code, numbers, x, out, _dispatch.threads)
            if result is not None:
                return result
        return _apply(name, numbers, x, out)

    function.__doc__ = doc
    function.__name__ = function.__qualname__ = name
    return function


def _gradient(name: str, doc: str) -> Callable[..., np.ndarray]:
    """Build the gradient of the function of this name, without parameters."""
    numbers = DEFAULT_NUMBERS.get(name, ())

    def from_output(y: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
        return _apply_gradient(name, numbers, y, dy, out)

    def from_input(x: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
        return _apply_gradient(name, numbers, x, dy, out)

    function = from_input if name in FROM_INPUT else from_output
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
    argument, kind = ("x", "input") if name in FROM_INPUT else ("y", "output")
    return _gradient(
        name,
        f"""Compute the gradient of `{name}` from its {kind}: {what}.

    Parameters
    ----------
    {argument} : array of any shape
        The {kind} of `{name}`.
    dy : array of the shape of `{argument}`
        The gradient of the loss with respect to the output.
    out : ndarray of the shape of `{argument}`, optional
        May be `{argument}` or `dy` itself.

    Returns
    -------
    ndarray of the shape of `{argument}`
    """,
    )


linear = _elementwise("linear", "a copy of `x`")
sigmoid = _elementwise("sigmoid", "``1 / (1 + exp(-x))``")
tanh = _elementwise("tanh", "the hyperbolic tangent")
relu6 = _elementwise("relu6", "``min(max(x, 0), 6)``")
selu = _elementwise("selu", "``scale * x`` where ``x > 0``, else ``scale * alpha * (exp(x) - 1)``")
gelu = _elementwise("gelu", "``x * P(X <= x)``, `X` being standard normal, to the last places")
gelu_tanh = _elementwise(
    "gelu_tanh", "``x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))``"
)
silu = _elementwise("silu", "``x * sigmoid(x)``")
mish = _elementwise("mish", "``x * tanh(softplus(x))``")
softplus = _elementwise("softplus", "``log(1 + exp(x))``, without overflow")
softsign = _elementwise("softsign", "``x / (1 + abs(x))``")
exponential = _elementwise("exponential", "``exp(x)``, as an activation")
hard_sigmoid = _elementwise("hard_sigmoid", "``relu6(x + 3) / 6``")
hard_silu = _elementwise("hard_silu", "``x * hard_sigmoid(x)``")
hard_tanh = _elementwise("hard_tanh", "``min(max(x, -1), 1)``")
log_sigmoid = _elementwise("log_sigmoid", "``log(sigmoid(x))``, without its underflow")
step = _elementwise("step", "1 where ``x > 0``, else 0, also at 0")
exp = _elementwise("exp", "``exp(x)``")
log = _elementwise("log", "the natural logarithm: -inf at 0, NaN below")

linear_gradient = _elementwise_gradient("linear", "``dy``")
sigmoid_gradient = _elementwise_gradient("sigmoid", "``dy * y * (1 - y)``")
tanh_gradient = _elementwise_gradient("tanh", "``dy * (1 - y**2)``")
relu6_gradient = _elementwise_gradient("relu6", "``dy`` where ``0 < y < 6``, else 0")
selu_gradient = _elementwise_gradient(
    "selu", "``dy * scale`` where ``y > 0``, else ``dy * (y + scale * alpha)``"
)
gelu_gradient = _elementwise_gradient("gelu", "``dy * (P(X <= x) + x * density(x))``")
gelu_tanh_gradient = _elementwise_gradient(
    "gelu_tanh",
    "``dy * (s + x * s * (1 - s) * u')``, the function being ``x * s``, ``s = sigmoid(u)``",
)
silu_gradient = _elementwise_gradient("silu", "``dy * s * (1 + x * (1 - s))``, ``s = sigmoid(x)``")
mish_gradient = _elementwise_gradient(
    "mish", "``dy * (t + x * (1 - t**2) * sigmoid(x))``, ``t = tanh(softplus(x))``"
)
softplus_gradient = _elementwise_gradient("softplus", "``dy * (1 - exp(-y))``")
softsign_gradient = _elementwise_gradient("softsign", "``dy / (1 + abs(x))**2``")
exponential_gradient = _elementwise_gradient("exponential", "``dy * y``")
hard_sigmoid_gradient = _elementwise_gradient(
    "hard_sigmoid", "``dy / 6`` where ``0 < y < 1``, else 0"
)
hard_silu_gradient = _elementwise_gradient(
    "hard_silu", "``dy * (2 * x + 3) / 6`` where ``-3 < x <= 3``, 0 below, ``dy`` above"
)
hard_tanh_gradient = _elementwise_gradient("hard_tanh", "``dy`` where ``-1 < y < 1``, else 0")
log_sigmoid_gradient = _elementwise_gradient("log_sigmoid", "``dy * (1 - exp(y))``")
step_gradient = _elementwise_gradient("step", "0 everywhere, so nothing below it learns")


_RELU_CODE = _CODES["relu"]
_ZERO = 0.0


def relu(
    x: ArrayLike,
    negative_slope: float = _ZERO,
    max_value: float | None = None,
    threshold: float = _ZERO,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Compute ``max(x, 0)``, elementwise; or a form of it with slope, bound and threshold.

    ``min(x, max_value)`` where ``x > threshold``, else ``negative_slope * (x - threshold)``.

    Parameters
    ----------
    x : array of any shape
    negative_slope, threshold : float
        At least 0.
    max_value : float, optional
        At least 0; by default there is no bound.
    out : ndarray of the shape of `x`, optional
        May be `x` itself.

    Returns
    -------
    ndarray of the shape of `x`
    """
    if negative_slope is _ZERO is threshold and max_value is None:  # the plain one, sooner
        for kernel in _ACTIVATE:
            result = kernel(_RELU_CODE, (), x, out, _dispatch.threads)
            if result is not None:
                return result
    return _apply("relu", _relu(negative_slope, max_value, threshold), x, out)


def relu_gradient(
    y: ArrayLike,
    dy: ArrayLike,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Compute the gradient of `relu` from its output.

    ``dy`` where ``0 < y < max_value``, 0 where ``y >= max_value``, else ``negative_slope * dy``.

    Parameters
    ----------
    y : array of any shape
        The output of `relu`.
    dy : array of the shape of `y`
        The gradient of the loss with respect to `y`.
    negative_slope, max_value, threshold
        As in `relu`.
    out : ndarray of the shape of `y`, optional
        May be `y` or `dy` itself.

    Returns
    -------
    ndarray of the shape of `y`
    """
    return _apply_gradient("relu", _relu(negative_slope, max_value, threshold), y, dy, out)


def leaky_relu(
    x: ArrayLike, negative_slope: float = 0.2, out: np.ndarray | None = None
) -> np.ndarray:
    """Compute ``x`` where ``x > 0``, else ``negative_slope * x``, elementwise.

    Parameters
    ----------
    x : array of any shape
    negative_slope : float
        At least 0.
    out : ndarray of the shape of `x`, optional
        May be `x` itself.

    Returns
    -------
    ndarray of the shape of `x`
    """
    return _apply("leaky_relu", _leaky_relu(negative_slope), x, out)


def leaky_relu_gradient(
    y: ArrayLike, dy: ArrayLike, negative_slope: float = 0.2, out: np.ndarray | None = None
) -> np.ndarray:
    """Compute the gradient of `leaky_relu` from its output.

    ``dy`` where ``y > 0``, else ``negative_slope * dy``.

    Parameters
    ----------
    y : array of any shape
        The output of `leaky_relu`.
    dy : array of the shape of `y`
        The gradient of the loss with respect to `y`.
    negative_slope : float
        As in `leaky_relu`.
    out : ndarray of the shape of `y`, optional
        May be `y` or `dy` itself.

    Returns
    -------
    ndarray of the shape of `y`
    """
    return _apply_gradient("leaky_relu", _leaky_relu(negative_slope), y, dy, out)


def elu(x: ArrayLike, alpha: float = 1.0, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``x`` where ``x > 0``, else ``alpha * (exp(x) - 1)``, elementwise.

    Parameters
    ----------
    x : array of any shape
    alpha : float
        At least 0.
    out : ndarray of the shape of `x`, optional
        May be `x` itself.

    Returns
    -------
    ndarray of the shape of `x`
    """
    return _apply("elu", _elu(alpha), x, out)


def elu_gradient(
    y: ArrayLike, dy: ArrayLike, alpha: float = 1.0, out: np.ndarray | None = None
) -> np.ndarray:
    """Compute the gradient of `elu` from its output.

    ``dy`` where ``y > 0``, else ``dy * (y + alpha)``.

    Parameters
    ----------
    y : array of any shape
        The output of `elu`.
    dy : array of the shape of `y`
        The gradient of the loss with respect to `y`.
    alpha : float
        As in `elu`.
    out : ndarray of the shape of `y`, optional
        May be `y` or `dy` itself.

    Returns
    -------
    ndarray of the shape of `y`
    """
    return _apply_gradient("elu", _elu(alpha), y, dy, out)


def celu(x: ArrayLike, alpha: float = 1.0, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``x`` where ``x > 0``, else ``alpha * (exp(x / alpha) - 1)``, elementwise.

    Parameters
    ----------
    x : array of any shape
    alpha : float
        From 1e-30 to 1e30.
    out : ndarray of the shape of `x`, optional
        May be `x` itself.

    Returns
    -------
    ndarray of the shape of `x`
    """
    return _apply("celu", _celu(alpha), x, out)


def celu_gradient(
    y: ArrayLike, dy: ArrayLike, alpha: float = 1.0, out: np.ndarray | None = None
) -> np.ndarray:
    """Compute the gradient of `celu` from its output.

    ``dy`` where ``y > 0``, else ``dy * (y / alpha + 1)``.

    Parameters
    ----------
    y : array of any shape
        The output of `celu`.
    dy : array of the shape of `y`
        The gradient of the loss with respect to `y`.
    alpha : float
        As in `celu`.
    out : ndarray of the shape of `y`, optional
        May be `y` or `dy` itself.

    Returns
    -------
    ndarray of the shape of `y`
    """
    return _apply_gradient("celu", _celu(alpha), y, dy, out)


def threshold(x: ArrayLike, theta: float = 1.0, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``x`` where ``x > theta``, else 0, elementwise.

    Parameters
    ----------
    x : array of any shape
    theta : float
        At least 0.
    out : ndarray of the shape of `x`, optional
        May be `x` itself.

    Returns
    -------
    ndarray of the shape of `x`
    """
    return _apply("threshold", _threshold(theta), x, out)


def threshold_gradient(
    y: ArrayLike, dy: ArrayLike, theta: float = 1.0, out: np.ndarray | None = None
) -> np.ndarray:
    """Compute the gradient of `threshold` from its output.

    ``dy`` where ``y > 0``, else 0.

    Parameters
    ----------
    y : array of any shape
        The output of `threshold`.
    dy : array of the shape of `y`
        The gradient of the loss with respect to `y`.
    theta : float
        As in `threshold`.
    out : ndarray of the shape of `y`, optional
        May be `y` or `dy` itself.

    Returns
    -------
    ndarray of the shape of `y`
    """
    return _apply_gradient("threshold", _threshold(theta), y, dy, out)


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
    """Compute the logarithm of `softmax` over the last axis, without its underflow.

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


# ---- by name ---------------------------------------------------------------------------------

_ACTIVATIONS: dict[str, tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]] = {
    "linear": (linear, linear_gradient),
    "sigmoid": (sigmoid, sigmoid_gradient),
    "tanh": (tanh, tanh_gradient),
    "relu": (relu, relu_gradient),
    "relu6": (relu6, relu6_gradient),
    "leaky_relu": (leaky_relu, leaky_relu_gradient),
    "elu": (elu, elu_gradient),
    "selu": (selu, selu_gradient),
    "celu": (celu, celu_gradient),
    "gelu": (gelu, gelu_gradient),
    "gelu_tanh": (gelu_tanh, gelu_tanh_gradient),
    "silu": (silu, silu_gradient),
    "mish": (mish, mish_gradient),
    "softplus": (softplus, softplus_gradient),
    "softsign": (softsign, softsign_gradient),
    "exponential": (exponential, exponential_gradient),
    "hard_sigmoid": (hard_sigmoid, hard_sigmoid_gradient),
    "hard_silu": (hard_silu, hard_silu_gradient),
    "hard_tanh": (hard_tanh, hard_tanh_gradient),
    "log_sigmoid": (log_sigmoid, log_sigmoid_gradient),
    "threshold": (threshold, threshold_gradient),
    "step": (step, step_gradient),
    "softmax": (softmax, softmax_gradient),
    "log_softmax": (log_softmax, log_softmax_gradient),
}


def _activation(name: str | None, argument: str) -> str:
    return "linear" if name is None else check.choice(name, argument, _ACTIVATIONS)


def activate(name: str, x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Apply an activation by name.

    Parameters
    ----------
    name : {"linear", "sigmoid", "tanh", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", \
"gelu", "gelu_tanh", "silu", "mish", "softplus", "softsign", "exponential", "hard_sigmoid", \
"hard_silu", "hard_tanh", "log_sigmoid", "threshold", "step", "softmax", "log_softmax"}
    x, out
        As in the function of that name, whose parameters have their defaults.

    Returns
    -------
    ndarray of the shape of `x`

    Raises
    ------
    ValueError
        If there is no such activation; near matches are named.
    """
    return _ACTIVATIONS[check.choice(name, "name", _ACTIVATIONS)][0](x, out=out)


def activate_gradient(
    name: str, y: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None
) -> np.ndarray:
    """Compute the gradient of an activation by name.

    Parameters
    ----------
    name : str
        As in `activate`.
    y : array
        The output of the activation, or its input for gelu, gelu_tanh, silu, mish, softsign and
        hard_silu (`FROM_INPUT`).
    dy, out
        As in the gradient function of that name.

    Returns
    -------
    ndarray of the shape of `y`

    Raises
    ------
    ValueError
        If there is no such activation; near matches are named.
    """
    return _ACTIVATIONS[check.choice(name, "name", _ACTIVATIONS)][1](y, dy, out=out)


# ---- by columns and by rows ------------------------------------------------------------------


def affine(
    x: ArrayLike,
    scale: ArrayLike,
    shift: ArrayLike | None = None,
    center: ArrayLike | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Compute ``(x - center) * scale + shift`` by columns.

    Parameters
    ----------
    x : array of shape (n, m)
    scale : array of shape (m,)
    shift, center : array of shape (m,), optional
        By default 0.
    out : ndarray of shape (n, m), optional
        May be `x` itself.

    Returns
    -------
    ndarray of shape (n, m)
        Rounded after the subtraction and once more, after the product and sum.
    """
    for kernel in _AFFINE:
        result = kernel(x, scale, shift, center, out, _dispatch.threads)
        if result is not None:
            return result
    x, *vectors = _operands(
        (x, "x", 2), (scale, "scale", 1), (shift, "shift", 1), (center, "center", 1)
    )
    _expect_vectors(x.shape[1], scale=vectors[0], shift=vectors[1], center=vectors[2])
    _expect_output_like(x, out, x=x)
    for name, vector in zip(("scale", "shift", "center"), vectors, strict=True):
        if out is not None and vector is not None:
            check.expect_apart(out, "out", vector, name)
    x = np.ascontiguousarray(x)
    return _delivered(_dispatch.core(x.dtype).affine(x, *vectors, None, _dispatch.threads), out)


def _expect_vectors(length: int, **vectors: np.ndarray | None) -> None:
    for name, vector in vectors.items():
        if vector is not None:
            check.expect_shape(vector, name, (length,))


def prelu(x: ArrayLike, alpha: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute `x` where ``x > 0``, else ``alpha * x``.

    Parameters
    ----------
    x : array of shape (n, m)
    alpha : array of shape (m,)
    out : ndarray of shape (n, m), optional
        May be `x` itself.

    Returns
    -------
    ndarray of shape (n, m)
    """
    for kernel in _PRELU:
        result = kernel(x, alpha, out, _dispatch.threads)
        if result is not None:
            return result
    x, alpha = _operands((x, "x", 2), (alpha, "alpha", 1))
    _expect_vectors(x.shape[1], alpha=alpha)
    _expect_output_like(x, out, x=x)
    if out is not None:
        check.expect_apart(out, "out", alpha, "alpha")
    x = np.ascontiguousarray(x)
    return _delivered(_dispatch.core(x.dtype).prelu(x, alpha, None, _dispatch.threads), out)


def prelu_gradient(x: ArrayLike, alpha: ArrayLike, dy: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Carry a gradient back through `prelu`, from its input.

    Parameters
    ----------
    x, dy : array of shape (n, m)
    alpha : array of shape (m,)

    Returns
    -------
    dx : ndarray of shape (n, m)
        ``dy`` where ``x > 0``, ``alpha * dy`` where ``x < 0``, 0 where ``x == 0``.
    dalpha : ndarray of shape (m,)
        The sum of ``x * dy`` over the rows where ``x < 0``.
    """
    for kernel in _PRELU_GRADIENT:
        result = kernel(x, alpha, dy, _dispatch.threads)
        if result is not None:
            return result
    x, alpha, dy = _operands((x, "x", 2), (alpha, "alpha", 1), (dy, "dy", 2))
    _expect_vectors(x.shape[1], alpha=alpha)
    check.expect_shape(dy, "dy", x.shape)
    return _dispatch.core(x.dtype).prelu_gradient(x, alpha, dy, _dispatch.threads)


def batch_normalization(
    x: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    epsilon: float = 1e-3,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalise each column: ``gamma * (x - mean) / sqrt(variance + epsilon) + beta``.

    Parameters
    ----------
    x : array of shape (n, m)
    gamma, beta : array of shape (m,), optional
        By default 1 and 0.
    epsilon : float
        At least 0.

    Returns
    -------
    y : ndarray of shape (n, m)
    mean, variance : ndarray of shape (m,)
        Of the columns; the variance is the mean of the squared deviations.
    """
    epsilon = check.non_negative_rate(epsilon, "epsilon")
    for kernel in _BATCH:
        result = kernel(x, gamma, beta, epsilon, _dispatch.threads)
        if result is not None:
            return result
    x, gamma, beta = _operands((x, "x", 2), (gamma, "gamma", 1), (beta, "beta", 1))
    _expect_vectors(x.shape[1], gamma=gamma, beta=beta)
    core = _dispatch.core(x.dtype)
    return core.batch_normalization(x, gamma, beta, epsilon, _dispatch.threads)


def batch_normalization_gradient(
    x: ArrayLike,
    mean: ArrayLike,
    variance: ArrayLike,
    gamma: ArrayLike | None,
    dy: ArrayLike,
    epsilon: float = 1e-3,
    constant: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Carry a gradient back through `batch_normalization`.

    Parameters
    ----------
    x, dy : array of shape (n, m)
    mean, variance : array of shape (m,)
    gamma : array of shape (m,) or None
    epsilon : float
        At least 0.
    constant : bool
        Whether mean and variance are not those of `x`, but constants.

    Returns
    -------
    dx : ndarray of shape (n, m)
    dgamma, dbeta : ndarray of shape (m,)
    """
    epsilon = check.non_negative_rate(epsilon, "epsilon")
    constant = check.flag(constant, "constant")
    for kernel in _BATCH_GRADIENT:
        result = kernel(x, mean, variance, gamma, dy, epsilon, constant, _dispatch.threads)
        if result is not None:
            return result
    x, mean, variance, gamma, dy = _operands(
        (x, "x", 2),
        (mean, "mean", 1),
        (variance, "variance", 1),
        (gamma, "gamma", 1),
        (dy, "dy", 2),
    )
    _expect_vectors(x.shape[1], mean=mean, variance=variance, gamma=gamma)
    check.expect_shape(dy, "dy", x.shape)
    gradient = _dispatch.core(x.dtype).batch_normalization_gradient
    return gradient(x, mean, variance, gamma, dy, epsilon, constant, _dispatch.threads)


def layer_normalization(
    x: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    epsilon: float = 1e-3,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalise each row: ``gamma * (x - mean) / sqrt(variance + epsilon) + beta``.

    Parameters
    ----------
    x : array of shape (n, m)
    gamma, beta : array of shape (m,), optional
        By default 1 and 0.
    epsilon : float
        At least 0.

    Returns
    -------
    y : ndarray of shape (n, m)
    mean, inverse : ndarray of shape (n,)
        Of the rows: the mean, and ``1 / sqrt(variance + epsilon)``.
    """
    epsilon = check.non_negative_rate(epsilon, "epsilon")
    for kernel in _LAYER:
        result = kernel(x, gamma, beta, epsilon, _dispatch.threads)
        if result is not None:
            return result
    x, gamma, beta = _operands((x, "x", 2), (gamma, "gamma", 1), (beta, "beta", 1))
    _expect_vectors(x.shape[1], gamma=gamma, beta=beta)
    core = _dispatch.core(x.dtype)
    return core.layer_normalization(x, gamma, beta, epsilon, _dispatch.threads)


def layer_normalization_gradient(
    x: ArrayLike, mean: ArrayLike, inverse: ArrayLike, gamma: ArrayLike | None, dy: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Carry a gradient back through `layer_normalization`.

    Parameters
    ----------
    x, dy : array of shape (n, m)
    mean, inverse : array of shape (n,)
        As `layer_normalization` returned them.
    gamma : array of shape (m,) or None

    Returns
    -------
    dx : ndarray of shape (n, m)
    dgamma, dbeta : ndarray of shape (m,)
    """
    for kernel in _LAYER_GRADIENT:
        result = kernel(x, mean, inverse, gamma, dy, _dispatch.threads)
        if result is not None:
            return result
    x, mean, inverse, gamma, dy = _operands(
        (x, "x", 2), (mean, "mean", 1), (inverse, "inverse", 1), (gamma, "gamma", 1), (dy, "dy", 2)
    )
    _expect_vectors(x.shape[0], mean=mean, inverse=inverse)
    _expect_vectors(x.shape[1], gamma=gamma)
    check.expect_shape(dy, "dy", x.shape)
    gradient = _dispatch.core(x.dtype).layer_normalization_gradient
    return gradient(x, mean, inverse, gamma, dy, _dispatch.threads)


# ---- by chance -------------------------------------------------------------------------------


def multiply(x: ArrayLike, y: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``x * y``, elementwise; `dropout`'s gradient is ``mask * dy``.

    Parameters
    ----------
    x, y : array of any one shape
    out : ndarray of that shape, optional
        May be `x` or `y` itself.

    Returns
    -------
    ndarray of that shape
    """
    for kernel in _MULTIPLY:
        result = kernel(x, y, out, _dispatch.threads)
        if result is not None:
            return result
    x, y = _operands((x, "x", None), (y, "y", None))
    check.expect_shape(y, "y", x.shape)
    _expect_output_like(x, out, x=x, y=y)
    core = _dispatch.core(x.dtype)
    result = core.multiply(x.reshape(-1), y.reshape(-1), None, _dispatch.threads)
    return _delivered(result, out, x.shape)


def dropout(x: ArrayLike, rate: float, seed: int, number: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Set each element to 0 with probability `rate`, and divide the others by ``1 - rate``.

    Parameters
    ----------
    x : array of shape (n, m)
    rate : float
        In [0, 1].
    seed, number : int
        At least 0, below 2**64. The same two give the same elements, in float32 and float64 and
        on any number of threads; every `number` of one seed is another draw.

    Returns
    -------
    y, mask : ndarray of shape (n, m)
        ``x * mask``, and 0 or ``1 / (1 - rate)``.
    """
    rate = check.fraction(rate, "rate", closed=True)
    seed, number = check.counter(seed, "seed"), check.counter(number, "number")
    for kernel in _DROPOUT:
        result = kernel(x, rate, seed, number, _dispatch.threads)
        if result is not None:
            return result
    (x,) = _operands((x, "x", 2))
    return _dispatch.core(x.dtype).dropout(x, rate, seed, number, _dispatch.threads)


def gaussian_noise(x: ArrayLike, stddev: float, seed: int, number: int = 0) -> np.ndarray:
    """Add numbers of the normal distribution, of mean 0.

    Parameters
    ----------
    x : array of shape (n, m)
    stddev : float
        At least 0.
    seed, number : int
        As in `dropout`.

    Returns
    -------
    ndarray of shape (n, m)
    """
    stddev = check.non_negative_rate(stddev, "stddev")
    seed, number = check.counter(seed, "seed"), check.counter(number, "number")
    for kernel in _NOISE:
        result = kernel(x, stddev, seed, number, _dispatch.threads)
        if result is not None:
            return result
    (x,) = _operands((x, "x", 2))
    return _dispatch.core(x.dtype).gaussian_noise(x, stddev, seed, number, _dispatch.threads)


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
    numbers: Sequence[float] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Compute a loss by name, with the gradient of any multiple of its sum.

    Parameters
    ----------
    kind : str
        A loss in snake case, as ``"huber"``; a cross-entropy of logits
        ("sparse_softmax_crossentropy", "softmax_crossentropy", "binary_crossentropy",
        "binary_focal_crossentropy") or of probabilities ("sparse_crossentropy_of_probabilities"
        and so on).
    y_pred : array of shape (n, m)
    y_true : array of shape (n, m), or (n,) for labels
    sample_weight : array of shape (n,), optional
    scale : float, optional
        By default 1 / n.
    numbers : sequence of float
        What the loss has beside arrays, by default as its class in `fastnn.losses` has it:
        "huber" (delta,), "quantile" (quantile,), "contrastive" and "triplet" (margin,),
        cross-entropies with targets (label_smoothing,), the focal ones (label_smoothing, gamma,
        weight of 1, weight of 0).

    Returns
    -------
    losses : ndarray of shape (n,)
        The loss of each row, not weighted.
    gradient : ndarray of shape (n, m)
        The gradient of ``scale * sum(sample_weight * losses)`` with respect to `y_pred`. Of
        "root_mean_squared_error", whose losses are the mean squares: that of the root of it.
    """
    check.choice(kind, "kind", _LOSS_CODES)
    scale = None if scale is None else check.number(scale, "scale")
    return _loss(
        kind, (y_pred, "y_pred"), (y_true, "y_true"), sample_weight, scale, _numbers(kind, numbers)
    )


_TAKE_LABELS = ("sparse_softmax_crossentropy", "sparse_crossentropy_of_probabilities", "triplet")
_LOSS_NUMBERS: dict[str, tuple[float, ...]] = {
    "softmax_crossentropy": (0.0,),
    "crossentropy_of_probabilities": (0.0,),
    "binary_crossentropy": (0.0,),
    "binary_crossentropy_of_probabilities": (0.0,),
    "binary_focal_crossentropy": (0.0, 2.0, 1.0, 1.0),
    "binary_focal_crossentropy_of_probabilities": (0.0, 2.0, 1.0, 1.0),
    "huber": (1.0,),
    "quantile": (0.5,),
    "contrastive": (1.0,),
    "triplet": (1.0,),
}


def _numbers(kind: str, numbers: Sequence[float]) -> tuple[float, ...]:
    """Return the numbers of a loss, its defaults in the place of those that are not given."""
    defaults = _LOSS_NUMBERS.get(kind, ())
    if len(numbers) > len(defaults):
        raise ValueError(
            f"numbers: expected at most {len(defaults)} for {kind}, got {len(numbers)}"
        )
    found = tuple(check.number(x, f"numbers[{i}]") for i, x in enumerate(numbers))
    return found + defaults[len(found) :]


def _loss(
    kind: str,
    pred: tuple[ArrayLike, str],
    true: tuple[ArrayLike, str],
    sample_weight: ArrayLike | None,
    scale: float | None = None,
    numbers: tuple[float, ...] = (),
) -> tuple[np.ndarray, np.ndarray]:
    code = _LOSS_CODES[kind]
    if sample_weight is None:
        for kernel in _LOSS:
            result = kernel(code, numbers, pred[0], true[0], None, scale, _dispatch.threads)
            if result is not None:
                return result
    weight = (sample_weight, "sample_weight", None)
    if kind in _TAKE_LABELS:
        y_pred, weights = _operands((*pred, 2), weight)
        n, classes = y_pred.shape
        y_true = check.as_labels(*true, n, None if kind == "triplet" else classes)
    else:
        y_pred, y_true, weights = _operands((*pred, 2), (*true, 2), weight)
        check.expect_shape(y_true, true[1], y_pred.shape)
    if weights is not None:
        weights = check.as_sample_weight(weights, "sample_weight", y_pred.shape[0])
    core = _dispatch.core(y_pred.dtype)
    return core.loss(code, numbers, y_pred, y_true, weights, scale, _dispatch.threads)


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
    _update("sgd", [check.non_negative_rate(learning_rate, "learning_rate")], w, g, {})


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
    _update(kind, hyper, w, g, {"velocity": velocity})


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
    _update("adagrad", hyper, w, g, {"accumulator": accumulator})


def rmsprop_update(
    w: np.ndarray,
    g: ArrayLike,
    velocity: np.ndarray,
    learning_rate: float,
    rho: float = 0.9,
    epsilon: float = 1e-7,
    momentum: float = 0.0,
    increment: np.ndarray | None = None,
    average_gradient: np.ndarray | None = None,
) -> None:
    """Take a step of RMSprop in place.

    ``velocity = rho * velocity + (1 - rho) * g**2``, then
    ``w -= learning_rate * g / sqrt(velocity + epsilon)``.

    Parameters
    ----------
    w, velocity : ndarray of any shape
        Parameters and the running mean of squared gradients, of one type and shape; both updated.
    g : array of the shape of `w`
    learning_rate, epsilon : float
        At least 0.
    rho, momentum : float
        In [0, 1]; `momentum` only counts with `increment`.
    increment : ndarray, optional
        Like `w`; updated: ``increment = momentum * increment + learning_rate * g / sqrt(...)`` is
        then what is taken off `w`.
    average_gradient : ndarray, optional
        Like `w`; updated: the running mean of ``g``. Its square is then taken off `velocity` under
        the root, the result being at least 0.
    """
    hyper = _steps.rmsprop(
        check.non_negative_rate(learning_rate, "learning_rate"),
        check.fraction(rho, "rho", closed=True),
        check.non_negative_rate(epsilon, "epsilon"),
        check.fraction(momentum, "momentum", closed=True),
    )
    kind, slots = "rmsprop", {"velocity": velocity}
    if average_gradient is not None:
        kind, slots["average_gradient"] = "rmsprop_centered", average_gradient
    if increment is not None:
        kind, slots["increment"] = f"{kind}_momentum", increment
    _take(kind, hyper, w, g, slots)


def adadelta_update(
    w: np.ndarray,
    g: ArrayLike,
    accumulated_grad: np.ndarray,
    accumulated_delta_var: np.ndarray,
    learning_rate: float = 0.001,
    rho: float = 0.95,
    epsilon: float = 1e-7,
) -> None:
    """Take a step of Adadelta in place.

    Parameters
    ----------
    w, accumulated_grad, accumulated_delta_var : ndarray of any shape
        Parameters, the running mean of squared gradients and that of squared steps (before the
        learning rate), of one type and shape; all updated.
    g : array of the shape of `w`
    learning_rate, epsilon : float
        At least 0.
    rho : float
        In [0, 1].
    """
    hyper = _steps.adadelta(
        check.non_negative_rate(learning_rate, "learning_rate"),
        check.fraction(rho, "rho", closed=True),
        check.non_negative_rate(epsilon, "epsilon"),
    )
    slots = {"accumulated_grad": accumulated_grad, "accumulated_delta_var": accumulated_delta_var}
    _take("adadelta", hyper, w, g, slots)


def adam_update(
    w: np.ndarray,
    g: ArrayLike,
    momentum: np.ndarray,
    velocity: np.ndarray,
    step: int,
    learning_rate: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    velocity_hat: np.ndarray | None = None,
) -> None:
    """Take a step of Adam in place.

    ``w -= rate * momentum / (sqrt(velocity) + epsilon)`` with
    ``rate = learning_rate * sqrt(1 - beta_2**step) / (1 - beta_1**step)``.

    Parameters
    ----------
    w, momentum, velocity : ndarray of any shape
        Parameters, the running mean of the gradients and that of their squares, of one type and
        shape; all updated.
    g : array of the shape of `w`
    step : int
        The number of this step, from 1.
    learning_rate, epsilon : float
        At least 0.
    beta_1, beta_2 : float
        In [0, 1).
    velocity_hat : ndarray, optional
        Like `w`; updated: the largest `velocity` so far, which is then under the root (AMSGrad).
    """
    hyper = _steps.adam(*_adam_arguments(step, learning_rate, beta_1, beta_2, epsilon))
    kind, slots = "adam", {"momentum": momentum, "velocity": velocity}
    if velocity_hat is not None:
        kind, slots["velocity_hat"] = "amsgrad", velocity_hat
    _take(kind, hyper, w, g, slots)


def adamax_update(
    w: np.ndarray,
    g: ArrayLike,
    momentum: np.ndarray,
    norm: np.ndarray,
    step: int,
    learning_rate: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
) -> None:
    """Take a step of Adamax in place.

    ``w -= learning_rate / (1 - beta_1**step) * momentum / (norm + epsilon)``.

    Parameters
    ----------
    w, momentum, norm : ndarray of any shape
        Parameters, the running mean of the gradients and ``max(beta_2 * norm, |g|)``, of one type
        and shape; all updated.
    g, step, learning_rate, beta_1, beta_2, epsilon
        See `adam_update`.
    """
    hyper = _steps.adamax(*_adam_arguments(step, learning_rate, beta_1, beta_2, epsilon))
    _take("adamax", hyper, w, g, {"momentum": momentum, "norm": norm})


def nadam_update(
    w: np.ndarray,
    g: ArrayLike,
    momentum: np.ndarray,
    velocity: np.ndarray,
    step: int,
    learning_rate: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
) -> None:
    """Take a step of Nadam in place: Adam with Nesterov's look ahead, and a momentum that grows.

    Parameters
    ----------
    w, momentum, velocity : ndarray of any shape
        Parameters, the running mean of the gradients and that of their squares, of one type and
        shape; all updated.
    g, step, learning_rate, beta_1, beta_2, epsilon
        See `adam_update`.
    """
    hyper = _steps.nadam(*_adam_arguments(step, learning_rate, beta_1, beta_2, epsilon))
    _take("nadam", hyper, w, g, {"momentum": momentum, "velocity": velocity})


def lion_update(
    w: np.ndarray,
    g: ArrayLike,
    momentum: np.ndarray,
    learning_rate: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.99,
) -> None:
    """Take a step of Lion in place.

    ``w -= learning_rate * sign(beta_1 * momentum + (1 - beta_1) * g)``, then
    ``momentum = beta_2 * momentum + (1 - beta_2) * g``.

    Parameters
    ----------
    w, momentum : ndarray of any shape
        Parameters and the running mean of the gradients, of one type and shape; both updated.
    g : array of the shape of `w`
    learning_rate : float
        At least 0.
    beta_1, beta_2 : float
        In [0, 1].
    """
    hyper = _steps.lion(
        check.non_negative_rate(learning_rate, "learning_rate"),
        check.fraction(beta_1, "beta_1", closed=True),
        check.fraction(beta_2, "beta_2", closed=True),
    )
    _take("lion", hyper, w, g, {"momentum": momentum})


def update(kind: str, hyper: ArrayLike, w: np.ndarray, g: ArrayLike, *slots: np.ndarray) -> None:
    """Take a step of an optimizer in place, by name.

    Parameters
    ----------
    kind : str
        The name of an update, such as "sgd" or "adam" (`Optimizer.kernel_name`).
    hyper : array of at most 12 numbers
        As `Optimizer.hyper` gives them: up to eight of the formula, the first one being the
        learning rate (with all corrections), then ``learning_rate * weight_decay`` and the size
        that elements of `g` are clipped to (0: not at all).
    w : ndarray of any shape
        Parameters, float32 or float64 in any layout; updated.
    g : array of the shape of `w`
    *slots : ndarray of the type and shape of `w`
        What the update keeps from step to step, in the order of `Optimizer.kernel_slots`; updated.
    """
    check.choice(kind, "kind", _UPDATE_CODES)
    hyper = check.as_vector(hyper, "hyper", np.float64)
    if len(hyper) > _HYPERS:
        raise ValueError(f"hyper: expected at most {_HYPERS} numbers, got {len(hyper)}")
    if len(slots) != _UPDATE_SLOTS[kind]:
        expected = check.plural(_UPDATE_SLOTS[kind], "array")
        raise ValueError(f"slots: expected {expected} for {kind!r}, got {len(slots)}")
    if not _stepped(kind, tuple(hyper.tolist()), w, g, *slots):
        _update(kind, hyper, w, g, {f"slots[{i}]": slot for i, slot in enumerate(slots)})


# ---- gradients before a step -----------------------------------------------------------------


def add_penalty(g: np.ndarray, w: ArrayLike, l1: float = 0.0, l2: float = 0.0) -> None:
    """Add the gradient of the penalty ``l1 * |w| + l2 * w**2`` in place.

    ``g = (g + l1 * sign(w)) + (2 * l2) * w``, rounded after every operation.

    Parameters
    ----------
    g : ndarray of any shape
        A gradient, float32 or float64 in any layout; updated.
    w : array of the shape of `g`
        The parameters; computed in the type of `g`.
    l1, l2 : float
        At least 0.
    """
    l1, l2 = check.non_negative_rate(l1, "l1"), check.non_negative_rate(l2, "l2")
    if max(l1, l2) <= _MOST:
        for kernel in _ADD_PENALTY:
            if kernel(g, w, l1, l2, _dispatch.threads) is not None:
                return
    check.expect_updatable(g, "g")
    w = check.as_numbers(w, "w")
    check.expect_shape(w, "w", g.shape)
    dtype = check.real_dtype(g)
    w = np.asarray(check.as_real(w, "w", dtype), order="C")
    l1, l2 = (float(check.as_real(x, name, dtype)) for x, name in ((l1, "l1"), (l2, "l2")))
    if np.may_share_memory(w, g):
        w = w.copy()
    plain = g if _is_plain(g) else g.astype(dtype, order="C")
    step = _dispatch.core(dtype).add_penalty
    _delivered(step(plain.reshape(-1), w.reshape(-1), l1, l2, _dispatch.threads), None)
    if plain is not g:
        g[...] = plain


def sum_of_squares(x: ArrayLike) -> float:
    """Sum the squares of all elements, in float64: the square of the array's norm.

    Row by row (a row is the last axis), each in a fixed order: the same for any number of threads.

    Parameters
    ----------
    x : array of any shape

    Returns
    -------
    float
    """
    for kernel in _SUM_OF_SQUARES:
        total = kernel(x, _dispatch.threads)
        if total is not None:
            return total
    (x,) = _operands((x, "x", None))
    return _dispatch.core(x.dtype).sum_of_squares(np.atleast_1d(x), _dispatch.threads)


# ---- how a step is taken -----------------------------------------------------------------------

_MOST = float(np.finfo(np.float32).max)


def _adam_arguments(
    step: Any, learning_rate: Any, beta_1: Any, beta_2: Any, epsilon: Any
) -> tuple[int, float, float, float, float]:
    return (
        check.positive_int(step, "step"),
        check.non_negative_rate(learning_rate, "learning_rate"),
        check.fraction(beta_1, "beta_1"),
        check.fraction(beta_2, "beta_2"),
        check.non_negative_rate(epsilon, "epsilon"),
    )


def _take(
    kind: str, hyper: tuple, w: np.ndarray, g: ArrayLike, slots: dict[str, np.ndarray]
) -> None:
    row = [float(number) for number in hyper]
    if not _stepped(kind, tuple(row), w, g, *slots.values()):
        _update(kind, row, w, g, slots)


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
    slots: dict[str, np.ndarray],
) -> None:
    check.expect_updatable(w, "w")
    g = check.as_numbers(g, "g")
    check.expect_shape(g, "g", w.shape)
    written = {"w": np.asarray(w)}
    for name, slot in slots.items():
        check.expect_updatable(slot, name, like=w)
        for other, x in written.items():
            check.expect_apart(slot, name, x, other)
        written[name] = np.asarray(slot)
    dtype = check.real_dtype(w)
    g = np.asarray(check.as_real(g, "g", dtype), order="C")
    if any(np.may_share_memory(g, x) for x in written.values()):
        g = g.copy()  # the core reads g while it writes w and the slots
    row = np.zeros(_HYPERS, dtype)
    row[: len(hyper)] = hyper
    # Arrays that are not plain C arrays are updated in a copy and written back.
    plain = [x if _is_plain(x) else x.astype(dtype, order="C") for x in written.values()]
    flat_w, *flat = [x.reshape(-1) for x in plain]
    step = _dispatch.core(dtype).update
    numbers = tuple(row.tolist())
    _delivered(
        step(_UPDATE_CODES[kind], numbers, flat_w, g.reshape(-1), tuple(flat), _dispatch.threads),
        None,
    )
    for x, result in zip(written.values(), plain, strict=True):
        if result is not x:
            x[...] = result


def _is_plain(x: np.ndarray) -> bool:
    return x.flags.carray and x.dtype.isnative
