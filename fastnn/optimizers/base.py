"""What all optimizers share: learning rates, weight decay, clips, slots, and the step itself."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _dispatch, kernels, schedules
from fastnn import _validate as check
from fastnn._parts import Part, as_identifier, snake_case

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

    Raises
    ------
    TypeError, ValueError
        By all optimizers: TypeError for an argument of the wrong kind, ValueError for a value out
        of the range that is stated, or for more than one clip.
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
        self.name = check.as_name(name, snake_case(type(self).__name__))
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
        if self.weight_decay:
            rows[:, _PLACES["decay"]] = rates * self.weight_decay
        if self.clipvalue:
            rows[:, _PLACES["clipvalue"]] = self.clipvalue
        if self.needs_gradients:
            rows[:, _PLACES["clipnorm"]] = self.clipnorm or self.global_clipnorm
        return rows

    def build(self, params: Sequence[np.ndarray]) -> None:
        """Create the slots for these arrays; the first `update` does it too.

        Parameters
        ----------
        params : sequence of ndarray
            As for `update`.
        """
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
        """Raise unless the slots are for arrays of these shapes.

        Parameters
        ----------
        params : sequence of ndarray

        Raises
        ------
        ValueError
            If their number or a shape differs from that at `build`.
        """
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
        TypeError
            If `params` or `grads` is one array, or one of them holds something of another kind.
        ValueError
            If there are no arrays, a number of arrays or a shape differs, an array is empty or
            read-only, or a schedule's rate is no finite number of at least 0 that their type holds.
            Nothing is changed then, in either case.
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

        Raises
        ------
        TypeError, ValueError
            If `w` is not a writeable float32 or float64 array, or `g` not of its shape.
        NotImplementedError
            If a subclass does not define it.
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
