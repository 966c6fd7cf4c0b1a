"""Learning-rate schedules, by the names and formulas of Keras 3: ``schedule(iteration) -> float``.

``optimizers.SGD(learning_rate=schedules.CosineDecay(0.1, decay_steps=1000))``: the optimizer calls
the schedule with the number of updates before each one, from 0. To write one, pass a function of
that number; or subclass `LearningRateSchedule` and define ``__call__(iteration)``, or
``rates(iterations)``, which spares a call of Python for every step.

Sources
-------
[1] I. Loshchilov, F. Hutter, SGDR: stochastic gradient descent with warm restarts, ICLR 2017.
[2] P. Goyal et al., Accurate, large minibatch SGD, 2017 (the warm-up).
[3] L. N. Smith, N. Topin, Super-convergence: very fast training of neural networks using large
    learning rates, 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn import _validate as check
from fastnn._parts import Part, find, snake_case

__all__ = [
    "Constant",
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "OneCycle",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "get",
]


class LearningRateSchedule(Part):
    """Base of all schedules.

    Parameters
    ----------
    name : str, optional
        By default the class's name in snake case.

    Raises
    ------
    TypeError, ValueError
        By all schedules: TypeError for an argument of the wrong kind, ValueError for a value out of
        the range that is stated.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = check.as_name(name, snake_case(type(self).__name__))

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__call__" in vars(cls) and "rates" not in vars(cls):
            # A formula of its own must not be passed over for its parent's.
            cls.rates = LearningRateSchedule.rates  # type: ignore[method-assign]

    def __call__(self, iteration: int) -> float:
        """Return the learning rate of the update before which there were `iteration` others.

        Parameters
        ----------
        iteration : int
            At least 0.

        Returns
        -------
        float

        Raises
        ------
        NotImplementedError
            If a subclass defines neither this nor `rates`.
        """
        if type(self).rates is LearningRateSchedule.rates:
            raise NotImplementedError(
                f"{type(self).__name__}: a schedule defines __call__ or rates"
            )
        return float(self.rates(np.array([iteration]))[0])

    def rates(self, iterations: np.ndarray) -> np.ndarray:
        """Return the learning rates of many updates.

        Parameters
        ----------
        iterations : ndarray of int, shape (n,)

        Returns
        -------
        ndarray of float64, shape (n,)
        """
        return np.array([self(i) for i in map(int, iterations)], np.float64)


class Constant(LearningRateSchedule):
    """The same learning rate at all times.

    Parameters
    ----------
    learning_rate : float
        At least 0.
    name : str, optional
    """

    def __init__(self, learning_rate: float, name: str | None = None) -> None:
        super().__init__(name)
        self.learning_rate = check.non_negative_rate(learning_rate, "learning_rate")

    def rates(self, iterations: np.ndarray) -> np.ndarray:
        return np.full(len(iterations), self.learning_rate)


