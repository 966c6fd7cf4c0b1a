"""What an update kernel takes beside its arrays: the numbers of one step, or of many at once.

All that is the same for every weight is worked out here, once a step and in float64: the correction
of the bias of running means above all, so that the kernels have few operations left for each
weight. `step` counts from 1 and may be an array, as may `learning_rate`.

Sources
-------
[1] D. P. Kingma, J. Ba, Adam: a method for stochastic optimization, ICLR 2015.
[2] T. Dozat, Incorporating Nesterov momentum into Adam, ICLR workshop 2016.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Number = Any  # float or ndarray of float64


def rmsprop(
    learning_rate: Number, rho: float, epsilon: float, momentum: float = 0.0
) -> tuple[Number, ...]:
    """The numbers of RMSprop, in all its forms."""
    return learning_rate, rho, 1 - rho, epsilon, momentum


def adadelta(learning_rate: Number, rho: float, epsilon: float) -> tuple[Number, ...]:
    """The numbers of Adadelta."""
    return learning_rate, rho, 1 - rho, epsilon


def adam(
    step: Number, learning_rate: Number, beta_1: float, beta_2: float, epsilon: float
) -> tuple[Number, ...]:
    """The numbers of Adam and of AMSGrad.

    The rate is ``learning_rate * sqrt(1 - beta_2**step) / (1 - beta_1**step)``, and `epsilon` the
    "epsilon hat" of [1, section 2].
    """
    rate = learning_rate * np.sqrt(1 - beta_2**step) / (1 - beta_1**step)
    return rate, 1 - beta_1, 1 - beta_2, epsilon


def adamax(
    step: Number, learning_rate: Number, beta_1: float, beta_2: float, epsilon: float
) -> tuple[Number, ...]:
    """The numbers of Adamax [1, algorithm 2]."""
    return learning_rate / (1 - beta_1**step), 1 - beta_1, beta_2, epsilon


# sum_i log(1 - 0.96**i / 2) for i = 1, 2, ..., which is constant to float64 long before the end.
_WARMING = np.cumsum(np.log1p(-0.5 * 0.96 ** np.arange(1, 1001)))


def nadam(
    step: Number, learning_rate: Number, beta_1: float, beta_2: float, epsilon: float
) -> tuple[Number, ...]:
    """The numbers of Nadam [2].

    The momentum of step i is ``u_i = beta_1 * (1 - 0.96**i / 2)``; with ``U_i = u_1 u_2 ... u_i``
    step t is ``learning_rate * (u_(t+1) / (1 - U_(t+1)) * momentum + (1 - u_t) / (1 - U_t) * g)``
    by ``sqrt(velocity / (1 - beta_2**t)) + epsilon``. Both sides of that fraction are multiplied by
    ``sqrt(1 - beta_2**t)`` here.
    """
    here, ahead = (beta_1 * (1 - 0.5 * 0.96**i) for i in (step, step + 1))
    done = np.minimum(step, len(_WARMING)).astype(int) - 1
    product = beta_1**step * np.exp(_WARMING[done])
    root = np.sqrt(1 - beta_2**step)
    of_momentum = learning_rate * root * ahead / (1 - product * ahead)
    of_gradient = learning_rate * root * (1 - here) / (1 - product)
    return of_momentum, 1 - beta_1, 1 - beta_2, epsilon * root, of_gradient


def lion(learning_rate: Number, beta_1: float, beta_2: float) -> tuple[Number, ...]:
    """The numbers of Lion."""
    return learning_rate, beta_1, 1 - beta_1, beta_2, 1 - beta_2
