"""The kernels in plain NumPy: the page to learn from, and the oracle of the tests.

Every function has a twin of the same name and signature in `fastnn.kernels`, whose docstring tells
of the parameters and results of both; here stand the formula and its source. The twins there are
compiled, checked and threaded; these are meant to be read, and trust what they are given. They
share one rule for types: the result is float64 if any floating input is float64, else float32.

Letters
-------
``n`` rows of a batch, ``k`` inputs and ``m`` outputs of a layer. ``dX`` is the gradient of the
loss with respect to ``X``, and has the shape of ``X``. ``act`` is an activation function.

Sources
-------
[1] I. Goodfellow, Y. Bengio, A. Courville, Deep Learning, MIT Press, 2016.
[2] C. M. Bishop, Pattern Recognition and Machine Learning, Springer, 2006.
[3] P. Blanchard, D. J. Higham, N. J. Higham, Accurately computing the log-sum-exp and softmax
    functions, IMA Journal of Numerical Analysis 41(4), 2021.
[4] I. Sutskever et al., On the importance of initialization and momentum in deep learning,
    ICML 2013.
[5] J. Duchi, E. Hazan, Y. Singer, Adaptive subgradient methods for online learning and
    stochastic optimization, JMLR 12, 2011.
[6] Keras 3, keras.io/api/optimizers: the order of operations in each update.
[7] T. Tieleman, G. Hinton, Lecture 6.5: rmsprop, Coursera, 2012.
[8] M. D. Zeiler, Adadelta: an adaptive learning rate method, arXiv:1212.5701, 2012.
[9] D. P. Kingma, J. Ba, Adam: a method for stochastic optimization, ICLR 2015.
[10] S. J. Reddi, S. Kale, S. Kumar, On the convergence of Adam and beyond, ICLR 2018.
[11] T. Dozat, Incorporating Nesterov momentum into Adam, ICLR workshop 2016.
[12] X. Chen et al., Symbolic discovery of optimization algorithms, NeurIPS 2023.
[13] S. Ioffe, C. Szegedy, Batch normalization: accelerating deep network training by reducing
    internal covariate shift, ICML 2015.
[14] J. L. Ba, J. R. Kiros, G. E. Hinton, Layer normalization, arXiv 1607.06450, 2016.
[15] K. He et al., Delving deep into rectifiers, ICCV 2015.
[16] N. Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting,
    JMLR 15, 2014.
[17] J. K. Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC11.
[18] G. E. P. Box, M. E. Muller, A note on the generation of random normal deviates, Annals of
    Mathematical Statistics 29(2), 1958.
[19] Keras 3, keras.io/api/losses: the formulas, and how probabilities are clipped.
[20] T.-Y. Lin et al., Focal loss for dense object detection, ICCV 2017.
[21] P. J. Huber, Robust estimation of a location parameter, Annals of Mathematical Statistics
    35(1), 1964.
[22] R. Koenker, G. Bassett, Regression quantiles, Econometrica 46(1), 1978.
[23] R. Hadsell, S. Chopra, Y. LeCun, Dimensionality reduction by learning an invariant mapping,
    CVPR 2006.
[24] A. Hermans, L. Beyer, B. Leibe, In defense of the triplet loss for person re-identification,
    arXiv:1703.07737, 2017.
[25] A. L. Maas, A. Y. Hannun, A. Y. Ng, Rectifier nonlinearities improve neural network acoustic
    models, ICML 2013.
[26] D.-A. Clevert, T. Unterthiner, S. Hochreiter, Fast and accurate deep network learning by
    exponential linear units (ELUs), ICLR 2016.
[27] G. Klambauer et al., Self-normalizing neural networks, NeurIPS 2017.
[28] J. T. Barron, Continuously differentiable exponential linear units, arXiv:1704.07483, 2017.
[29] D. Hendrycks, K. Gimpel, Gaussian error linear units (GELUs), arXiv:1606.08415, 2016.
[30] P. Ramachandran, B. Zoph, Q. V. Le, Searching for activation functions, arXiv:1710.05941, 2017.
[31] D. Misra, Mish: a self regularized non-monotonic activation function, BMVC 2020.
[32] C. Dugas et al., Incorporating second-order functional knowledge for better option pricing,
    NIPS 2000.
[33] X. Glorot, Y. Bengio, Understanding the difficulty of training deep feedforward neural
    networks, AISTATS 2010.
[34] A. Howard et al., Searching for MobileNetV3, ICCV 2019.
[35] K. Konda, R. Memisevic, D. Krueger, Zero-bias autoencoders and the benefits of co-adapting
    features, ICLR 2015.
[36] F. Rosenblatt, The perceptron, Psychological Review 65(6), 1958.
[37] A. Krizhevsky, Convolutional deep belief networks on CIFAR-10, 2010: relu6.
[38] R. Collobert, Large scale machine learning, PhD thesis, Université Paris VI, 2004: hard tanh.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

ArrayLike = Any  # what NumPy turns into an array; Any, for the name is bound to the array then


def _real(*arrays: ArrayLike | None) -> list:
    """Return the arrays in their common type: float64 if any of them is, else float32."""
    arrays = [x if x is None else np.asarray(x) for x in arrays]
    double = any(x is not None and x.dtype.kind == "f" and x.dtype.itemsize == 8 for x in arrays)
    dtype = np.float64 if double else np.float32
    return [x if x is None else x.astype(dtype, copy=False) for x in arrays]


def _into(out: np.ndarray | None, result: np.ndarray) -> np.ndarray:
    """Return `result`, written into `out` if there is one."""
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
    """Multiply two matrices: ``out[i, j] = sum_p a[i, p] b[p, j]``.

    A transposed operand is given as it lies in memory: with `transpose_a`, `a` has shape (k, n).
    """
    a, b = _real(a, b)
    return _into(out, (a.T if transpose_a else a) @ (b.T if transpose_b else b))


def dense_forward(
    x: ArrayLike,
    kernel: ArrayLike,
    bias: ArrayLike | None = None,
    activation: str | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Compute a dense layer: ``y = act(x @ kernel + bias)`` [1, section 6.3.1].

    Shapes: `x` (n, k), `kernel` (k, m), `bias` (m,), y (n, m).
    """
    x, kernel, bias = _real(x, kernel, bias)
    z = x @ kernel
    if bias is not None:
        z = z + bias
    return activate(activation or "linear", z, out)


