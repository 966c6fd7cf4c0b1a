"""Optimizers, by the names and formulas of Keras 3: ``optimizer.update(params, grads)``.

To write one, subclass `Optimizer` and define ``update_array(w, g, slots, iteration)``, which
changes the array ``w`` in place; ``slots`` is a dict, kept for each array, for whatever must last
from step to step.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _dispatch, _steps, kernels, lbfgs, schedules
from fastnn import _validate as check
from fastnn._parts import Part, as_identifier, find, snake_case

__all__ = [
    "AdaGrad",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "LBFGS",
    "Lion",
    "Momentum",
    "Nadam",
    "Nesterov",
    "Optimizer",
    "RMSprop",
    "SGD",
    "get",
]

Schedule = Callable[[int], float]

# The row of numbers that an update kernel takes: its length, and where it ends with what all have.
_HYPERS = _dispatch.core("float32").hypers
_PLACES = _dispatch.core("float32").hyper_places


class ClipsAndName(TypedDict, total=False):
    """Arguments that all optimizers take by name; see `Optimizer`."""

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    name: str | None


class Common(ClipsAndName, total=False):
    """The same with the weight decay."""

    weight_decay: float | None


class Optimizer(Part):
    """Base of all optimizers.

    Before each step the gradients are clipped, and then the weights decay, as in Keras 3.

    Parameters
    ----------
    learning_rate : float or callable
        At least 0, where 0 moves nothing; or a schedule, called with the number of updates before
        this one; or the dict that stands for one of `fastnn.schedules`.
    weight_decay : float, optional
        At least 0: ``w -= learning_rate * weight_decay * w``, apart from the gradient.
    clipnorm, clipvalue, global_clipnorm : float, optional
        Positive, and at most one of them. The gradient of each array is scaled down to a norm of
        `clipnorm`; its elements are clipped to ``[-clipvalue, clipvalue]``; all gradients are
        scaled down together to a norm of `global_clipnorm`, or to NaN if theirs is not finite.
    name : str, optional
        By default the class's name in snake case.

    Attributes
    ----------
    iterations : int
        Number of updates so far.
    slots : list of dict of str to ndarray
        What lasts from step to step, one dict for each array. An optimizer that a kernel computes
        has those of `kernel_slots`, in that order.
    """

    _formula = ("update", "update_array")

    # Whether a step needs the whole data set, and to evaluate it several times (`LBFGS`).
    full_batch: ClassVar[bool] = False

    def __init__(
        self,
        learning_rate: float | Schedule = 0.01,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
    ) -> None:
        self.learning_rate = learning_rate
        self.weight_decay = (
            None if weight_decay is None else check.non_negative_rate(weight_decay, "weight_decay")
        )
        clips = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        given = [clip for clip, value in clips.items() if value is not None]
        if len(given) > 1:
            raise ValueError(
                f"{given[0]}: expected at most one of clipnorm, clipvalue and global_clipnorm, "
                f"got {' and '.join(given)}"
            )
        for clip, value in clips.items():
            setattr(self, clip, None if value is None else check.positive_rate(value, clip))
        self.name = snake_case(type(self).__name__) if name is None else str(name)
        self.iterations = 0
        self.slots: list[dict[str, np.ndarray]] = []
        self._shapes: list[tuple[int, ...]] = []

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next update; set it to a number or a schedule."""
        return float(self._learning_rates(np.array([self.iterations]))[0])

    @learning_rate.setter
    def learning_rate(self, value: float | Schedule | Mapping[str, Any]) -> None:
        if isinstance(value, Mapping):
            value = schedules.get(value, "learning_rate")
        elif not callable(value):
            value = check.non_negative_rate(value, "learning_rate")
        self._learning_rate = value

    @property
    def kernel_slots(self) -> dict[str, float]:
        """The slots that the kernel keeps for each array, and the number each one starts from."""
        return {}

    @property
    def needs_gradients(self) -> bool:
        """Whether a step looks at whole gradients, of which no update may be done beforehand."""
        return self.clipnorm is not None or self.global_clipnorm is not None

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this optimizer again; a function as it is."""
        rate = as_identifier(self._learning_rate)
        return super().get_config() | {"learning_rate": rate} | self._common()

    def __repr__(self) -> str:
        names = [*inspect.signature(type(self)).parameters, *self._common()]
        values = {name: getattr(self, name) for name in names if hasattr(self, name)}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in values.items())})"

    def _common(self) -> dict[str, Any]:
        """Return the arguments in use that the constructor takes as ``**common``."""
        arguments = inspect.signature(type(self)).parameters.values()
        if not any(argument.kind is argument.VAR_KEYWORD for argument in arguments):
            return {}
        values = {name: getattr(self, name) for name in Common.__annotations__}
        return {name: value for name, value in values.items() if value is not None}

    def _learning_rates(self, iterations: np.ndarray) -> np.ndarray:
        if not callable(self._learning_rate):
            return np.full(len(iterations), self._learning_rate)
        rates = getattr(self._learning_rate, "rates", None)
        if rates is None:
            return np.array(
                [
                    check.non_negative_rate(
                        self._learning_rate(i), f"learning_rate at iteration {i}"
                    )
                    for i in map(int, iterations)
                ]
            )
        found = check.as_vector(rates(iterations), "learning_rate", np.float64, len(iterations))
        wrong = np.flatnonzero(~(np.isfinite(found) & (found >= 0)))
        if wrong.size:
            check.non_negative_rate(
                found[wrong[0]].item(), f"learning_rate at iteration {iterations[wrong[0]]}"
            )
        return found

    def _numbers(self, step: np.ndarray, rate: np.ndarray) -> tuple[Any, ...]:
        """Return the kernel's numbers: arrays like `step` (from 1) and `rate`, or floats."""
        return (rate,)

    def hyper(self, iterations: np.ndarray) -> np.ndarray:
        """Return the numbers that the update kernel takes.

        Parameters
        ----------
        iterations : ndarray of int, shape (n,)
            Number of updates before each step.

        Returns
        -------
        ndarray of float64, shape (n, 12)
            Up to eight numbers of the kernel's, first the learning rate with its corrections; then
            ``learning_rate * weight_decay``, `clipvalue` and one of the other clips, or 0; zeros.

        Raises
        ------
        ValueError
            If a schedule gives no finite number of at least 0.
        """
        rows = np.zeros((len(iterations), _HYPERS))
        rates = self._learning_rates(iterations)
        step = np.asarray(iterations) + 1.0
        for column, value in enumerate(self._numbers(step, rates)):
            rows[:, column] = value
        rows[:, _PLACES["decay"]] = rates * (self.weight_decay or 0)
        rows[:, _PLACES["clipvalue"]] = self.clipvalue or 0
        rows[:, _PLACES["clipnorm"]] = self.clipnorm or self.global_clipnorm or 0
        return rows

    def build(self, params: Sequence[np.ndarray]) -> None:
        """Create the slots for these arrays; the first `update` does it too."""
        self._shapes = [w.shape for w in params]
        self.slots = [{} for w in params]
        for w, slots in zip(params, self.slots, strict=True):
            self._slots(w, slots)

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

    def _slots(self, w: np.ndarray, slots: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Return the kernel's slots for `w`, made if they are not there yet."""
        for name, initial in self.kernel_slots.items():
            if name not in slots:
                slots[name] = np.full(w.shape, initial, w.dtype)
        return [slots[name] for name in self.kernel_slots]

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
        grads = self._scaled(grads)
        for w, g, slots in zip(params, grads, self.slots, strict=True):
            if self.kernel_name is None:
                g = self._clipped_and_decayed(w, g, row[0])
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
            This array's own, with `kernel_slots` in it.
        iteration : int
            Number of updates before this one.
        """
        if self._kernel is None:
            raise NotImplementedError(f"{type(self).__name__}: an optimizer defines update_array")
        row = self.hyper(np.array([iteration]))[0]
        if self.kernel_name is None:
            row[list(_PLACES.values())] = 0  # this is part of a formula: `update` clips and decays
        kernels.update(self._kernel, row, w, g, *self._slots(w, slots))

    def _scaled(self, grads: list[np.ndarray]) -> list[np.ndarray]:
        """Return the gradients clipped by norm; as `clip_factor_kernel` of the core does it."""
        if not self.needs_gradients:
            return grads
        sums = [kernels.sum_of_squares(g) for g in grads]
        if self.global_clipnorm is not None:
            sums = [sum(sums)] * len(grads)
        return [self._scaled_by(g, math.sqrt(total)) for g, total in zip(grads, sums, strict=True)]

    def _scaled_by(self, g: np.ndarray, norm: float) -> np.ndarray:
        limit = self.clipnorm if self.global_clipnorm is None else self.global_clipnorm
        clip = float(g.dtype.type(limit))
        if norm <= clip:
            return g
        factor = g.dtype.type(clip / norm)
        if self.global_clipnorm is not None:
            factor += g.dtype.type(norm - norm)  # NaN, if the norm is infinite
        return g * factor

    def _clipped_and_decayed(self, w: np.ndarray, g: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Do in NumPy what a kernel does to `g` and `w` before its formula, to the same bits."""
        if self.clipvalue is not None:
            limit = g.dtype.type(self.clipvalue)
            g = np.clip(g, -limit, limit)
        if self.weight_decay:
            w -= g.dtype.type(row[_PLACES["decay"]]) * w
        return g

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


# All numbers below are checked when an optimizer is made; what they are called is Keras's.


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
    **common
        `weight_decay`, `clipnorm`, `clipvalue`, `global_clipnorm` and `name`, see `Optimizer`.

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
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, **common)
        self.momentum = check.fraction(momentum, "momentum", closed=True)
        self.nesterov = check.flag(nesterov, "nesterov")

    @property
    def _kernel(self) -> str:  # type: ignore[override]
        if self.momentum == 0:
            return "sgd"
        return "nesterov" if self.nesterov else "momentum"

    @property
    def kernel_slots(self) -> dict[str, float]:
        """See `Optimizer`."""
        return {"velocity": 0.0} if self.momentum else {}

    def _numbers(self, step: np.ndarray, rate: np.ndarray) -> tuple[Any, ...]:
        return (rate, self.momentum) if self.momentum else (rate,)


