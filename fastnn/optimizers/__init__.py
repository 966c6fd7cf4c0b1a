"""Optimizers, by the names and formulas of Keras 3: ``optimizer.update(params, grads)``.

To write one, subclass `Optimizer` and define ``update_array(w, g, slots, iteration)``, which
changes the array ``w`` in place; ``slots`` is a dict, kept for each array, for whatever must last
from step to step. Learning rates that change are in `fastnn.schedules`.
"""

from __future__ import annotations

import sys
from typing import Any

from fastnn import schedules
from fastnn._parts import find
from fastnn.optimizers.base import Optimizer
from fastnn.optimizers.first_order import (
    SGD,
    Adadelta,
    AdaGrad,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    Momentum,
    Nadam,
    Nesterov,
    RMSprop,
)
from fastnn.optimizers.quasi_newton import LBFGS

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
    "schedules",
]

# Where Keras has them: from fastnn.optimizers.schedules import ExponentialDecay
sys.modules[f"{__name__}.schedules"] = schedules

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
    """Return an optimizer: by name, by class, or as it is.

    Parameters
    ----------
    identifier : str, dict, class or Optimizer
        A dict is ``{"class_name": name, "config": arguments}``.
    argument : str
        What an error calls `identifier`.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If no optimizer has this name; near matches are named.
    TypeError
        If `identifier` is of another kind.
    """
    return find(identifier, _OPTIMIZERS, Optimizer, argument)