def dense_backward(
    x: ArrayLike,
    kernel: ArrayLike,
    y: ArrayLike,
    dy: ArrayLike,
    activation: str | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Carry a gradient back through a dense layer [1, algorithm 6.4].

    `y` is what `activate_gradient` wants: the output of `dense_forward`, or for some activations
    their input ``x @ kernel + bias``. With ``dz`` the gradient before the activation,
    ``dx = dz @ kernel.T``, ``dkernel = x.T @ dz`` and ``dbias`` is the sum of ``dz`` over rows.

    Returns
    -------
    dx, dkernel, dbias : ndarray of the shapes of `x`, `kernel` and the bias
    """
    x, kernel, y, dy = _real(x, kernel, y, dy)
    dz = activate_gradient(activation or "linear", y, dy)
    return dz @ kernel.T, x.T @ dz, dz.sum(axis=0)


def column_sum(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Sum each column of a matrix: ``out[j] = sum_i x[i, j]``."""
    (x,) = _real(x)
    return _into(out, x.sum(axis=0))


# ---- elementwise functions -------------------------------------------------------------------


def linear(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Return a copy of `x`."""
    (x,) = _real(x)
    return _into(out, x.copy())


def sigmoid(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``1 / (1 + exp(-x))`` [2, eq. 4.59], without overflow for any `x`."""
    (x,) = _real(x)
    small = np.exp(-np.abs(x))  # at most 1
    return _into(out, np.where(x >= 0, 1, small) / (1 + small))


def tanh(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute the hyperbolic tangent ``(exp(x) - exp(-x)) / (exp(x) + exp(-x))``."""
    (x,) = _real(x)
    return _into(out, np.tanh(x))


# Functions that multiply by `x` have the limit 0 at -inf, where NumPy would make NaN of it.


def _times(x: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Return ``x * factor``, 0 at -inf; a factor that vanishes there makes the product vanish."""
    return np.where(np.isneginf(x), 0, x) * factor


def relu(
    x: ArrayLike,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Compute ``max(x, 0)`` [1, section 6.3.1], or Keras's form of it with three parameters.

    ``min(x, max_value)`` where ``x > threshold``, else ``negative_slope * (x - threshold)``.
    """
    (x,) = _real(x)
    most = np.inf if max_value is None else max_value
    # Without a slope, 0 below the threshold; NaN stays NaN.
    below = np.where(x <= threshold, 0, x) if negative_slope == 0 else x - threshold
    return _into(out, np.where(x > threshold, np.minimum(x, most), negative_slope * below))


def relu6(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``min(max(x, 0), 6)`` [37]."""
    return relu(x, max_value=6.0, out=out)


def leaky_relu(
    x: ArrayLike, negative_slope: float = 0.2, out: np.ndarray | None = None
) -> np.ndarray:
    """Compute ``x`` where ``x > 0``, else ``negative_slope * x`` [25]."""
    return relu(x, negative_slope, out=out)


def threshold(x: ArrayLike, theta: float = 1.0, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``x`` where ``x > theta``, else 0 [35, eq. 5]."""
    return relu(x, threshold=theta, out=out)


def step(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute Heaviside's step [36]: 1 where ``x > 0``, else 0, also at 0."""
    (x,) = _real(x)
    return _into(out, np.where(np.isnan(x), x, x > 0))


def elu(x: ArrayLike, alpha: float = 1.0, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``x`` where ``x > 0``, else ``alpha * (exp(x) - 1)`` [26, eq. 15]."""
    (x,) = _real(x)
    return _into(out, np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))))


SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717


def selu(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``scale * elu(x, alpha)``, which keeps mean 0 and variance 1 [27, eq. 2]."""
    (x,) = _real(x)
    return _into(out, SELU_SCALE * elu(x, SELU_ALPHA))


def celu(x: ArrayLike, alpha: float = 1.0, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``x`` where ``x > 0``, else ``alpha * (exp(x / alpha) - 1)`` [28]."""
    (x,) = _real(x)
    return _into(out, np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha)))


_erfc = np.vectorize(math.erfc, otypes=[np.float64])  # NumPy has none


def _normal_cdf(x: np.ndarray) -> np.ndarray:
    """Return ``P(X <= x)`` for a standard normal `X`: ``erfc(-x / sqrt(2)) / 2``."""
    return (0.5 * _erfc(-x / np.sqrt(2.0))).astype(x.dtype)


def gelu(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``x * P(X <= x)`` for a standard normal `X` [29]."""
    (x,) = _real(x)
    return _into(out, _times(x, _normal_cdf(x)))


def _gelu_argument(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``u = sqrt(8 / pi) * (x + 0.044715 * x**3)`` and du/dx, `x` within +-30.

    Beyond, sigmoid(u) is 0 or 1 and its slope 0.
    """
    x = np.clip(x, -30, 30)
    c = np.sqrt(8 / np.pi).astype(x.dtype)
    return c * (x + 0.044715 * x**3), c * (1 + 3 * 0.044715 * x**2)


def gelu_tanh(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))`` [29].

    As ``(1 + tanh(u / 2)) / 2 = sigmoid(u)``, it is ``x * sigmoid(u)``.
    """
    (x,) = _real(x)
    return _into(out, _times(x, sigmoid(_gelu_argument(x)[0])))


def silu(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``x * sigmoid(x)`` [30], also called swish."""
    (x,) = _real(x)
    return _into(out, _times(x, sigmoid(x)))


def mish(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``x * tanh(softplus(x))`` [31]."""
    (x,) = _real(x)
    return _into(out, _times(x, np.tanh(softplus(x))))


def softplus(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``log(1 + exp(x))`` [32] as ``max(x, 0) + log(1 + exp(-|x|))``, without overflow."""
    (x,) = _real(x)
    return _into(out, np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


def log_sigmoid(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``log(sigmoid(x)) = -softplus(-x)``."""
    (x,) = _real(x)
    return _into(out, -softplus(-x))


def softsign(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``x / (1 + |x|)`` [33]; its limits at infinity are -1 and 1."""
    (x,) = _real(x)
    most = np.finfo(x.dtype).max
    x = np.clip(x, -most, most)
    return _into(out, x / (1 + np.abs(x)))


def exponential(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``exp(x)``."""
    return exp(x, out)


def hard_sigmoid(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``relu6(x + 3) / 6`` [34]."""
    (x,) = _real(x)
    return _into(out, np.clip(x + 3, 0, 6) / 6)


def hard_silu(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``x * hard_sigmoid(x)`` [34], also called hard swish."""
    (x,) = _real(x)
    return _into(out, _times(x, hard_sigmoid(x)))


def hard_tanh(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``min(max(x, -1), 1)`` [38]."""
    (x,) = _real(x)
    return _into(out, np.clip(x, -1, 1))


def exp(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``exp(x)``."""
    (x,) = _real(x)
    with np.errstate(over="ignore"):
        return _into(out, np.exp(x))


def log(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute the natural logarithm: -inf at 0, NaN below."""
    (x,) = _real(x)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _into(out, np.log(x))


# A gradient returns dx = dy * act'(x). It takes `y`, the output of its activation, wherever that
# tells the slope, for then `x` need not be kept; else it takes `x`.


def linear_gradient(y: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``dy * 1``."""
    y, dy = _real(y, dy)
    return _into(out, dy.copy())


def sigmoid_gradient(y: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``dy * y * (1 - y)`` [2, eq. 4.88]."""
    y, dy = _real(y, dy)
    return _into(out, dy * (y * (1 - y)))


def tanh_gradient(y: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``dy * (1 - y**2)`` [2, eq. 5.60]."""
    y, dy = _real(y, dy)
    return _into(out, dy * (1 - y * y))


def _where_known(y: np.ndarray, dx: np.ndarray) -> np.ndarray:
    """Return `dx`, NaN where `y` is."""
    return np.where(np.isnan(y), y, dx)


def relu_gradient(
    y: ArrayLike,
    dy: ArrayLike,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Compute ``dy`` where ``0 < y < max_value``, 0 above, ``negative_slope * dy`` below.

    NaN where `y` is NaN. As `threshold` is not negative, ``y > 0`` tells that `x` was above it.
    """
    y, dy = _real(y, dy)
    above = dy if max_value is None else np.where(y < max_value, dy, 0)
    below = negative_slope * dy if negative_slope else np.zeros_like(dy)
    return _into(out, _where_known(y, np.where(y > 0, above, below)))


def relu6_gradient(y: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``dy`` where ``0 < y < 6``, else 0."""
    return relu_gradient(y, dy, max_value=6.0, out=out)


def leaky_relu_gradient(
    y: ArrayLike, dy: ArrayLike, negative_slope: float = 0.2, out: np.ndarray | None = None
) -> np.ndarray:
    """Compute ``dy`` where ``y > 0``, else ``negative_slope * dy``."""
    return relu_gradient(y, dy, negative_slope, out=out)


def threshold_gradient(
    y: ArrayLike, dy: ArrayLike, theta: float = 1.0, out: np.ndarray | None = None
) -> np.ndarray:
    """Compute ``dy`` where ``y > 0``, that is where ``x > theta``, else 0."""
    return relu_gradient(y, dy, threshold=theta, out=out)


def step_gradient(y: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute 0, the derivative of a step: nothing below it learns."""
    y, dy = _real(y, dy)
    return _into(out, _where_known(y, np.zeros_like(dy)))


def elu_gradient(
    y: ArrayLike, dy: ArrayLike, alpha: float = 1.0, out: np.ndarray | None = None
) -> np.ndarray:
    """Compute ``dy`` where ``y > 0``, else ``dy * alpha * exp(x) = dy * (y + alpha)``."""
    y, dy = _real(y, dy)
    return _into(out, dy * np.where(y > 0, 1, y + alpha))


def selu_gradient(y: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``dy * scale`` where ``y > 0``, else ``dy * (y + scale * alpha)``."""
    y, dy = _real(y, dy)
    return _into(out, dy * np.where(y > 0, SELU_SCALE, y + SELU_SCALE * SELU_ALPHA))


def celu_gradient(
    y: ArrayLike, dy: ArrayLike, alpha: float = 1.0, out: np.ndarray | None = None
) -> np.ndarray:
    """Compute ``dy`` where ``y > 0``, else ``dy * exp(x / alpha) = dy * (y / alpha + 1)``."""
    y, dy = _real(y, dy)
    return _into(out, dy * np.where(y > 0, 1, y / alpha + 1))


def gelu_gradient(x: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``dy * (P(X <= x) + x * exp(-x**2 / 2) / sqrt(2 pi))``."""
    x, dy = _real(x, dy)
    near = np.clip(x, -40, 40)  # beyond, the density is 0
    density = np.exp(-near * near / 2) / np.sqrt(2 * np.pi).astype(x.dtype)
    return _into(out, dy * (_normal_cdf(x) + near * density))


def gelu_tanh_gradient(x: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``dy * (s + x * s * (1 - s) * du/dx)``, the function being ``x * s``."""
    x, dy = _real(x, dy)
    u, slope = _gelu_argument(x)
    return _into(out, dy * sigmoid(u) * (1 + np.clip(x, -30, 30) * sigmoid(-u) * slope))


def silu_gradient(x: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``dy * s * (1 + x * (1 - s))`` with ``s = sigmoid(x)``, ``1 - s = sigmoid(-x)``."""
    x, dy = _real(x, dy)
    most = np.finfo(x.dtype).max
    return _into(out, dy * sigmoid(x) * (1 + np.clip(x, -most, most) * sigmoid(-x)))


def mish_gradient(x: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``dy * (t + x * (1 - t**2) * sigmoid(x))`` with ``t = tanh(softplus(x))``."""
    x, dy = _real(x, dy)
    most = np.finfo(x.dtype).max
    t = np.tanh(softplus(x))
    return _into(out, dy * (t + np.clip(x, -most, most) * ((1 - t * t) * sigmoid(x))))


def softplus_gradient(y: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``dy * sigmoid(x) = dy * (1 - exp(-y))``."""
    y, dy = _real(y, dy)
    return _into(out, dy * -np.expm1(-np.maximum(y, 0)))


def log_sigmoid_gradient(y: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``dy * sigmoid(-x) = dy * (1 - exp(y))``."""
    y, dy = _real(y, dy)
    return _into(out, dy * -np.expm1(np.minimum(y, 0)))


def softsign_gradient(x: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``dy / (1 + |x|)**2``; from `y`, which rounds to 1, it would be 0 too soon."""
    x, dy = _real(x, dy)
    inverse = 1 / (1 + np.abs(x))
    return _into(out, dy * (inverse * inverse))


def exponential_gradient(y: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``dy * y``."""
    y, dy = _real(y, dy)
    return _into(out, dy * y)


def hard_sigmoid_gradient(y: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``dy / 6`` where ``0 < y < 1``, else 0."""
    y, dy = _real(y, dy)
    return _into(out, _where_known(y, np.where((y > 0) & (y < 1), dy / 6, 0)))


def hard_silu_gradient(x: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``dy * (2 * x + 3) / 6`` where ``-3 < x <= 3``, 0 below, ``dy`` above."""
    x, dy = _real(x, dy)
    slope = np.where(x > 3, 1, np.where(x > -3, (2 * np.clip(x, -3, 3) + 3) / 6, 0))
    return _into(out, dy * _where_known(x, slope))


def hard_tanh_gradient(y: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``dy`` where ``-1 < y < 1``, else 0."""
    y, dy = _real(y, dy)
    return _into(out, _where_known(y, np.where(np.abs(y) < 1, dy, 0)))


# ---- softmax ---------------------------------------------------------------------------------


def _shift(x: np.ndarray) -> np.ndarray:
    """Return ``x - max(x)`` for each row, which keeps exp from overflowing [3]."""
    with np.errstate(over="ignore", invalid="ignore"):  # inf - inf is NaN, as it should be
        return x - x.max(axis=-1, keepdims=True)


def softmax(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``exp(x_j) / sum_k exp(x_k)`` over the last axis [2, eq. 4.62]."""
    (x,) = _real(x)
    e = np.exp(_shift(x))
    return _into(out, e / e.sum(axis=-1, keepdims=True))


def log_softmax(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``x_j - log(sum_k exp(x_k))`` over the last axis [3]."""
    (x,) = _real(x)
    shifted = _shift(x)
    return _into(out, shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def softmax_gradient(y: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``y * (dy - sum_k dy_k y_k)``, from dy_j/dx_k = y_j (I_jk - y_k) [2, eq. 4.106]."""
    y, dy = _real(y, dy)
    return _into(out, y * (dy - (dy * y).sum(axis=-1, keepdims=True)))


def log_softmax_gradient(y: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``dy - exp(y) * sum_k dy_k``; `y` is the output of `log_softmax`."""
    y, dy = _real(y, dy)
    return _into(out, dy - np.exp(y) * dy.sum(axis=-1, keepdims=True))


# ---- by name ---------------------------------------------------------------------------------


def activate(name: str, x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Apply the activation of this name, a function above, with its parameters' defaults."""
    return _ACTIVATIONS[name][0](x, out=out)


def activate_gradient(
    name: str, y: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None
) -> np.ndarray:
    """Compute the gradient of the activation of this name from its output `y`.

    For gelu, gelu_tanh, silu, mish, softsign and hard_silu, `y` is the input instead.
    """
    return _ACTIVATIONS[name][1](y, dy, out=out)


_ACTIVATIONS: dict[str, tuple[Callable, Callable]] = {
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


# ---- by columns and by rows --------------------------------------------------------------------


def affine(
    x: ArrayLike,
    scale: ArrayLike,
    shift: ArrayLike | None = None,
    center: ArrayLike | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Compute ``(x - center) * scale + shift``, with numbers of their own for every column."""
    x, scale, shift, center = _real(x, scale, shift, center)
    y = (x if center is None else x - center) * scale
    return _into(out, y if shift is None else y + shift)


def prelu(x: ArrayLike, alpha: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute `x` where ``x > 0``, else ``alpha * x``, with an alpha for every column [15]."""
    x, alpha = _real(x, alpha)
    return _into(out, np.where(x > 0, x, alpha * x))


def prelu_gradient(x: ArrayLike, alpha: ArrayLike, dy: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Compute the gradient of `prelu` from its input [15, eq. 3]; dx is 0 at 0, as for ReLU.

    Returns
    -------
    dx, dalpha : ndarray of the shapes of `x` and `alpha`
    """
    x, alpha, dy = _real(x, alpha, dy)
    dx = np.where(x > 0, dy, np.where(x < 0, alpha * dy, x))
    return dx, (np.minimum(x, 0) * dy).sum(axis=0)


def batch_normalization(
    x: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    epsilon: float = 1e-3,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalise each column over the batch [13, algorithm 1].

    ``y = gamma * (x - mean) / sqrt(variance + epsilon) + beta``, the variance being the mean of
    the squared deviations.

    Returns
    -------
    y, mean, variance : ndarray of shapes (n, m), (m,) and (m,)
    """
    x, gamma, beta = _real(x, gamma, beta)
    mean = x.mean(axis=0)
    variance = np.square(x - mean).mean(axis=0)
    scale = _scale(gamma, 1 / np.sqrt(variance + epsilon))
    return affine(x, scale, beta, mean), mean, variance


def batch_normalization_gradient(
    x: ArrayLike,
    mean: ArrayLike,
    variance: ArrayLike,
    gamma: ArrayLike | None,
    dy: ArrayLike,
    epsilon: float = 1e-3,
    constant: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Carry a gradient back through `batch_normalization` [13, section 3].

    With ``xhat = (x - mean) / sqrt(variance + epsilon)``: ``dgamma = sum_i dy_i xhat_i``,
    ``dbeta = sum_i dy_i`` and ``dx = scale * (dy - dbeta / n - xhat * dgamma / n)``; with
    `constant`, where mean and variance are not those of `x`, ``dx = scale * dy``.

    Returns
    -------
    dx, dgamma, dbeta : ndarray of shapes (n, m), (m,) and (m,)
    """
    x, mean, variance, gamma, dy = _real(x, mean, variance, gamma, dy)
    inverse = 1 / np.sqrt(variance + epsilon)
    d = x - mean
    dgamma, dbeta = (d * dy).sum(axis=0) * inverse, dy.sum(axis=0)
    scale = _scale(gamma, inverse)
    if constant:
        return scale * dy, dgamma, dbeta
    return scale * (dy - dbeta / len(x) - d * (dgamma * inverse / len(x))), dgamma, dbeta


def _scale(gamma: np.ndarray | None, inverse: np.ndarray) -> np.ndarray:
    return inverse if gamma is None else gamma * inverse


def layer_normalization(
    x: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    epsilon: float = 1e-3,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalise each row over its columns [14, eq. 3 and 4].

    ``y = gamma * (x - mean) * inverse + beta`` with ``inverse = 1 / sqrt(variance + epsilon)``.

    Returns
    -------
    y, mean, inverse : ndarray of shapes (n, m), (n,) and (n,)
    """
    x, gamma, beta = _real(x, gamma, beta)
    mean = x.mean(axis=1)
    d = x - mean[:, None]
    inverse = 1 / np.sqrt(np.square(d).mean(axis=1) + epsilon)
    y = d * inverse[:, None]
    y = y if gamma is None else y * gamma
    return (y if beta is None else y + beta), mean, inverse


def layer_normalization_gradient(
    x: ArrayLike, mean: ArrayLike, inverse: ArrayLike, gamma: ArrayLike | None, dy: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Carry a gradient back through `layer_normalization`.

    With ``xhat = (x - mean) * inverse`` and ``g = dy * gamma``, over each row of m columns:
    ``dx = inverse * (g - mean_j(g_j) - xhat * mean_j(g_j xhat_j))``; ``dgamma`` is the sum of
    ``dy * xhat`` and ``dbeta`` that of ``dy``, over the rows.

    Returns
    -------
    dx, dgamma, dbeta : ndarray of shapes (n, m), (m,) and (m,)
    """
    x, mean, inverse, gamma, dy = _real(x, mean, inverse, gamma, dy)
    mean, inverse = mean[:, None], inverse[:, None]
    xhat = (x - mean) * inverse
    g = dy if gamma is None else dy * gamma
    along = (g * xhat).mean(axis=1, keepdims=True)
    dx = inverse * (g - g.mean(axis=1, keepdims=True) - xhat * along)
    return dx, (dy * xhat).sum(axis=0), dy.sum(axis=0)


# ---- by chance -----------------------------------------------------------------------------------


def multiply(x: ArrayLike, y: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Compute ``x * y``, element by element: also the gradient of `dropout`, ``mask * dy``."""
    x, y = _real(x, y)
    return _into(out, x * y)


def dropout(x: ArrayLike, rate: float, seed: int, number: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Set each element to 0 with probability `rate`, and divide the others by ``1 - rate`` [16].

    Element e of `x`, row by row, is dropped where its random word (`_words`) is below
    ``rate * 2**32``.

    Returns
    -------
    y, mask : ndarray of the shape of `x`
        ``x * mask``, and 0 or ``1 / (1 - rate)``.
    """
    (x,) = _real(x)
    kept = _words(x.size, seed, number) >= min(int(rate * 2**32), 2**32 - 1)
    mask = kept.reshape(x.shape) * x.dtype.type(1 / (1 - rate) if rate < 1 else 0)
    return x * mask, mask


def gaussian_noise(x: ArrayLike, stddev: float, seed: int, number: int = 0) -> np.ndarray:
    """Add numbers of the normal distribution, of mean 0 and this standard deviation.

    Of 64 random words, word l and word 16 + l make the numbers of the elements l and 16 + l
    together, for ``l < 16`` and for ``32 <= l < 48``: with ``u`` in (0, 1] and ``v`` in [0, 1) of
    their upper 24 bits, ``sqrt(-2 log u)`` times the cosine and the sine of ``2 pi v`` [18].
    """
    (x,) = _real(x)
    words = _words(-(-x.size // 64) * 64, seed, number).reshape(-1, 2, 2, 16) >> 8
    u, v = (words[:, :, 0] + 1) / 2**24, words[:, :, 1] / 2**24
    radius = np.sqrt(-2 * np.log(u))
    pair = [radius * np.cos(2 * np.pi * v), radius * np.sin(2 * np.pi * v)]
    normal = np.stack(pair, axis=2).reshape(-1)[: x.size].reshape(x.shape)
    return x + x.dtype.type(stddev) * normal.astype(x.dtype)


def _words(count: int, seed: int, number: int) -> np.ndarray:
    """Return a random word of 32 bits (as int64) for each of so many elements.

    Element e has word ``e // 16 % 4`` of the block ``16 * (e // 64) + e % 16``, under the key
    `seed` and the counter (block, number), 64 bits each.
    """
    e = np.arange(count)
    block = 16 * (e // 64) + e % 16
    counter = [
        *(block & 0xFFFFFFFF, block >> 32),
        *(np.full(count, half) for half in (number & 0xFFFFFFFF, number >> 32)),
    ]
    words = _philox(counter, [seed & 0xFFFFFFFF, seed >> 32])
    return np.choose(e // 16 % 4, words).astype(np.int64)


def _philox(counter: Any, key: Any) -> list[np.ndarray]:
    """Compute Philox4x32-10 [17]: four random words for a counter of four and a key of two."""
    a, b, c, d = (np.asarray(word).astype(np.uint64) for word in counter)
    key0, key1 = (np.uint64(word) for word in key)
    high, mask = np.uint64(32), np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p, q = np.uint64(0xD2511F53) * a, np.uint64(0xCD9E8D57) * c
        a, b, c, d = (q >> high) ^ b ^ key0, q & mask, (p >> high) ^ d ^ key1, p & mask
        key0, key1 = (key0 + np.uint64(0x9E3779B9)) & mask, (key1 + np.uint64(0xBB67AE85)) & mask
    return [a, b, c, d]


# ---- losses ----------------------------------------------------------------------------------
# Each returns the loss of every row, not weighted, and the gradient of mean_i(w_i * losses_i).


def _row_scale(sample_weight: np.ndarray | None, n: int) -> np.ndarray | float:
    """Return ``w_i / n`` as a column: d mean_i(w_i * losses_i) / d losses_i."""
    return 1 / n if sample_weight is None else sample_weight[:, None] / n


def softmax_crossentropy(
    logits: ArrayLike, targets: ArrayLike, sample_weight: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Compute ``-sum_j t_j log(softmax(logits)_j)`` for each row [2, eq. 4.108].

    Parameters
    ----------
    logits : array of shape (n, m)
    targets : array of shape (n,) or (n, m)
        Class labels, or a probability for every class (``t``).
    sample_weight : array of shape (n,), optional

    Returns
    -------
    losses : ndarray of shape (n,)
    gradient : ndarray of shape (n, m)
        ``w_i / n * (softmax(logits)_j * sum_k t_k - t_j)`` [2, eq. 4.109].
    """
    targets = np.asarray(targets)
    if targets.ndim == 1:
        n, m = np.shape(logits)
        targets = np.eye(m, dtype=np.float32)[targets.astype(np.int64)]
    logits, targets, sample_weight = _real(logits, targets, sample_weight)
    # Finite logits give finite losses: their distance may be beyond the largest number.
    largest, log_p = np.finfo(logits.dtype).max, log_softmax(logits)
    log_p = np.where(np.isneginf(logits) & (targets > 0), log_p, np.maximum(log_p, -largest))
    losses = -(targets * log_p).sum(axis=-1)
    losses = np.where(np.isfinite(logits).all(axis=-1), np.minimum(losses, largest), losses)
    gradient = softmax(logits) * targets.sum(axis=-1, keepdims=True) - targets
    return losses, gradient * _row_scale(sample_weight, len(logits))


def mean_squared_error(
    y_pred: ArrayLike, y_true: ArrayLike, sample_weight: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Compute ``mean_j (y_pred_j - y_true_j)**2`` for each row of (n, m).

    Returns
    -------
    losses : ndarray of shape (n,)
    gradient : ndarray of shape (n, m)
        ``w_i / n * 2 / m * (y_pred - y_true)``.
    """
    return loss("mean_squared_error", y_pred, y_true, sample_weight)


def binary_crossentropy(
    logits: ArrayLike, y_true: ArrayLike, sample_weight: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Compute ``-mean_j (t_j log(p_j) + (1 - t_j) log(1 - p_j))`` with ``p = sigmoid(logits)``.

    From logits ``x`` that is ``max(x, 0) - x t + log(1 + exp(-|x|))``, which cannot overflow.

    Returns
    -------
    losses : ndarray of shape (n,)
    gradient : ndarray of shape (n, m)
        ``w_i / n * (sigmoid(x) - t) / m`` [2, eq. 4.91].
    """
    return loss("binary_crossentropy", logits, y_true, sample_weight)


# The losses of one output at a time: (its share, the derivative of that by p) for predictions p and
# targets t; a row's loss is the mean of the shares, for those in `_SUMS` their sum. Formulas are
# Keras's [19] if no other source is named. Where p is clipped, it has no gradient.

_EPSILON = 1e-7

Shares = tuple[np.ndarray, np.ndarray]


def _smooth(t: np.ndarray, label_smoothing: float, classes: int) -> np.ndarray:
    return t * (1 - label_smoothing) + label_smoothing / classes


def _clip(p: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Return p within [low, high], and where it is not changed by that (NaN is not)."""
    return np.clip(p, low, high), ~((p < low) | (p > high))


def _binary_of_probabilities(p: np.ndarray, t: np.ndarray, label_smoothing: float = 0.0) -> Shares:
    t = _smooth(t, label_smoothing, 2)
    p, kept = _clip(p, _EPSILON, 1 - _EPSILON)
    slope = (p - t) / (p * (1 - p))
    return -(t * np.log(p) + (1 - t) * np.log(1 - p)), np.where(kept, slope, 0)


def _binary(x: np.ndarray, t: np.ndarray, label_smoothing: float = 0.0) -> Shares:
    t = _smooth(t, label_smoothing, 2)
    return np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x))), sigmoid(x) - t


def _focal(
    x: np.ndarray,
    t: np.ndarray,
    label_smoothing: float = 0.0,
    gamma: float = 2.0,
    weight_1: float = 1.0,
    weight_0: float = 1.0,
) -> Shares:
    """``w q**gamma B``, B the binary cross-entropy [20, eq. 5]; all by the logit x of p."""
    loss, slope = _binary(x, t, label_smoothing)
    t = _smooth(t, label_smoothing, 2)
    p, rest = sigmoid(x), sigmoid(-x)
    q = t * rest + (1 - t) * p
    power = (t * weight_1 + (1 - t) * weight_0) * q**gamma
    ratio = np.divide(p * rest, q, out=np.array(q), where=q > 0)  # p (1 - p) / q
    return power * loss, power * (slope + gamma * (1 - 2 * t) * ratio * loss)


def _focal_of_probabilities(p: np.ndarray, t: np.ndarray, *numbers: float) -> Shares:
    p, kept = _clip(p, _EPSILON, 1 - _EPSILON)
    value, slope = _focal(np.log(p) - np.log1p(-p), t, *numbers)
    return value, np.where(kept, slope / (p * (1 - p)), 0)


def _squared(p: np.ndarray, t: np.ndarray) -> Shares:
    return (p - t) ** 2, 2 * (p - t)


def _half_squared(p: np.ndarray, t: np.ndarray) -> Shares:
    return (p - t) ** 2 / 2, p - t


def _absolute(p: np.ndarray, t: np.ndarray) -> Shares:
    return np.abs(p - t), np.sign(p - t)


def _absolute_percentage(p: np.ndarray, t: np.ndarray) -> Shares:
    size = 100 / np.maximum(np.abs(t), _EPSILON)
    return np.abs(p - t) * size, np.sign(p - t) * size


def _squared_logarithmic(p: np.ndarray, t: np.ndarray) -> Shares:
    kept = ~(p < _EPSILON)
    p, t = np.maximum(p, _EPSILON), np.maximum(t, _EPSILON)
    error = np.log1p(p) - np.log1p(t)
    return error**2, np.where(kept, 2 * error / (1 + p), 0)


def _huber(p: np.ndarray, t: np.ndarray, delta: float = 1.0) -> Shares:
    """Squared up to delta, a line beyond [21]."""
    e, size = p - t, np.abs(p - t)
    value = np.where(size <= delta, size**2 / 2, delta * size - delta**2 / 2)
    return value, np.clip(e, -delta, delta)


def _log_cosh(p: np.ndarray, t: np.ndarray) -> Shares:
    e = p - t
    return np.logaddexp(e, -e) - np.log(2), np.tanh(e)


def _quantile(p: np.ndarray, t: np.ndarray, quantile: float = 0.5) -> Shares:
    """The pinball loss [22]."""
    e = p - t
    slope = np.where(e > 0, 1 - quantile, np.where(e < 0, -quantile, e))
    return slope * e, slope


def _kl_divergence(p: np.ndarray, t: np.ndarray) -> Shares:
    t, (p, kept) = np.clip(t, _EPSILON, 1), _clip(p, _EPSILON, 1)
    return t * np.log(t / p), np.where(kept, -t / p, 0)


def _poisson(p: np.ndarray, t: np.ndarray) -> Shares:
    return p - t * np.log(p + _EPSILON), 1 - t / (p + _EPSILON)


def _hinge(p: np.ndarray, t: np.ndarray) -> Shares:
    t = np.where(t <= 0, -1, np.where(t > 0, 1, t))  # 0 stands for -1
    space = np.maximum(1 - t * p, 0)
    return space, np.where(space > 0, -t, space)


def _squared_hinge(p: np.ndarray, t: np.ndarray) -> Shares:
    space, slope = _hinge(p, t)
    return space**2, 2 * space * slope


def _contrastive(p: np.ndarray, t: np.ndarray, margin: float = 1.0) -> Shares:
    """Of distances p [23, eq. 4]."""
    space = np.maximum(margin - p, 0)
    return t * p**2 + (1 - t) * space**2, 2 * (t * p - (1 - t) * space)


_SHARES: dict[str, Callable[..., Shares]] = {
    "binary_crossentropy": _binary,
    "binary_crossentropy_of_probabilities": _binary_of_probabilities,
    "binary_focal_crossentropy": _focal,
    "binary_focal_crossentropy_of_probabilities": _focal_of_probabilities,
    "mean_squared_error": _squared,
    "root_mean_squared_error": _squared,
    "sum_squared_error": _half_squared,
    "mean_absolute_error": _absolute,
    "mean_absolute_percentage_error": _absolute_percentage,
    "mean_squared_logarithmic_error": _squared_logarithmic,
    "huber": _huber,
    "log_cosh": _log_cosh,
    "quantile": _quantile,
    "kl_divergence": _kl_divergence,
    "poisson": _poisson,
    "hinge": _hinge,
    "squared_hinge": _squared_hinge,
    "contrastive": _contrastive,
}
_SUMS = ("sum_squared_error", "kl_divergence")


# The losses of a row as a whole: the loss of each row (n,), and its derivative by y_pred (n, m).


def _softmax_crossentropy(x: np.ndarray, t: np.ndarray, label_smoothing: float = 0.0) -> Shares:
    losses, gradient = softmax_crossentropy(x, _smooth(t, label_smoothing, x.shape[1]))
    return losses, gradient * len(x)


def _crossentropy_of_probabilities(
    y_pred: np.ndarray, t: np.ndarray, label_smoothing: float = 0.0
) -> Shares:
    t = _smooth(t, label_smoothing, y_pred.shape[1])
    total = y_pred.sum(axis=-1, keepdims=True)
    share = y_pred / total
    p, kept = _clip(share, _EPSILON, 1 - _EPSILON)
    dp = np.where(kept, -t / p, 0)
    # Through share_j = y_pred_j / total: d share_j / d y_pred_k = (I_jk - share_j) / total.
    gradient = (dp - (dp * share).sum(axis=-1, keepdims=True)) / total
    return -(t * np.log(p)).sum(axis=-1), gradient


def _cosine_similarity(p: np.ndarray, t: np.ndarray) -> Shares:
    length = np.sqrt((p * p).sum(axis=-1, keepdims=True))
    p = p / np.maximum(length, _EPSILON)
    t = t / np.maximum(np.sqrt((t * t).sum(axis=-1, keepdims=True)), _EPSILON)
    cosine = (t * p).sum(axis=-1, keepdims=True)
    gradient = (cosine * p - t) / np.where(length < _EPSILON, np.inf, length)
    return -cosine[:, 0], gradient


def _categorical_hinge(p: np.ndarray, t: np.ndarray) -> Shares:
    other = (1 - t) * p
    highest = np.argmax(other, axis=-1, keepdims=True)
    space = np.take_along_axis(other, highest, axis=-1) - (t * p).sum(axis=-1, keepdims=True) + 1
    active = np.where(space > 0, 1, np.where(space <= 0, 0, space))
    gradient = -t * active
    at_highest = np.take_along_axis(gradient + (1 - t) * active, highest, axis=-1)
    np.put_along_axis(gradient, highest, at_highest, axis=-1)
    return np.maximum(space, 0)[:, 0], gradient


_ROWS: dict[str, Callable[..., Shares]] = {
    "softmax_crossentropy": _softmax_crossentropy,
    "sparse_softmax_crossentropy": _softmax_crossentropy,
    "crossentropy_of_probabilities": _crossentropy_of_probabilities,
    "sparse_crossentropy_of_probabilities": _crossentropy_of_probabilities,
    "cosine_similarity": _cosine_similarity,
    "categorical_hinge": _categorical_hinge,
}


def _triplet(
    x: np.ndarray, labels: np.ndarray, weight: np.ndarray, margin: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """The hardest triplet of each row as an anchor [24, eq. 5]; the gradient of the weighted sum.

    Rows without a triplet have the loss 0; the distance of two equal rows has the gradient 0.
    """
    losses, gradient = np.zeros(len(x), x.dtype), np.zeros_like(x)
    for i, anchor in enumerate(x):
        squares = ((anchor - x) ** 2).sum(axis=-1)
        other = labels != labels[i]
        same = ~other
        same[i] = False
        if not same.any() or not other.any():
            continue
        far = np.flatnonzero(same)[np.argmax(squares[same])]
        near = np.flatnonzero(other)[np.argmin(squares[other])]
        losses[i] = np.maximum(margin + np.sqrt(squares[far]) - np.sqrt(squares[near]), 0)
        if losses[i] == 0:
            continue
        for k, factor in ((far, weight[i]), (near, -weight[i])):
            if squares[k] != 0:
                pull = factor * (anchor - x[k]) / np.sqrt(squares[k])
                gradient[i] += pull
                gradient[k] -= pull
    return losses, gradient


def loss(
    kind: str,
    y_pred: ArrayLike,
    y_true: ArrayLike,
    sample_weight: ArrayLike | None = None,
    scale: float | None = None,
    numbers: Sequence[float] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Compute a loss by name, with the gradient of ``scale * sum_i(w_i * losses_i)``.

    Of "root_mean_squared_error", whose losses are the mean squares, it is that of the root of it.
    """
    labels = kind.startswith("sparse") or kind == "triplet"
    p, weight, t = _real(y_pred, sample_weight, None if labels else y_true)
    n, m = p.shape
    weight = np.ones(n, p.dtype) if weight is None else weight
    weight = weight * (1 / n if scale is None else scale)
    if kind == "triplet":
        return _triplet(p, np.asarray(y_true).reshape(n), weight, *numbers)
    if labels:
        t = np.eye(m, dtype=p.dtype)[np.asarray(y_true, np.int64).reshape(n)]
    if kind in _ROWS:
        losses, gradient = _ROWS[kind](p, t, *numbers)
    else:
        count = 1 if kind in _SUMS else m
        shares, gradient = _SHARES[kind](p, t, *numbers)
        # The mean as a sum of shares: the plain sum of large finite losses would overflow.
        losses, gradient = (shares / count).sum(axis=-1), gradient / count
    gradient = gradient * weight[:, None]
    if kind == "root_mean_squared_error":
        total = (losses * weight).sum()
        gradient = gradient * (0 if total == 0 else 0.5 / np.sqrt(total))
    return losses, gradient


# ---- updates, in place -----------------------------------------------------------------------


def sgd_update(w: np.ndarray, g: ArrayLike, learning_rate: float) -> None:
    """Take a step of gradient descent: ``w -= learning_rate * g`` [1, algorithm 8.1]."""
    w -= learning_rate * np.asarray(g, w.dtype)


def momentum_update(
    w: np.ndarray,
    g: ArrayLike,
    velocity: np.ndarray,
    learning_rate: float,
    momentum: float = 0.9,
    nesterov: bool = False,
) -> None:
    """Take a step of gradient descent with momentum [4, eq. 1-2].

    ``velocity = momentum * velocity - learning_rate * g``, then ``w += velocity``; with `nesterov`
    ``w += momentum * velocity - learning_rate * g``, a look ahead along the new velocity [6].
    """
    step = learning_rate * np.asarray(g, w.dtype)
    velocity *= momentum
    velocity -= step
    w += momentum * velocity - step if nesterov else velocity


def adagrad_update(
    w: np.ndarray,
    g: ArrayLike,
    accumulator: np.ndarray,
    learning_rate: float,
    epsilon: float = 1e-7,
) -> None:
    """Take a step of Adagrad [5, 6].

    ``accumulator += g**2``, then ``w -= learning_rate * g / sqrt(accumulator + epsilon)``.
    """
    g = np.asarray(g, w.dtype)
    accumulator += g * g
    w -= learning_rate * g / np.sqrt(accumulator + epsilon)


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
    """Take a step of RMSprop [7, 6].

    ``velocity = rho * velocity + (1 - rho) * g**2``, then
    ``w -= learning_rate * g / sqrt(velocity + epsilon)``. With `average_gradient`, which follows
    ``g`` as `velocity` follows ``g**2``, its square is taken off `velocity` under the root: the
    variance, at least 0. With `increment` what is taken off ``w`` is
    ``increment = momentum * increment + learning_rate * g / sqrt(...)``.
    """
    g = np.asarray(g, w.dtype)
    velocity *= rho
    velocity += (1 - rho) * g * g
    spread = velocity
    if average_gradient is not None:
        average_gradient *= rho
        average_gradient += (1 - rho) * g
        spread = np.maximum(velocity - average_gradient * average_gradient, 0)
    step = learning_rate * g / np.sqrt(spread + epsilon)
    if increment is not None:
        increment *= momentum
        increment += step
        step = increment
    w -= step


def adadelta_update(
    w: np.ndarray,
    g: ArrayLike,
    accumulated_grad: np.ndarray,
    accumulated_delta_var: np.ndarray,
    learning_rate: float = 0.001,
    rho: float = 0.95,
    epsilon: float = 1e-7,
) -> None:
    """Take a step of Adadelta [8, algorithm 1].

    ``accumulated_grad`` is a running mean, ``rho * accumulated_grad + (1 - rho) * g**2``, and so is
    ``accumulated_delta_var``, of
    ``delta = g * sqrt(accumulated_delta_var + epsilon) / sqrt(accumulated_grad + epsilon)``;
    ``w -= learning_rate * delta``.
    """
    g = np.asarray(g, w.dtype)
    accumulated_grad *= rho
    accumulated_grad += (1 - rho) * g * g
    delta = g * np.sqrt(accumulated_delta_var + epsilon) / np.sqrt(accumulated_grad + epsilon)
    accumulated_delta_var *= rho
    accumulated_delta_var += (1 - rho) * delta * delta
    w -= learning_rate * delta


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
    """Take a step of Adam [9, section 2, "epsilon hat"]; `step` counts from 1.

    ``momentum += (1 - beta_1) * (g - momentum)``, ``velocity += (1 - beta_2) * (g**2 - velocity)``,
    then ``w -= rate * momentum / (sqrt(velocity) + epsilon)`` with
    ``rate = learning_rate * sqrt(1 - beta_2**step) / (1 - beta_1**step)``. With `velocity_hat`, the
    largest `velocity` so far, that one is under the root: AMSGrad [10].
    """
    g = np.asarray(g, w.dtype)
    momentum += (1 - beta_1) * (g - momentum)
    velocity += (1 - beta_2) * (g * g - velocity)
    if velocity_hat is not None:
        np.maximum(velocity_hat, velocity, out=velocity_hat)
        velocity = velocity_hat
    rate = learning_rate * (1 - beta_2**step) ** 0.5 / (1 - beta_1**step)
    w -= rate * momentum / (np.sqrt(velocity) + epsilon)


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
    """Take a step of Adamax [9, algorithm 2]; `step` counts from 1.

    ``momentum += (1 - beta_1) * (g - momentum)``, ``norm = max(beta_2 * norm, |g|)``, then
    ``w -= learning_rate / (1 - beta_1**step) * momentum / (norm + epsilon)``.
    """
    g = np.asarray(g, w.dtype)
    momentum += (1 - beta_1) * (g - momentum)
    np.maximum(beta_2 * norm, np.abs(g), out=norm)
    w -= learning_rate / (1 - beta_1**step) * momentum / (norm + epsilon)


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
    """Take a step of Nadam [11]; `step` counts from 1.

    `momentum` and `velocity` move as in `adam_update`. With a momentum that grows with each step,
    ``u_i = beta_1 * (1 - 0.96**i / 2)``, and ``U_i = u_1 u_2 ... u_i``, it looks one step ahead:
    ``m = u_(t+1) / (1 - U_(t+1)) * momentum + (1 - u_t) / (1 - U_t) * g``, then
    ``w -= learning_rate * m / (sqrt(velocity / (1 - beta_2**t)) + epsilon)``.
    """
    g = np.asarray(g, w.dtype)
    momentum += (1 - beta_1) * (g - momentum)
    velocity += (1 - beta_2) * (g * g - velocity)
    u = [beta_1 * (1 - 0.5 * 0.96**i) for i in range(1, step + 2)]
    here, ahead = math.prod(u[:-1]), math.prod(u)
    m = u[-1] / (1 - ahead) * momentum + (1 - u[-2]) / (1 - here) * g
    w -= learning_rate * m / (np.sqrt(velocity / (1 - beta_2**step)) + epsilon)


def lion_update(
    w: np.ndarray,
    g: ArrayLike,
    momentum: np.ndarray,
    learning_rate: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.99,
) -> None:
    """Take a step of Lion [12, program 1].

    ``w -= learning_rate * sign(beta_1 * momentum + (1 - beta_1) * g)``, then
    ``momentum = beta_2 * momentum + (1 - beta_2) * g``.
    """
    g = np.asarray(g, w.dtype)
    w -= learning_rate * np.sign(beta_1 * momentum + (1 - beta_1) * g)
    momentum *= beta_2
    momentum += (1 - beta_2) * g


def add_penalty(g: np.ndarray, w: ArrayLike, l1: float = 0.0, l2: float = 0.0) -> None:
    """Add the gradient of the penalty ``l1 * |w| + l2 * w**2`` to `g` [1, section 7.1].

    ``g = (g + l1 * sign(w)) + (2 * l2) * w``, rounded after every operation.
    """
    w = np.asarray(w, g.dtype)
    g += l1 * np.sign(w)
    g += 2 * l2 * w


def sum_of_squares(x: ArrayLike) -> float:
    """Sum the squares of all elements, in float64: the square of the array's norm."""
    (x,) = _real(x)
    return float(np.square(x, dtype=np.float64).sum())


def update(kind: str, hyper: ArrayLike, w: np.ndarray, g: ArrayLike, *slots: np.ndarray) -> None:
    """Take a step by name, from a row of numbers such as `Optimizer.hyper` prepares.

    `hyper` holds up to eight numbers of the formula, then ``learning_rate * weight_decay`` and the
    size that elements of `g` are clipped to; both come first, and are left out where they are 0.
    """
    numbers = np.pad(np.asarray(hyper, float), (0, 12)).tolist()
    g = np.asarray(g, w.dtype)
    decay, clip = numbers[8:10]
    if clip:
        g = np.clip(g, -clip, clip)
    if decay:
        w -= decay * w
    _UPDATES[kind](numbers, w, g, *slots)


def _nadam(n: list[float], w: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray) -> None:
    m += n[1] * (g - m)
    v += n[2] * (g * g - v)
    w -= (n[0] * m + n[4] * g) / (np.sqrt(v) + n[3])


# The rate of Adam and Adamax has its correction in it already: as after endless steps.
_ENDLESS: Any = math.inf

# What takes the step, from (numbers, w, g, slots).
_UPDATES: dict[str, Callable[..., None]] = {
    "sgd": lambda n, w, g: sgd_update(w, g, n[0]),
    "momentum": lambda n, w, g, v: momentum_update(w, g, v, n[0], n[1]),
    "nesterov": lambda n, w, g, v: momentum_update(w, g, v, n[0], n[1], nesterov=True),
    "adagrad": lambda n, w, g, a: adagrad_update(w, g, a, n[0], n[1]),
    "rmsprop": lambda n, w, g, v: rmsprop_update(w, g, v, n[0], n[1], n[3]),
    "rmsprop_momentum": lambda n, w, g, v, i: rmsprop_update(w, g, v, n[0], n[1], n[3], n[4], i),
    "rmsprop_centered": lambda n, w, g, v, a: rmsprop_update(
        w, g, v, n[0], n[1], n[3], average_gradient=a
    ),
    "rmsprop_centered_momentum": lambda n, w, g, v, a, i: rmsprop_update(
        w, g, v, n[0], n[1], n[3], n[4], i, a
    ),
    "adadelta": lambda n, w, g, a, d: adadelta_update(w, g, a, d, n[0], n[1], n[3]),
    "adam": lambda n, w, g, m, v: adam_update(w, g, m, v, _ENDLESS, n[0], 1 - n[1], 1 - n[2], n[3]),
    "amsgrad": lambda n, w, g, m, v, h: adam_update(
        w, g, m, v, _ENDLESS, n[0], 1 - n[1], 1 - n[2], n[3], h
    ),
    "adamax": lambda n, w, g, m, u: adamax_update(w, g, m, u, _ENDLESS, n[0], 1 - n[1], n[2], n[3]),
    "nadam": _nadam,
    "lion": lambda n, w, g, m: lion_update(w, g, m, n[0], n[1], n[3]),
}