class Momentum(SGD):
    """`SGD` with a momentum of 0.9 unless told."""

    def __init__(
        self,
        learning_rate: float | Schedule = 0.01,
        momentum: float = 0.9,
        nesterov: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, momentum, nesterov, **common)


class Nesterov(SGD):
    """`SGD` with Nesterov's momentum, of 0.9 unless told."""

    def __init__(
        self,
        learning_rate: float | Schedule = 0.01,
        momentum: float = 0.9,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, momentum, True, **common)


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
    **common
        `weight_decay`, `clipnorm`, `clipvalue`, `global_clipnorm` and `name`, see `Optimizer`.

    Notes
    -----
    J. Duchi, E. Hazan, Y. Singer, Adaptive subgradient methods for online learning and stochastic
    optimization, JMLR 12, 2011; where `epsilon` stands is as in Keras 3.
    """

    _kernel = "adagrad"

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, **common)
        self.initial_accumulator_value = check.non_negative_rate(
            initial_accumulator_value, "initial_accumulator_value"
        )
        self.epsilon = check.positive_rate(epsilon, "epsilon")

    @property
    def kernel_slots(self) -> dict[str, float]:
        """See `Optimizer`."""
        return {"accumulator": self.initial_accumulator_value}

    def _numbers(self, step: np.ndarray, rate: np.ndarray) -> tuple[Any, ...]:
        return rate, self.epsilon


AdaGrad = Adagrad


class RMSprop(Optimizer):
    """Steps divided by the root of a running mean of squared gradients.

    ``velocity = rho * velocity + (1 - rho) * g**2``, and
    ``w -= learning_rate * g / sqrt(velocity + epsilon)``.

    Parameters
    ----------
    learning_rate
        See `Optimizer`.
    rho : float
        In [0, 1).
    momentum : float
        In [0, 1]. If not 0, ``increment = momentum * increment + learning_rate * g / sqrt(...)`` is
        what is taken off ``w``; the slot is called "momentum".
    epsilon : float
        Positive.
    centered : bool
        Whether the square of the gradients' own running mean is taken off ``velocity`` under the
        root. Rounding may make that variance negative; it then counts as 0 (in Keras: NaN).
    **common
        `weight_decay`, `clipnorm`, `clipvalue`, `global_clipnorm` and `name`, see `Optimizer`.

    Notes
    -----
    T. Tieleman, G. Hinton, Lecture 6.5: rmsprop, Coursera, 2012; where `epsilon` stands is as in
    Keras 3.
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, **common)
        self.rho = check.fraction(rho, "rho")
        self.momentum = check.fraction(momentum, "momentum", closed=True)
        self.epsilon = check.positive_rate(epsilon, "epsilon")
        self.centered = check.flag(centered, "centered")

    @property
    def _kernel(self) -> str:  # type: ignore[override]
        return "rmsprop" + "_centered" * self.centered + "_momentum" * (self.momentum != 0)

    @property
    def kernel_slots(self) -> dict[str, float]:
        """See `Optimizer`."""
        names = ["velocity", "average_gradient", "momentum"]
        wanted = [True, self.centered, self.momentum != 0]
        return {name: 0.0 for name, kept in zip(names, wanted, strict=True) if kept}

    def _numbers(self, step: np.ndarray, rate: np.ndarray) -> tuple[Any, ...]:
        return _steps.rmsprop(rate, self.rho, self.epsilon, self.momentum)


