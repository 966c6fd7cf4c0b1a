"""Optimizers that step along each gradient, one mini-batch after the other."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from fastnn import _steps
from fastnn import _validate as check
from fastnn.optimizers.base import ClipsAndName, Common, Optimizer, Schedule

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
        See above; of no effect without momentum.
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
    """`SGD` with a momentum of 0.9 unless told.

    Parameters
    ----------
    learning_rate, momentum, nesterov, **common
        See `SGD`.
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 0.01,
        momentum: float = 0.9,
        nesterov: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, momentum, nesterov, **common)


class Nesterov(SGD):
    """`SGD` with Nesterov's momentum, of 0.9 unless told.

    Parameters
    ----------
    learning_rate, momentum, **common
        See `SGD`.
    """

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

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon, amsgrad
        See `Adam`.
    weight_decay : float
        At least 0; see `Optimizer`.
    **common
        `clipnorm`, `clipvalue`, `global_clipnorm` and `name`, see `Optimizer`.

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
