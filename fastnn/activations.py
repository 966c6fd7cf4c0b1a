"""Activation functions, each with its gradient: ``relu(x)``, ``relu.gradient(y, dy)``.

The gradient ``dx = dy * act'(x)`` is computed from the output ``y = act(x)``, or for some
(`Activation.from_input` tells) from the input ``x``. Those with parameters take them in a call,
``leaky_relu(x, negative_slope=0.1)``, and for use in a layer by ``with_``::

    layers.Dense(10, activation=activations.leaky_relu.with_(negative_slope=0.1))

To write your own, make an object with ``__call__(x)`` and ``gradient(y, dy)``; layers take it like
a built-in one.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _validate as check
from fastnn import kernels
from fastnn._parts import Part, key_of

__all__ = [
    "Activation",
    "Differentiable",
    "get",
    "celu",
    "elu",
    "exponential",
    "gelu",
    "gelu_tanh",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "step",
    "swish",
    "tanh",
    "threshold",
]


@runtime_checkable
class Differentiable(Protocol):
    """What an activation of your own must have."""

    def __call__(self, x: np.ndarray, /) -> np.ndarray:
        """Return ``y = act(x)``.

        Parameters
        ----------
        x : ndarray of shape (n, m), float32 or float64

        Returns
        -------
        ndarray of shape (n, m)
            Another shape is refused by the layer (ValueError), as that of a gradient is.
        """

    def gradient(self, y: np.ndarray, dy: np.ndarray, /) -> np.ndarray:
        """Return ``dx = dy * act'(x)`` from the output and the gradient of the loss.

        Parameters
        ----------
        y, dy : ndarray of shape (n, m)
            The output, and the gradient of the loss with respect to it.

        Returns
        -------
        ndarray of shape (n, m)
        """


def _nothing() -> None:
    """Take what an activation without parameters takes."""


class Activation(Part):
    """A built-in activation: the kernel of this name (`fastnn.kernels.activate`).

    Parameters
    ----------
    name : str
        As in `fastnn.kernels.activate`.
    *values, **named
        Its parameters, if it has some; those not given have their defaults.

    Attributes
    ----------
    parameters : dict of str to float
        Those that are not at their defaults.
    numbers : tuple of float
        What the compiled core is given for all of them.

    Raises
    ------
    TypeError, ValueError
        If it has no such parameter, or a value is not a number or out of range.
    """

    _formula = ("__call__", "gradient")

    def __init__(self, name: str, *values: Any, **named: Any) -> None:
        self.name = name
        numbers_of = kernels.PARAMETERS.get(name, tuple)
        signature = inspect.signature(numbers_of if name in kernels.PARAMETERS else _nothing)
        try:
            given = signature.bind(*values, **named).arguments
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from None
        self.numbers: tuple[float, ...] = kernels.DEFAULT_NUMBERS.get(name, ())
        if given:
            self.numbers = numbers_of(**given)
        self.parameters: dict[str, Any] = {
            parameter: value
            for parameter, value in given.items()
            if value != signature.parameters[parameter].default
        }

    @property
    def _kernel(self) -> str:  # type: ignore[override]
        return self.name

    @property
    def from_input(self) -> bool:
        """Whether `gradient` needs the input ``x``, not the output."""
        return self.name in kernels.FROM_INPUT and type(self).gradient is Activation.gradient

    def with_(self, *values: Any, **named: Any) -> Activation:
        """Return this activation with other parameters, for use in a layer.

        Parameters
        ----------
        *values, **named
            As in a call, after `x`. Those not given stay as they are.

        Returns
        -------
        Activation

        Raises
        ------
        TypeError, ValueError
            As by `Activation`.
        """
        return type(self)(self.name, *values, **({} if values else self.parameters) | named)

    def __call__(
        self, x: ArrayLike, *values: Any, out: np.ndarray | None = None, **named: Any
    ) -> np.ndarray:
        """Apply the function to an array of any shape; softmax and log_softmax to its last axis.

        Parameters
        ----------
        x : array_like
            Of any shape, not empty.
        *values, **named
            Parameters of the activation, for this call.
        out : ndarray, optional
            Where to write the result, of the shape and type of the result; may be `x`.

        Returns
        -------
        ndarray
            float64 if `x` is, else float32.

        Raises
        ------
        TypeError, ValueError
            If `x` is not of real numbers, or empty, `out` does not fit the result, or a parameter
            is wrong.
        """
        if values or named:
            return self.with_(*values, **named)(x, out=out)
        return getattr(kernels, self.name)(x, **self.parameters, out=out)

    def gradient(
        self,
        y: ArrayLike | None,
        dy: ArrayLike,
        out: np.ndarray | None = None,
        x: ArrayLike | None = None,
    ) -> np.ndarray:
        """Return ``dx`` from the output ``y = act(x)`` and the gradient ``dy`` of the loss.

        Parameters
        ----------
        y, dy : array_like
            Of the same shape; `y` may be None if `from_input`.
        out : ndarray, optional
            Where to write the result; may be `dy`.
        x : array_like, optional
            The input; needed if `from_input`, else not looked at.

        Returns
        -------
        ndarray of the shape of `dy`

        Raises
        ------
        TypeError
            If what is needed is not given, or not of real numbers.
        ValueError
            If the shapes differ, or `out` does not fit the result.
        """
        saved = y
        if self.name in kernels.FROM_INPUT:
            if x is None:
                raise TypeError(f"x: expected the input of {self.name}, got None")
            saved = x
        gradient = getattr(kernels, f"{self.name}_gradient")
        return gradient(saved, dy, **self.parameters, out=out)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this activation again.

        Returns
        -------
        dict
        """
        if type(self).__init__ is not Activation.__init__:
            return super().get_config()
        return {"name": self.name, **self.parameters}

    def identifier(self) -> Any:
        """Return what `get` accepts in its place.

        Returns
        -------
        str, or with parameters a dict
        """
        if not self.parameters:
            return self.name
        return {"class_name": self.name, "config": dict(self.parameters)}

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self.parameters.items())
        return f"activations.{self.name}" + (f".with_({values})" if values else "")

    @classmethod
    def _documented(cls, name: str, doc: str) -> Self:
        activation = cls(name)
        activation.__doc__ = inspect.cleandoc(doc)
        return activation