class Adadelta(Optimizer):
    """Steps of the size of earlier steps, by the sizes of earlier gradients.

    ``delta = g * sqrt(accumulated_delta_var + epsilon) / sqrt(accumulated_grad + epsilon)`` and
    ``w -= learning_rate * delta``; the accumulators are running means of ``delta**2`` and ``g**2``.

    Parameters
    ----------
    learning_rate
        See `Optimizer`; 1 is the original's.
    rho : float
        In [0, 1).
    epsilon : float
        Positive.
    **common
        `weight_decay`, `clipnorm`, `clipvalue`, `global_clipnorm` and `name`, see `Optimizer`.

    Notes
    -----
    M. D. Zeiler, Adadelta: an adaptive learning rate method, arXiv:1212.5701, 2012.
    """

    _kernel = "adadelta"

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, **common)
        self.rho = check.fraction(rho, "rho")
        self.epsilon = check.positive_rate(epsilon, "epsilon")

    @property
    def kernel_slots(self) -> dict[str, float]:
        """See `Optimizer`."""
        return {"accumulated_grad": 0.0, "accumulated_delta_var": 0.0}

    def _numbers(self, step: np.ndarray, rate: np.ndarray) -> tuple[Any, ...]:
        return _steps.adadelta(rate, self.rho, self.epsilon)


