"""Activation functions, each with its gradient: ``relu(x)``, ``relu.gradient(y, dy)``.

The gradient is computed from the output ``y = act(x)``: ``dx = dy * act'(x)``. To write your own,
make an object with ``__call__(x)`` and ``gradient(y, dy)``; layers take it like a built-in one.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from fastnn import kernels
from fastnn._parts import Part, key_of

__all__ = [
    "Activation",
    "Differentiable",
    "get",
    "linear",
    "log_softmax",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
]


@runtime_checkable
class Differentiable(Protocol):
    """What an activation of your own must have."""

    def __call__(self, x: np.ndarray, /) -> np.ndarray:
        """Return ``y = act(x)``, of the shape of `x`."""

    def gradient(self, y: np.ndarray, dy: np.ndarray, /) -> np.ndarray:
        """Return ``dx = dy * act'(x)`` from the output `y` and the gradient `dy` of the loss."""


class Activation(Part):
    """A built-in activation: the kernel of this name (`fastnn.kernels.activate`)."""

    _formula = ("__call__", "gradient")

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def _kernel(self) -> str:  # type: ignore[override]
        return self.name

    def __call__(self, x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
        """Apply the function to an array of any shape; softmax and log_softmax to its last axis.

        Parameters
        ----------
        x : array_like
            Of any shape, not empty.
        out : ndarray, optional
            Where to write the result, of the shape and type of the result; may be `x`.

        Returns
        -------
        ndarray
            float64 if `x` is, else float32.
        """
        return kernels.activate(self.name, x, out)

    def gradient(self, y: ArrayLike, dy: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
        """Return ``dx`` from the output ``y = act(x)`` and the gradient ``dy`` of the loss.

        Parameters
        ----------
        y, dy : array_like
            Of the same shape.
        out : ndarray, optional
            Where to write the result; may be `dy`.
        """
        return kernels.activate_gradient(self.name, y, dy, out)

    def identifier(self) -> str:
        """Return the name."""
        return self.name

    def __repr__(self) -> str:
        return f"activations.{self.name}"


linear = Activation("linear")
sigmoid = Activation("sigmoid")
tanh = Activation("tanh")
relu = Activation("relu")
softmax = Activation("softmax")
log_softmax = Activation("log_softmax")

_ACTIVATIONS = {
    activation.name: activation
    for activation in (linear, sigmoid, tanh, relu, softmax, log_softmax)
}


def get(identifier: Any, argument: str = "activation") -> Differentiable:
    """Return an activation: None (linear), a name, or an object of your own.

    Raises
    ------
    ValueError
        If no activation has this name.
    TypeError
        If the object lacks ``__call__(x)`` or ``gradient(y, dy)``.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, str):
        return _ACTIVATIONS[key_of(identifier, _ACTIVATIONS, argument)]
    if isinstance(identifier, Differentiable) and not isinstance(identifier, type):
        return identifier
    raise TypeError(
        f"{argument}: expected a name or an object with __call__(x) and gradient(y, dy), "
        f"got {identifier!r}"
    )