class _Decay(LearningRateSchedule):
    """What the two decays below have in common."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.initial_learning_rate = check.non_negative_rate(
            initial_learning_rate, "initial_learning_rate"
        )
        self.decay_steps = check.positive_int(decay_steps, "decay_steps")
        self.decay_rate = check.positive_rate(decay_rate, "decay_rate")
        self.staircase = check.flag(staircase, "staircase")

    def _periods(self, iterations: np.ndarray) -> np.ndarray:
        periods = iterations / self.decay_steps
        return np.floor(periods) if self.staircase else periods


class ExponentialDecay(_Decay):
    """``initial_learning_rate * decay_rate ** (iteration / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
        At least 0.
    decay_rate : float
        Positive.
    decay_steps : int
        At least 1.
    staircase : bool
        Whether the exponent is rounded down to a whole number.
    name : str, optional
    """

    def rates(self, iterations: np.ndarray) -> np.ndarray:
        return self.initial_learning_rate * self.decay_rate ** self._periods(iterations)


class InverseTimeDecay(_Decay):
    """``initial_learning_rate / (1 + decay_rate * iteration / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
        At least 0.
    decay_rate : float
        Positive.
    decay_steps : int
        At least 1.
    staircase : bool
        Whether ``iteration / decay_steps`` is rounded down to a whole number.
    name : str, optional
    """

    def rates(self, iterations: np.ndarray) -> np.ndarray:
        return self.initial_learning_rate / (1 + self.decay_rate * self._periods(iterations))


class PolynomialDecay(LearningRateSchedule):
    """From one rate to another as ``(1 - iteration / decay_steps) ** power`` goes from 1 to 0.

    Parameters
    ----------
    initial_learning_rate, end_learning_rate : float
        At least 0.
    decay_steps : int
        At least 1: after so many iterations the rate stays at its end.
    power : float
        Positive; 1 is a straight line.
    cycle : bool
        Whether to take, in the place of `decay_steps`, its first multiple that is not below the
        iteration: the rate jumps up after each and falls to the same end again.
    name : str, optional
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.initial_learning_rate = check.non_negative_rate(
            initial_learning_rate, "initial_learning_rate"
        )
        self.decay_steps = check.positive_int(decay_steps, "decay_steps")
        self.end_learning_rate = check.non_negative_rate(end_learning_rate, "end_learning_rate")
        self.power = check.positive_rate(power, "power")
        self.cycle = check.flag(cycle, "cycle")

    def rates(self, iterations: np.ndarray) -> np.ndarray:
        periods = np.ceil(iterations / self.decay_steps) if self.cycle else 1.0
        steps = self.decay_steps * np.maximum(periods, 1.0)
        left = 1 - np.minimum(iterations, steps) / steps
        span = self.initial_learning_rate - self.end_learning_rate
        return span * left**self.power + self.end_learning_rate


class PiecewiseConstantDecay(LearningRateSchedule):
    """``values[0]`` up to and including iteration ``boundaries[0]``, then ``values[1]``, and so on.

    Parameters
    ----------
    boundaries : sequence of int
        Ascending, from 0.
    values : sequence of float
        Learning rates of at least 0, one more than boundaries.
    name : str, optional
    """

    def __init__(
        self, boundaries: Sequence[int], values: Sequence[float], name: str | None = None
    ) -> None:
        super().__init__(name)
        for argument, given in (("boundaries", boundaries), ("values", values)):
            if not isinstance(given, (Sequence, np.ndarray)):
                raise TypeError(f"{argument}: expected a sequence of numbers, got {given!r}")
        self.boundaries = [
            check.non_negative_int(boundary, f"boundaries[{i}]")
            for i, boundary in enumerate(boundaries)
        ]
        self.values = [
            check.non_negative_rate(value, f"values[{i}]") for i, value in enumerate(values)
        ]
        if any(np.diff(self.boundaries) <= 0):
            raise ValueError(f"boundaries: expected ascending iterations, got {self.boundaries}")
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"values: expected {len(self.boundaries) + 1} values, one more than "
                f"boundaries, got {len(self.values)}"
            )

    def rates(self, iterations: np.ndarray) -> np.ndarray:
        return np.array(self.values)[np.searchsorted(self.boundaries, iterations)]


class CosineDecay(LearningRateSchedule):
    """Half a cosine wave from the highest rate to `alpha` times it [1], after a warm-up [2].

    Parameters
    ----------
    initial_learning_rate : float
        At least 0: where the warm-up starts, or without one the decay.
    decay_steps : int
        Iterations of the decay, at least 1, counted from the end of the warm-up; then the rate
        stays.
    alpha : float
        In [0, 1].
    name : str, optional
    warmup_target : float, optional
        At least 0: where the warm-up ends, a straight line. Without it there is no warm-up.
    warmup_steps : int
        Iterations of the warm-up, at least 0.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        name: str | None = None,
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        super().__init__(name)
        self.initial_learning_rate = check.non_negative_rate(
            initial_learning_rate, "initial_learning_rate"
        )
        self.decay_steps = check.positive_int(decay_steps, "decay_steps")
        self.alpha = check.fraction(alpha, "alpha", closed=True)
        self.warmup_target = (
            None
            if warmup_target is None
            else check.non_negative_rate(warmup_target, "warmup_target")
        )
        self.warmup_steps = check.non_negative_int(warmup_steps, "warmup_steps")

    def rates(self, iterations: np.ndarray) -> np.ndarray:
        start = self.initial_learning_rate
        if self.warmup_target is None:
            return start * self._decayed(iterations)
        decay = self.warmup_target * self._decayed(iterations - self.warmup_steps)
        slope = (self.warmup_target - start) / max(self.warmup_steps, 1)
        return np.where(iterations < self.warmup_steps, start + slope * iterations, decay)

    def _decayed(self, iterations: np.ndarray) -> np.ndarray:
        fraction = np.clip(iterations / self.decay_steps, 0, 1)
        return (1 - self.alpha) * _half_wave(fraction) + self.alpha


class CosineDecayRestarts(LearningRateSchedule):
    """Cosine decays one after the other, each of them longer than the one before [1].

    Parameters
    ----------
    initial_learning_rate : float
        At least 0.
    first_decay_steps : int
        Iterations of the first decay, at least 1.
    t_mul : float
        How many times longer each decay is than the one before; at least 1.
    m_mul : float
        How many times higher each one starts; positive.
    alpha : float
        In [0, 1]: the lowest rate over `initial_learning_rate`.
    name : str, optional

    Notes
    -----
    Restarts fall exactly on ``first_decay_steps * (1 + t_mul + t_mul**2 + …)``; a computation of
    their number from logarithms alone may miss them by one iteration.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: int,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.initial_learning_rate = check.non_negative_rate(
            initial_learning_rate, "initial_learning_rate"
        )
        self.first_decay_steps = check.positive_int(first_decay_steps, "first_decay_steps")
        self.t_mul = check.number(t_mul, "t_mul")
        if self.t_mul < 1:
            raise ValueError(f"t_mul: expected a number of at least 1, got {t_mul!r}")
        self.m_mul = check.positive_rate(m_mul, "m_mul")
        self.alpha = check.fraction(alpha, "alpha", closed=True)

    def rates(self, iterations: np.ndarray) -> np.ndarray:
        # In units of the first decay.
        time = iterations / self.first_decay_steps
        restarts = self._restarts(time)
        fraction = (time - self._begin(restarts)) / self.t_mul**restarts
        height = self.m_mul**restarts * _half_wave(fraction)
        return self.initial_learning_rate * ((1 - self.alpha) * height + self.alpha)

    def _begin(self, restarts: np.ndarray) -> np.ndarray:
        """When the decay after so many restarts begins."""
        if self.t_mul == 1:
            return restarts
        return (self.t_mul**restarts - 1) / (self.t_mul - 1)

    def _restarts(self, time: np.ndarray) -> np.ndarray:
        """The number of restarts up to each time, as whole float64 numbers."""
        if self.t_mul == 1:
            return np.floor(time)
        number = np.floor(np.log1p(time * (self.t_mul - 1)) / np.log(self.t_mul))
        number += self._begin(number + 1) <= time
        return number


class OneCycle(LearningRateSchedule):
    """One rise of the learning rate and one long fall, far below where it began [3].

    Parameters
    ----------
    max_learning_rate : float
        At least 0.
    total_steps : int
        Iterations of the cycle, at least 1; after them the rate stays at its lowest.
    pct_start : float
        In [0, 1]: the share of the cycle that the rise takes. With `three_phase` at most 0.5.
    anneal_strategy : {"cos", "linear"}
        The form of each phase: half a cosine wave or a straight line.
    div_factor : float
        Positive: the cycle begins at ``max_learning_rate / div_factor``.
    final_div_factor : float
        Positive: it ends at ``max_learning_rate / div_factor / final_div_factor``.
    three_phase : bool
        Whether the rate falls to where it began in as many steps as it rose, and from there to the
        end in a third phase, as in the paper; else it falls in one.
    name : str, optional

    Notes
    -----
    Arguments, defaults and formula are those of PyTorch's ``OneCycleLR``, momentum apart: that is
    not a part of the schedule here, and a rise shorter than one step is left out: the first rate is
    then the highest (PyTorch begins a part of a step beyond it).
    """

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.max_learning_rate = check.non_negative_rate(max_learning_rate, "max_learning_rate")
        self.total_steps = check.positive_int(total_steps, "total_steps")
        self.pct_start = check.fraction(pct_start, "pct_start", closed=True)
        self.anneal_strategy = check.choice(anneal_strategy, "anneal_strategy", ("cos", "linear"))
        self.div_factor = check.positive_rate(div_factor, "div_factor")
        self.final_div_factor = check.positive_rate(final_div_factor, "final_div_factor")
        self.three_phase = check.flag(three_phase, "three_phase")
        if self.three_phase and self.pct_start > 0.5:
            raise ValueError(
                f"pct_start: expected at most 0.5 with three_phase, got {self.pct_start}"
            )

    def rates(self, iterations: np.ndarray) -> np.ndarray:
        highest = self.max_learning_rate
        begin = highest / self.div_factor
        rise = self.pct_start * self.total_steps
        # Where the phases meet, and the rates there.
        steps, ends = [0.0, rise - 1], [begin, highest]
        if self.three_phase:
            steps, ends = [*steps, 2 * rise - 2], [*ends, begin]
        last = self.total_steps - 1
        steps, ends = [*steps, last], [*ends, begin / self.final_div_factor]
        steps = np.clip(steps, 0, last)
        phase = np.minimum(np.searchsorted(steps[1:], iterations), len(steps) - 2)
        length = (steps[1:] - steps[:-1])[phase]
        # A phase of no length is over at once.
        fraction = np.ones(len(iterations))
        np.divide(iterations - steps[phase], length, out=fraction, where=length > 0)
        left = 1 - np.minimum(fraction, 1)
        if self.anneal_strategy == "cos":
            left = _half_wave(1 - left)
        low, high = np.array(ends)[phase], np.array(ends)[phase + 1]
        return high + (low - high) * left


_SCHEDULES: dict[str, type[LearningRateSchedule]] = {
    "constant": Constant,
    "cosine_decay": CosineDecay,
    "cosine_decay_restarts": CosineDecayRestarts,
    "exponential_decay": ExponentialDecay,
    "inverse_time_decay": InverseTimeDecay,
    "one_cycle": OneCycle,
    "piecewise_constant_decay": PiecewiseConstantDecay,
    "polynomial_decay": PolynomialDecay,
}


def get(identifier: Any, argument: str = "schedule") -> LearningRateSchedule:
    """Return a schedule: from ``{"class_name": …, "config": …}``, or as it is.

    Parameters
    ----------
    identifier : dict or LearningRateSchedule
    argument : str
        What an error calls `identifier`.

    Returns
    -------
    LearningRateSchedule

    Raises
    ------
    ValueError
        If no schedule has this name; near matches are named.
    TypeError
        If it is of another kind. A name alone does not do: a schedule needs its numbers.
    """
    if isinstance(identifier, (str, type)):
        raise TypeError(f"{argument}: expected a schedule with its arguments, got {identifier!r}")
    return find(identifier, _SCHEDULES, LearningRateSchedule, argument)


def _half_wave(fraction: np.ndarray) -> np.ndarray:
    """From 1 to 0 as `fraction` goes from 0 to 1, along half a cosine wave."""
    return 0.5 * (1 + np.cos(np.pi * fraction))