class Adam(Optimizer):
    """Steps along a running mean of gradients, divided by the root of that of their squares.

    ``momentum += (1 - beta_1) * (g - momentum)``, ``velocity += (1 - beta_2) * (g**2 - velocity)``,
    then ``w -= rate * momentum / (sqrt(velocity) + epsilon)`` with
    ``rate = learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t)`` at step t.

    Parameters
    ----------
    learning_rate
        See `Optimizer`.
    beta_1, beta_2 : float
        In [0, 1).
    epsilon : float
        Positive.
    amsgrad : bool
        Whether the largest ``velocity`` so far stands under the root.
    **common
        `weight_decay`, `clipnorm`, `clipvalue`, `global_clipnorm` and `name`, see `Optimizer`.

    Notes
    -----
    D. P. Kingma, J. Ba, Adam: a method for stochastic optimization, ICLR 2015, with the "epsilon
    hat" of its section 2, as in Keras 3. S. J. Reddi, S. Kale, S. Kumar, On the convergence of Adam
    and beyond, ICLR 2018.
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, **common)
        self.beta_1 = check.fraction(beta_1, "beta_1")
        self.beta_2 = check.fraction(beta_2, "beta_2")
        self.epsilon = check.positive_rate(epsilon, "epsilon")
        self.amsgrad = check.flag(amsgrad, "amsgrad")

    @property
    def _kernel(self) -> str:  # type: ignore[override]
        return "amsgrad" if self.amsgrad else "adam"

    @property
    def kernel_slots(self) -> dict[str, float]:
        """See `Optimizer`."""
        slots = {"momentum": 0.0, "velocity": 0.0}
        return slots | {"velocity_hat": 0.0} if self.amsgrad else slots

    def _numbers(self, step: np.ndarray, rate: np.ndarray) -> tuple[Any, ...]:
        return _steps.adam(step, rate, self.beta_1, self.beta_2, self.epsilon)


class AdamW(Adam):
    """`Adam` with a weight decay.

    Notes
    -----
    I. Loshchilov, F. Hutter, Decoupled weight decay regularization, ICLR 2019.
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **common: Unpack[ClipsAndName],
    ) -> None:
        decay = check.non_negative_rate(weight_decay, "weight_decay")  # None is none for AdamW
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=decay, **common
        )


