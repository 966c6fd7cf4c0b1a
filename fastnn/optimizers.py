"""Optimizers, by the names and formulas of Keras 3: ``optimizer.update(params, grads)``.

To write one, subclass `Optimizer` and define ``update_array(w, g, slots, iteration)``, which
changes the array ``w`` in place; ``slots`` is a dict, kept for each array, for whatever must last
from step to step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _validate as check
from fastnn import kernels
from fastnn._parts import Part, find, snake_case

__all__ = ["AdaGrad", "Adagrad", "Momentum", "Optimizer", "SGD", "get"]

Schedule = Callable[[int], float]

# Length of the row of numbers that an update kernel takes.
_HYPER = 8


class Optimizer(Part):
    """Base of all optimizers.

    Parameters
    ----------
    learning_rate : float or callable
        Positive; or a schedule, called with the number of updates before this one.
    name : str, optional
        By default the class's name in snake case.

    Attributes
    ----------
    iterations : int
        Number of updates so far.
    slots : list of dict of str to ndarray
        What lasts from step to step, one dict for each array. An optimizer that a kernel computes
        has at most one slot, `slot_name`, which starts at `slot_initial`.
    """

    _formula = ("update", "update_array")

    slot_name: str | None = None
    slot_initial: float = 0.0

    def __init__(self, learning_rate: float | Schedule = 0.01, name: str | None = None) -> None:
        self.learning_rate = learning_rate
        self.name = snake_case(type(self).__name__) if name is None else str(name)
        self.iterations = 0
        self.slots: list[dict[str, np.ndarray]] = []
        self._shapes: list[tuple[int, ...]] = []

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next update; set it to a number or a schedule."""
        return float(self._learning_rates(np.array([self.iterations]))[0])

    @learning_rate.setter
    def learning_rate(self, value: float | Schedule) -> None:
        if not callable(value):
            value = check.positive_rate(value, "learning_rate")
        self._learning_rate = value

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this optimizer again; a schedule as it is."""
        return super().get_config() | {"learning_rate": self._learning_rate}

    def _learning_rates(self, iterations: np.ndarray) -> np.ndarray:
        if not callable(self._learning_rate):
            return np.full(len(iterations), self._learning_rate)
        return np.array(
            [
                check.non_negative_rate(self._learning_rate(i), f"learning_rate at iteration {i}")
                for i in map(int, iterations)
            ]
        )

    def _constants(self) -> tuple[float, ...]:
        """Return what follows the learning rate in the kernel's row."""
        return ()

    def hyper(self, iterations: np.ndarray) -> np.ndarray:
        """Return the numbers that the update kernel takes.

        Parameters
        ----------
        iterations : ndarray of int, shape (n,)
            Number of updates before each step.

        Returns
        -------
        ndarray of float64, shape (n, 8)
            The learning rate, the kernel's constants, zeros.

        Raises
        ------
        ValueError
            If a schedule gives no finite number of at least 0.
        """
        rows = np.zeros((len(iterations), _HYPER))
        rows[:, 0] = self._learning_rates(iterations)
        for column, value in enumerate(self._constants(), start=1):
            rows[:, column] = value
        return rows

    def build(self, params: Sequence[np.ndarray]) -> None:
        """Create the slots for these arrays; the first `update` does it too."""
        self._shapes = [w.shape for w in params]
        self.slots = [{} for w in params]
        for w, slots in zip(params, self.slots, strict=True):
            self._slot(w, slots)

    def reset(self) -> None:
        """Forget all slots and count updates from 0 again."""
        self.iterations = 0
        self._shapes = []
        self.slots = []

    def expect_built_for(self, params: Sequence[np.ndarray]) -> None:
        """Raise ValueError unless the slots are for arrays of these shapes."""
        if len(self._shapes) != len(params):
            raise ValueError(
                f"params: expected {check.plural(len(self._shapes), 'array')} as before, "
                f"got {len(params)}"
            )
        for i, (w, shape) in enumerate(zip(params, self._shapes, strict=True)):
            check.expect_shape(w, f"params[{i}]", shape)

    def _slot(self, w: np.ndarray, slots: dict[str, np.ndarray]) -> np.ndarray | None:
        """Return the kernel's slot for `w`, made if it is not there yet."""
        name = self.slot_name
        if name is not None and name not in slots:
            slots[name] = np.full(w.shape, self.slot_initial, w.dtype)
        return None if name is None else slots[name]

    def update(self, params: Sequence[np.ndarray], grads: Sequence[ArrayLike]) -> None:
        """Take one step, in place.

        Parameters
        ----------
        params : sequence of ndarray
            float32 or float64, writeable, of any shape and layout; the same number and shapes at
            every call.
        grads : sequence of array_like
            Gradients of the same shapes.

        Raises
        ------
        TypeError, ValueError
            Before anything is changed.
        """
        params, grads = self._checked(params, grads)
        # A schedule's fault, or a rate too high for float32, shows before any change.
        row = self.hyper(np.array([self.iterations]))
        for dtype in {w.dtype.newbyteorder("=") for w in params}:
            check.as_real(row, "learning_rate", dtype)
        if not self._shapes:
            self.build(params)
        for w, g, slots in zip(params, grads, self.slots, strict=True):
            self.update_array(w, g, slots, self.iterations)
        self.iterations += 1

    def update_array(
        self, w: np.ndarray, g: np.ndarray, slots: dict[str, np.ndarray], iteration: int
    ) -> None:
        """Change the parameters `w` in place by one step along the gradient `g`.

        Parameters
        ----------
        w, g : ndarray
            Of the same shape and type.
        slots : dict
            This array's own, empty at first unless `slot_name` is set.
        iteration : int
            Number of updates before this one.
        """
        if self._kernel is None:
            raise NotImplementedError(f"{type(self).__name__}: an optimizer defines update_array")
        row = self.hyper(np.array([iteration]))[0]
        kernels.update(self._kernel, row, w, g, self._slot(w, slots))

    def _checked(self, params: Any, grads: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
        for arrays, name in ((params, "params"), (grads, "grads")):
            if isinstance(arrays, np.ndarray):
                raise TypeError(f"{name}: expected a list of arrays, got one array")
        params, grads = list(params), list(grads)
        if not params:
            raise ValueError("params: expected at least one array, got none")
        if len(grads) != len(params):
            raise ValueError(
                f"grads: expected {check.plural(len(params), 'array')}, got {len(grads)}"
            )
        checked = []
        for i, (w, g) in enumerate(zip(params, grads, strict=True)):
            check.expect_updatable(w, f"params[{i}]")
            g = check.as_real(g, f"grads[{i}]", w.dtype.newbyteorder("="))
            check.expect_shape(g, f"grads[{i}]", w.shape)
            checked.append(g)
        if self._shapes:
            self.expect_built_for(params)
        return params, checked


class SGD(Optimizer):
    """Gradient descent, ``w -= learning_rate * g``, with momentum if that is not 0.

    Then ``velocity = momentum * velocity - learning_rate * g`` and ``w += velocity``; with
    `nesterov` ``w += momentum * velocity - learning_rate * g``.

    Parameters
    ----------
    learning_rate
        See `Optimizer`.
    momentum : float
        In [0, 1].
    nesterov : bool
    name
        See `Optimizer`.

    Notes
    -----
    I. Sutskever et al., On the importance of initialization and momentum in deep learning,
    ICML 2013; the order of operations is that of Keras 3.
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, name)
        self.momentum = check.fraction(momentum, "momentum", closed=True)
        self.nesterov = check.flag(nesterov, "nesterov")

    @property
    def _kernel(self) -> str:  # type: ignore[override]
        if self.momentum == 0:
            return "sgd"
        return "nesterov" if self.nesterov else "momentum"

    @property
    def slot_name(self) -> str | None:  # type: ignore[override]
        return "velocity" if self.momentum else None

    def _constants(self) -> tuple[float, ...]:
        return (self.momentum,) if self.momentum else ()


class Momentum(SGD):
    """`SGD` with a momentum of 0.9 unless told."""

    def __init__(
        self,
        learning_rate: float | Schedule = 0.01,
        momentum: float = 0.9,
        nesterov: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, momentum, nesterov, name)


class Adagrad(Optimizer):
    """``accumulator += g**2``, then ``w -= learning_rate * g / sqrt(accumulator + epsilon)``.

    Parameters
    ----------
    learning_rate
        See `Optimizer`.
    initial_accumulator_value : float
        At least 0.
    epsilon : float
        Positive.
    name
        See `Optimizer`.

    Notes
    -----
    J. Duchi, E. Hazan, Y. Singer, Adaptive subgradient methods for online learning and stochastic
    optimization, JMLR 12, 2011; where `epsilon` stands is as in Keras 3.
    """

    _kernel = "adagrad"
    slot_name = "accumulator"

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, name)
        self.initial_accumulator_value = check.non_negative_rate(
            initial_accumulator_value, "initial_accumulator_value"
        )
        self.epsilon = check.positive_rate(epsilon, "epsilon")

    @property
    def slot_initial(self) -> float:  # type: ignore[override]
        return self.initial_accumulator_value

    def _constants(self) -> tuple[float, ...]:
        return (self.epsilon,)


AdaGrad = Adagrad

_OPTIMIZERS: dict[str, type[Optimizer]] = {
    "adagrad": Adagrad,
    "momentum": Momentum,
    "sgd": SGD,
}


def get(identifier: Any, argument: str = "optimizer") -> Optimizer:
    """Return an optimizer: by name, by class, or as it is."""
    return find(identifier, _OPTIMIZERS, Optimizer, argument)
