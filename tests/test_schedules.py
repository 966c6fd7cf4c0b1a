"""Schedules: figures of Keras 3 and PyTorch, vectors against single calls, optimizers, errors."""

import importlib
import math

import numpy as np
import pytest

from fastnn import optimizers, schedules
from fastnn.schedules import (
    Constant,
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    LearningRateSchedule,
    OneCycle,
    PiecewiseConstantDecay,
    PolynomialDecay,
)

# What Keras 3.15 gives at these iterations; some of its steps are in float32 even where it is told
# to compute in float64.
KERAS_AT = [0, 1, 3, 4, 7, 10, 11, 13, 14, 25]
KERAS = [
    (
        ExponentialDecay(0.5, 10, 0.9),
        [
            0.5,
            0.494759629,
            0.484443081,
            0.479365758,
            0.464450849,
            0.45,
            0.445283666,
            0.435998773,
            0.431429182,
            0.384216736,
        ],
    ),
    (
        ExponentialDecay(0.5, 10, 0.9, staircase=True),
        [0.5, 0.5, 0.5, 0.5, 0.5, 0.45, 0.45, 0.45, 0.45, 0.405],
    ),
    (
        InverseTimeDecay(0.5, 10, 0.9),
        [
            0.5,
            0.458715596,
            0.393700787,
            0.367647059,
            0.306748466,
            0.263157895,
            0.251256281,
            0.230414747,
            0.221238938,
            0.153846154,
        ],
    ),
    (
        InverseTimeDecay(0.5, 10, 0.9, staircase=True),
        [0.5, 0.5, 0.5, 0.5, 0.5, 0.263157895, 0.263157895, 0.263157895, 0.263157895, 0.178571429],
    ),
    (
        PolynomialDecay(0.5, 10),
        [0.5, 0.45001, 0.35003, 0.30004, 0.15007, 0.0001, 0.0001, 0.0001, 0.0001, 0.0001],
    ),
    (
        PolynomialDecay(0.5, 10, 0.1, power=2.5),
        [0.5, 0.407373389, 0.263985365, 0.21154192, 0.119718012, 0.1, 0.1, 0.1, 0.1, 0.1],
    ),
    (
        PolynomialDecay(0.5, 10, 0.1, power=0.5, cycle=True),
        [
            0.5,
            0.479473319,
            0.434664011,
            0.409838668,
            0.319089023,
            0.1,
            0.368328157,
            0.336643191,
            0.319089023,
            0.263299316,
        ],
    ),
    (
        PiecewiseConstantDecay([3, 10], [0.5, 0.25, 0.1]),
        [0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.1, 0.1, 0.1, 0.1],
    ),
    (
        CosineDecay(0.5, 10),
        [0.5, 0.48776412, 0.396946311, 0.327254236, 0.103053704, 0.0, 0.0, 0.0, 0.0, 0.0],
    ),
    (
        CosineDecay(0.5, 10, alpha=0.1),
        [
            0.5,
            0.488987714,
            0.407251686,
            0.344528824,
            0.142748326,
            0.0500000007,
            0.0500000007,
            0.0500000007,
            0.0500000007,
            0.0500000007,
        ],
    ),
    (
        CosineDecay(0.1, 10, alpha=0.1, warmup_target=0.5, warmup_steps=4),
        [
            0.1,
            0.2,
            0.4,
            0.5,
            0.407251686,
            0.205471158,
            0.142748326,
            0.0610122941,
            0.0500000007,
            0.0500000007,
        ],
    ),
    (
        CosineDecayRestarts(0.5, 4),
        [
            0.5,
            0.426776707,
            0.0732233077,
            0.5,
            0.345670849,
            0.0732233077,
            0.0190301239,
            0.495196313,
            0.480969876,
            0.0421325862,
        ],
    ),
    (
        CosineDecayRestarts(0.5, 4, t_mul=1.0, m_mul=0.5, alpha=0.2),
        [
            0.5,
            0.441421366,
            0.158578646,
            0.3,
            0.129289323,
            0.149999997,
            0.114644662,
            0.142677671,
            0.124999999,
            0.105334709,
        ],
    ),
    (
        CosineDecayRestarts(0.5, 3, t_mul=1.5, m_mul=0.8),
        [
            0.5,
            0.375,
            0.4,
            0.353208876,
            0.0120614767,
            0.223372765,
            0.150696831,
            0.0263219643,
            0.00108186722,
            0.203945422,
        ],
    ),
]