class Adamax(Optimizer):
    """`Adam` with the greatest gradient so far, fading, in place of the root.

    ``norm = max(beta_2 * norm, |g|)``, and
    ``w -= learning_rate / (1 - beta_1**t) * momentum / (norm + epsilon)`` at step t.

    Parameters
    ----------
    learning_rate
        See `Optimizer`.
    beta_1, beta_2 : float
        In [0, 1).
    epsilon : float
        Positive.
    **common
        `weight_decay`, `clipnorm`, `clipvalue`, `global_clipnorm` and `name`, see `Optimizer`.

    Notes
    -----
    D. P. Kingma, J. Ba, Adam: a method for stochastic optimization, ICLR 2015, section 7.1.
    """

    _kernel = "adamax"

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, **common)
        self.beta_1 = check.fraction(beta_1, "beta_1")
        self.beta_2 = check.fraction(beta_2, "beta_2")
        self.epsilon = check.positive_rate(epsilon, "epsilon")

    @property
    def kernel_slots(self) -> dict[str, float]:
        """See `Optimizer`."""
        return {"momentum": 0.0, "norm": 0.0}

    def _numbers(self, step: np.ndarray, rate: np.ndarray) -> tuple[Any, ...]:
        return _steps.adamax(step, rate, self.beta_1, self.beta_2, self.epsilon)


class Nadam(Optimizer):
    """`Adam` with Nesterov's look ahead, and a momentum that grows to `beta_1`.

    Parameters
    ----------
    learning_rate
        See `Optimizer`.
    beta_1, beta_2 : float
        In [0, 1).
    epsilon : float
        Positive.
    **common
        `weight_decay`, `clipnorm`, `clipvalue`, `global_clipnorm` and `name`, see `Optimizer`.

    Notes
    -----
    T. Dozat, Incorporating Nesterov momentum into Adam, ICLR workshop 2016. The formula is written
    out at `fastnn.reference.nadam_update`.
    """

    _kernel = "nadam"

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, **common)
        self.beta_1 = check.fraction(beta_1, "beta_1")
        self.beta_2 = check.fraction(beta_2, "beta_2")
        self.epsilon = check.positive_rate(epsilon, "epsilon")

    @property
    def kernel_slots(self) -> dict[str, float]:
        """See `Optimizer`."""
        return {"momentum": 0.0, "velocity": 0.0}

    def _numbers(self, step: np.ndarray, rate: np.ndarray) -> tuple[Any, ...]:
        return _steps.nadam(step, rate, self.beta_1, self.beta_2, self.epsilon)


class Lion(Optimizer):
    """Steps of one size: the sign of a mean of the gradient and its running mean.

    ``w -= learning_rate * sign(beta_1 * momentum + (1 - beta_1) * g)``, then
    ``momentum = beta_2 * momentum + (1 - beta_2) * g``.

    Parameters
    ----------
    learning_rate
        See `Optimizer`. A third to a tenth of Adam's does as much.
    beta_1 : float
        In (0, 1]: with 0 nothing but the sign of the last gradient would count.
    beta_2 : float
        In [0, 1).
    **common
        `weight_decay`, `clipnorm`, `clipvalue`, `global_clipnorm` and `name`, see `Optimizer`.

    Notes
    -----
    X. Chen et al., Symbolic discovery of optimization algorithms, NeurIPS 2023.
    """

    _kernel = "lion"

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, **common)
        self.beta_1 = check.fraction(beta_1, "beta_1", closed=True)
        check.positive_rate(beta_1, "beta_1")
        self.beta_2 = check.fraction(beta_2, "beta_2")

    @property
    def kernel_slots(self) -> dict[str, float]:
        """See `Optimizer`."""
        return {"momentum": 0.0}

    def _numbers(self, step: np.ndarray, rate: np.ndarray) -> tuple[Any, ...]:
        return _steps.lion(rate, self.beta_1, self.beta_2)