class _Gelu(Activation):
    """gelu, whose parameter chooses between two kernels."""

    def with_(self, approximate: bool = False) -> Activation:
        return gelu_tanh if check.flag(approximate, "approximate") else self


class _OfRows(Activation):
    """softmax and its logarithm, which take Keras's `axis` where it is the last one."""

    _kernel = Activation._kernel  # `__call__` checks `axis`; the formula is the kernel's still

    def with_(self, axis: int = -1) -> Activation:
        check.last_axis(axis, "axis")
        return self

    def __call__(  # type: ignore[override]
        self, x: ArrayLike, axis: int = -1, out: np.ndarray | None = None
    ) -> np.ndarray:
        if check.last_axis(axis, "axis") == 1 and np.ndim(x) != 2:
            raise ValueError(f"axis: expected the last axis, got 1 (shape {np.shape(x)})")
        return super().__call__(x, out=out)


_documented = Activation._documented

linear = _documented(
    "linear",
    """Return `x` itself, as an array.""",
)
sigmoid = _documented(
    "sigmoid",
    """Compute ``1 / (1 + exp(-x))``.""",
)
tanh = _documented(
    "tanh",
    """Compute the hyperbolic tangent, ``(exp(x) - exp(-x)) / (exp(x) + exp(-x))``.""",
)
relu = _documented(
    "relu",
    """Compute ``max(x, 0)``, the rectified linear unit.

    With parameters: ``min(x, max_value)`` where ``x > threshold``, else
    ``negative_slope * (x - threshold)``.

    Parameters
    ----------
    negative_slope, threshold : float
        At least 0; by default 0.
    max_value : float, optional
        At least 0; None, the default, is no bound.

    References
    ----------
    V. Nair, G. E. Hinton, Rectified linear units improve restricted Boltzmann machines,
    ICML 2010.""",
)
relu6 = _documented(
    "relu6",
    """Compute ``min(max(x, 0), 6)``.

    References
    ----------
    A. Krizhevsky, Convolutional deep belief networks on CIFAR-10, 2010.""",
)
leaky_relu = _documented(
    "leaky_relu",
    """Compute ``x`` where ``x > 0``, else ``negative_slope * x``.

    Parameters
    ----------
    negative_slope : float
        At least 0; by default 0.2.

    References
    ----------
    A. L. Maas, A. Y. Hannun, A. Y. Ng, Rectifier nonlinearities improve neural network acoustic
    models, ICML 2013.""",
)
elu = _documented(
    "elu",
    """Compute ``x`` where ``x > 0``, else ``alpha * (exp(x) - 1)``.

    Parameters
    ----------
    alpha : float
        At least 0; by default 1.

    References
    ----------
    D.-A. Clevert, T. Unterthiner, S. Hochreiter, Fast and accurate deep network learning by
    exponential linear units (ELUs), ICLR 2016, eq. 15.""",
)
selu = _documented(
    "selu",
    """Compute ``scale * elu(x, alpha)``, ``scale = 1.0507…`` and ``alpha = 1.6732…``.

    With them, inputs of mean 0 and variance 1 stay so from layer to layer; use it with the
    initializer ``"lecun_normal"``.

    References
    ----------
    G. Klambauer et al., Self-normalizing neural networks, NeurIPS 2017, eq. 2.""",
)
celu = _documented(
    "celu",
    """Compute ``x`` where ``x > 0``, else ``alpha * (exp(x / alpha) - 1)``.

    Parameters
    ----------
    alpha : float
        From 1e-30 to 1e30; by default 1.

    References
    ----------
    J. T. Barron, Continuously differentiable exponential linear units, arXiv:1704.07483, 2017.""",
)
gelu = _Gelu._documented(
    "gelu",
    """Compute ``x * P(X <= x)`` for a standard normal `X`: ``x / 2 * erfc(-x / sqrt(2))``.

    It is relatively accurate far into the negative tail. The gradient is computed from the input.

    Parameters
    ----------
    approximate : bool
        True for `gelu_tanh`; by default False.

    References
    ----------
    D. Hendrycks, K. Gimpel, Gaussian error linear units (GELUs), arXiv:1606.08415, 2016.""",
)
gelu_tanh = _documented(
    "gelu_tanh",
    """Compute ``x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))``, nearly `gelu`.

    The gradient is computed from the input.

    References
    ----------
    D. Hendrycks, K. Gimpel, Gaussian error linear units (GELUs), arXiv:1606.08415, 2016.""",
)
silu = _documented(
    "silu",
    """Compute ``x * sigmoid(x)``, also called swish. The gradient is computed from the input.

    References
    ----------
    P. Ramachandran, B. Zoph, Q. V. Le, Searching for activation functions, arXiv:1710.05941,
    2017.""",
)
mish = _documented(
    "mish",
    """Compute ``x * tanh(softplus(x))``. The gradient is computed from the input.

    References
    ----------
    D. Misra, Mish: a self regularized non-monotonic activation function, BMVC 2020.""",
)
softplus = _documented(
    "softplus",
    """Compute ``log(1 + exp(x))``, without overflow.

    References
    ----------
    C. Dugas et al., Incorporating second-order functional knowledge for better option pricing,
    NIPS 2000.""",
)
softsign = _documented(
    "softsign",
    """Compute ``x / (1 + |x|)``. The gradient is computed from the input.

    References
    ----------
    X. Glorot, Y. Bengio, Understanding the difficulty of training deep feedforward neural
    networks, AISTATS 2010.""",
)
exponential = _documented(
    "exponential",
    """Compute ``exp(x)``.""",
)
hard_sigmoid = _documented(
    "hard_sigmoid",
    """Compute ``relu6(x + 3) / 6``.

    References
    ----------
    A. Howard et al., Searching for MobileNetV3, ICCV 2019.""",
)
hard_silu = _documented(
    "hard_silu",
    """Compute ``x * hard_sigmoid(x)``, also called hard swish.

    The gradient is computed from the input.

    References
    ----------
    A. Howard et al., Searching for MobileNetV3, ICCV 2019.""",
)
hard_tanh = _documented(
    "hard_tanh",
    """Compute ``min(max(x, -1), 1)``.

    References
    ----------
    R. Collobert, Large scale machine learning, PhD thesis, Université Paris VI, 2004.""",
)
log_sigmoid = _documented(
    "log_sigmoid",
    """Compute ``log(sigmoid(x)) = -softplus(-x)``, without underflow.""",
)
threshold = _documented(
    "threshold",
    """Compute ``x`` where ``x > theta``, else 0.

    Parameters
    ----------
    theta : float
        At least 0; by default 1.

    References
    ----------
    K. Konda, R. Memisevic, D. Krueger, Zero-bias autoencoders and the benefits of co-adapting
    features, ICLR 2015, eq. 5.""",
)
step = _documented(
    "step",
    """Compute Heaviside's step: 1 where ``x > 0``, else 0, also at 0.

    Its gradient is 0 everywhere, so no layer below it learns by gradients: it is for perceptrons,
    and for networks whose weights are set by hand.

    References
    ----------
    F. Rosenblatt, The perceptron, Psychological Review 65(6), 1958.""",
)
softmax = _OfRows._documented(
    "softmax",
    """Compute ``exp(x) / sum(exp(x))`` over the last axis, without overflow.

    Parameters
    ----------
    axis : {-1, 1}
        Accepted for the sake of scripts.

    References
    ----------
    J. S. Bridle, Probabilistic interpretation of feedforward classification network outputs,
    Neurocomputing, Springer, 1990.""",
)
log_softmax = _OfRows._documented(
    "log_softmax",
    """Compute the logarithm of `softmax`, without its underflow.

    Parameters
    ----------
    axis : {-1, 1}
        Accepted for the sake of scripts.""",
)