# What PyTorch 2.13 gives, momentum apart.
TORCH_AT = [0, 1, 3, 4, 7, 10, 11, 13]
TORCH = [
    (
        OneCycle(0.5, 14),
        [
            0.02,
            0.126663144,
            0.495388467,
            0.491823748,
            0.336341918,
            0.106972407,
            0.0496483959,
            2e-06,
        ],
    ),
    (
        OneCycle(0.5, 14, pct_start=0.5, anneal_strategy="linear"),
        [0.02, 0.1, 0.26, 0.34, 0.428571714, 0.214286857, 0.142858571, 2e-06],
    ),
    (
        OneCycle(0.5, 14, pct_start=0.4, div_factor=10.0, final_div_factor=100.0, three_phase=True),
        [
            0.05,
            0.10046496,
            0.378514633,
            0.481372543,
            0.259645457,
            0.0447812276,
            0.0272938388,
            0.0005,
        ],
    ),
    (
        OneCycle(0.5, 14, pct_start=0.25, anneal_strategy="linear", three_phase=True),
        [0.02, 0.212, 0.404, 0.212, 0.0150005, 0.00750125, 0.0050015, 2e-06],
    ),
]
PUBLISHED = [(*row, KERAS_AT) for row in KERAS] + [(*row, TORCH_AT) for row in TORCH]
ALL = [schedule for schedule, _ in KERAS + TORCH] + [Constant(0.25)]


@pytest.mark.parametrize("schedule, figures, at", PUBLISHED, ids=lambda x: repr(x)[:60])
def test_figures(schedule, figures, at):
    atol = np.finfo(np.float32).eps  # of rates of at most 1/2
    np.testing.assert_allclose([schedule(i) for i in at], figures, rtol=0, atol=atol)


@pytest.mark.parametrize("schedule", ALL, ids=repr)
def test_many_iterations_have_the_bits_of_each(schedule):
    # The eager road asks for one rate at a time, the plan for many.
    iterations = np.arange(40)
    rates = schedule.rates(iterations)
    assert rates.dtype == np.float64 and rates.shape == (40,)
    assert rates.tolist() == [schedule(i) for i in range(40)]
    assert type(schedule(3)) is float


@pytest.mark.parametrize("schedule", ALL, ids=repr)
def test_config(schedule):
    config = schedule.get_config()
    again = type(schedule).from_config(config)
    assert again.get_config() == config
    iterations = np.arange(40)
    for twin in (again, schedules.get(schedule.identifier())):
        assert twin.rates(iterations).tolist() == schedule.rates(iterations).tolist()


def test_restarts_fall_on_whole_decays():
    # 3**k - 1 over 2 decays of 7 steps each: where the logarithm of a power rounds either way.
    schedule = CosineDecayRestarts(0.5, 7, t_mul=3.0)
    for k in range(12):
        begin = 7 * (3**k - 1) // 2
        assert schedule(begin) == 0.5 and schedule(begin + 1) < 0.5
        assert schedule(begin + 7 * 3**k - 1) < 0.03


def test_warm_up():
    schedule = CosineDecay(0.0, 100, warmup_target=0.8, warmup_steps=8)
    assert [schedule(i) for i in range(9)] == pytest.approx([i / 10 for i in range(9)])
    at_once = CosineDecay(0.0, 100, warmup_target=0.8)
    assert [at_once(i) for i in (0, 50, 100, 1000)] == pytest.approx([0.8, 0.4, 0, 0])


def test_one_cycle_at_its_edges():
    peak = OneCycle(0.5, 10, pct_start=0.01)  # the rise is over before it begins
    assert peak(0) == 0.5 and peak(9) == peak(1000) == pytest.approx(0.5 / 25 / 1e4)
    rise = OneCycle(0.5, 10, pct_start=1.0)
    assert rise(0) == pytest.approx(0.02) and rise(9) == pytest.approx(0.5)
    assert 0 < OneCycle(0.5, 1)(0) <= 0.5
    rates = OneCycle(0.5, 1000).rates(np.arange(1000))
    assert rates.argmax() == 299 and rates.max() == 0.5
    assert (np.diff(rates)[:299] > 0).all() and (np.diff(rates)[299:] < 0).all()


# ---- in an optimizer -----------------------------------------------------------------------------


def test_in_an_optimizer():
    schedule = PolynomialDecay(1.0, 4, 0.0)
    optimizer, w = optimizers.SGD(schedule), np.zeros(1)
    for _ in range(3):
        optimizer.update([w], [np.ones(1)])
    assert w == pytest.approx(-(1 + 0.75 + 0.5)) and optimizer.learning_rate == 0.25
    config = optimizer.get_config()
    assert config["learning_rate"] == schedule.identifier()
    again = optimizers.SGD.from_config(config)
    at = np.arange(6)
    assert again.hyper(at)[:, 0].tolist() == [1, 0.75, 0.5, 0.25, 0, 0]
    assert again.get_config() == config


class Countdown(LearningRateSchedule):
    """A schedule as a user writes it."""

    def __call__(self, iteration):
        return 1 / (1 + iteration)


class Doubled(Constant):
    """One on a built-in schedule."""

    def __call__(self, iteration):
        return 2 * super().__call__(iteration)


def test_of_ones_own():
    assert Countdown().rates(np.arange(3)).tolist() == [1, 1 / 2, 1 / 3]
    assert Countdown().name == "countdown"
    assert optimizers.SGD(Countdown()).hyper(np.array([1, 3]))[:, 0].tolist() == [0.5, 0.25]
    with pytest.raises(NotImplementedError, match="a schedule defines __call__ or rates"):
        LearningRateSchedule()(0)
    with pytest.raises(NotImplementedError):
        LearningRateSchedule().rates(np.arange(2))