class LBFGS(Optimizer):
    """Limited-memory BFGS over the whole data set: fits small networks exactly.

    Each epoch of `fit` takes up to `max_iterations` steps, each of them over all rows, whatever the
    batch size; the next epoch goes on with the curvature learnt so far. Training ends with the
    epoch that converges.

    Parameters
    ----------
    max_iterations : int
        Steps in an epoch.
    history_size : int
        How many of the last steps tell of the curvature.
    gradient_tolerance : float
        Converged if no entry of the gradient is larger.
    value_tolerance : float
        Converged after a step that lowers the loss by no more than this times ``max(1, loss)``.
    name
        See `Optimizer`.

    Attributes
    ----------
    converged : bool
        Whether the last descent met a tolerance, or found no lower value in this precision.
    slots : list of dict of str to ndarray
        ``steps`` and ``differences``, (k, *shape), float64: the history of each array.

    Notes
    -----
    There is no learning rate: SciPy's line search finds the length of every step. It needs the same
    value for the same weights, so `Dropout` and its like draw once for an epoch. A network in
    float64 is fitted closer than one in float32. Iteration and sources: `lbfgs`.
    """

    full_batch = True

    def __init__(
        self,
        max_iterations: int = 20,
        history_size: int = 10,
        gradient_tolerance: float = 1e-5,
        value_tolerance: float = 1e-9,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.max_iterations = check.positive_int(max_iterations, "max_iterations")
        self.history_size = check.positive_int(history_size, "history_size")
        self.gradient_tolerance = check.non_negative_rate(gradient_tolerance, "gradient_tolerance")
        self.value_tolerance = check.non_negative_rate(value_tolerance, "value_tolerance")
        self.converged = False

    def get_config(self) -> dict[str, Any]:
        return Part.get_config(self)

    def update(self, params: Sequence[np.ndarray], grads: Sequence[ArrayLike]) -> None:
        raise TypeError(
            f"{self.name}: expected a function to evaluate (descend, Sequential.fit or "
            f"fastnn.minimize), got gradients alone"
        )

    def descend(
        self,
        params: Sequence[np.ndarray],
        evaluate: Callable[[], tuple[float, Sequence[np.ndarray]]],
        iterations: int | None = None,
    ) -> None:
        """Take steps, in place.

        Parameters
        ----------
        params : sequence of ndarray
            As for `Optimizer.update`.
        evaluate : callable
            Returns the value and the gradients at what `params` hold when it is called. They are
            computed with in float64 and rounded to the type of `params`.
        iterations : int, optional
            At most so many; by default `max_iterations`.
        """
        for i, w in enumerate(params):
            check.expect_updatable(w, f"params[{i}]")
        if not self._shapes:
            self.build(params)
        self.expect_built_for(params)
        ends = np.cumsum([w.size for w in params])

        def put(x: np.ndarray) -> None:
            for w, part in zip(params, np.split(x, ends[:-1]), strict=True):
                w[...] = part.reshape(w.shape)

        def at(x: np.ndarray) -> tuple[float, np.ndarray]:
            put(x)
            value, gradients = evaluate()
            return float(value), _flat(gradients)

        start = end = _flat(params)
        try:
            found = lbfgs.descend(
                at,
                start,
                *self._history(int(ends[-1])),
                self.max_iterations if iterations is None else iterations,
                self.history_size,
                self.gradient_tolerance,
                self.value_tolerance,
            )
            end = found.x
        finally:
            put(end)  # not where the last trial, or an error, left them
        self.converged = found.converged
        self.iterations += found.iterations
        for name, rows in zip(_HISTORY, (found.steps, found.differences), strict=True):
            parts = np.split(rows, ends[:-1], axis=1)
            for w, slots, part in zip(params, self.slots, parts, strict=True):
                slots[name] = part.reshape(len(rows), *w.shape)

    def _history(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The history over all arrays; none where they do not have the same, as after a freeze."""
        lengths = {len(slots.get(name, ())) for slots in self.slots for name in _HISTORY}
        if len(lengths) != 1 or lengths == {0}:
            return np.zeros((0, size)), np.zeros((0, size))
        (k,) = lengths
        steps, differences = (
            np.concatenate([slots[name].reshape(k, -1) for slots in self.slots], axis=1)
            for name in _HISTORY
        )
        return steps, differences


_HISTORY = ("steps", "differences")


def _flat(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.asarray(a, np.float64).ravel() for a in arrays])


_OPTIMIZERS: dict[str, type[Optimizer]] = {
    "adadelta": Adadelta,
    "adagrad": Adagrad,
    "adam": Adam,
    "adamax": Adamax,
    "adamw": AdamW,
    "lbfgs": LBFGS,
    "lion": Lion,
    "momentum": Momentum,
    "nadam": Nadam,
    "nesterov": Nesterov,
    "rmsprop": RMSprop,
    "sgd": SGD,
}


def get(identifier: Any, argument: str = "optimizer") -> Optimizer:
    """Return an optimizer: by name, by class, or as it is."""
    return find(identifier, _OPTIMIZERS, Optimizer, argument)