# The second names that Keras has for these two.
swish, hard_swish = silu, hard_silu

_ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        linear,
        sigmoid,
        tanh,
        relu,
        relu6,
        leaky_relu,
        elu,
        selu,
        celu,
        gelu,
        gelu_tanh,
        silu,
        mish,
        softplus,
        softsign,
        exponential,
        hard_sigmoid,
        hard_silu,
        hard_tanh,
        log_sigmoid,
        threshold,
        step,
        softmax,
        log_softmax,
    )
}
_ACTIVATIONS |= {"swish": swish, "hard_swish": hard_swish}


def get(identifier: Any, argument: str = "activation") -> Differentiable:
    """Return an activation: None (linear), a name, a dict, or an object of your own.

    A dict is ``{"class_name": name, "config": parameters}``, such as
    ``{"class_name": "leaky_relu", "config": {"negative_slope": 0.1}}``.

    Parameters
    ----------
    identifier : str, dict or Differentiable, optional
    argument : str
        What an error calls `identifier`.

    Returns
    -------
    Differentiable

    Raises
    ------
    ValueError
        If no activation has this name (near matches are named), or a parameter is out of range.
    TypeError
        If the object lacks ``__call__(x)`` or ``gradient(y, dy)``, or the activation has no such
        parameter.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, str):
        return _ACTIVATIONS[key_of(identifier, _ACTIVATIONS, argument)]
    if isinstance(identifier, Mapping) and {"class_name", "config"} <= identifier.keys():
        key = key_of(identifier["class_name"], _ACTIVATIONS, argument)
        return _ACTIVATIONS[key].with_(**identifier["config"])
    if isinstance(identifier, Differentiable) and not isinstance(identifier, type):
        return identifier
    raise TypeError(
        f"{argument}: expected a name or an object with __call__(x) and gradient(y, dy), "
        f"got {identifier!r}"
    )