def test_on_a_built_in_one():
    class Halved(ExponentialDecay):
        def __call__(self, iteration):
            return 0.5 * 0.25**iteration

    assert Halved(1.0, 1, 0.25).rates(np.arange(3)).tolist() == [0.5, 0.125, 0.03125]


def test_rates_that_no_step_can_take():
    class Bad(LearningRateSchedule):
        def rates(self, iterations):
            return np.where(iterations == 2, self.wrong, 1.0)

    schedule, w = Bad(), np.zeros(1)
    for schedule.wrong in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError) as error:
            optimizers.SGD(schedule).hyper(np.arange(4))
        assert str(error.value) == (
            f"learning_rate at iteration 2: expected a non-negative number, got {schedule.wrong}"
        )
    schedule.rates = lambda iterations: np.ones(2)
    optimizer = optimizers.SGD(schedule)
    with pytest.raises(ValueError, match=r"^learning_rate: expected shape \(1,\), got \(2,\)$"):
        optimizer.update([w], [np.ones(1)])
    assert w == 0 and optimizer.iterations == 0


# ---- refused at construction ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "make, kind, message",
    [
        (lambda: Constant(-1), ValueError, "learning_rate: expected a non-negative number, got -1"),
        (
            lambda: ExponentialDecay(-1, 10, 0.9),
            ValueError,
            "initial_learning_rate: expected a non-negative number, got -1",
        ),
        (
            lambda: ExponentialDecay(0.1, 0, 0.9),
            ValueError,
            "decay_steps: expected a positive integer, got 0",
        ),
        (
            lambda: InverseTimeDecay(0.1, 10, -0.5),
            ValueError,
            "decay_rate: expected a positive number, got -0.5",
        ),
        (
            lambda: InverseTimeDecay(0.1, 10, 0.5, 1),
            TypeError,
            "staircase: expected True or False, got 1",
        ),
        (
            lambda: PolynomialDecay(0.1, 10, -0.1),
            ValueError,
            "end_learning_rate: expected a non-negative number, got -0.1",
        ),
        (
            lambda: PolynomialDecay(0.1, 10, power=0),
            ValueError,
            "power: expected a positive number, got 0",
        ),
        (
            lambda: PiecewiseConstantDecay([5, 5], [1, 2, 3]),
            ValueError,
            "boundaries: expected ascending iterations, got [5, 5]",
        ),
        (
            lambda: PiecewiseConstantDecay([5], [1]),
            ValueError,
            "values: expected 2 values, one more than boundaries, got 1",
        ),
        (
            lambda: PiecewiseConstantDecay([5], [1, -2]),
            ValueError,
            "values[1]: expected a non-negative number, got -2",
        ),
        (
            lambda: PiecewiseConstantDecay(5, [1, 2]),
            TypeError,
            "boundaries: expected a sequence of numbers, got 5",
        ),
        (
            lambda: PiecewiseConstantDecay([5], 0.1),
            TypeError,
            "values: expected a sequence of numbers, got 0.1",
        ),
        (
            lambda: CosineDecay(0.1, 10, alpha=1.5),
            ValueError,
            "alpha: expected a number in [0, 1], got 1.5",
        ),
        (
            lambda: CosineDecay(0.1, 10, warmup_target=-0.1),
            ValueError,
            "warmup_target: expected a non-negative number, got -0.1",
        ),
        (
            lambda: CosineDecayRestarts(0.1, 10, t_mul=0.5),
            ValueError,
            "t_mul: expected a number of at least 1, got 0.5",
        ),
        (
            lambda: OneCycle(0.1, 10, pct_start=0.6, three_phase=True),
            ValueError,
            "pct_start: expected at most 0.5 with three_phase, got 0.6",
        ),
        (
            lambda: OneCycle(0.1, 10, anneal_strategy="cosine"),
            ValueError,
            "anneal_strategy: expected one of cos, linear, got 'cosine' (did you mean 'cos'?)",
        ),
        (
            lambda: ExponentialDecay(0.1, 10, 0.9, name=3),
            TypeError,
            "name: expected a string, got 3",
        ),
        (
            lambda: schedules.get("one_cycle"),
            TypeError,
            "schedule: expected a schedule with its arguments, got 'one_cycle'",
        ),
    ],
)
def test_errors(make, kind, message):
    with pytest.raises(kind) as error:
        make()
    assert str(error.value) == message


def test_near_matches():
    with pytest.raises(ValueError, match="did you mean 'cosine_decay'"):
        schedules.get({"class_name": "CosinDecay", "config": {}})


def test_schedules_are_where_keras_has_them():
    assert optimizers.schedules is schedules and "schedules" in optimizers.__all__
    assert importlib.import_module("fastnn.optimizers.schedules") is schedules
