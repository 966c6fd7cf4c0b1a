"""Learning rates set by epoch."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from fastnn import _validate as check
from fastnn.callbacks.base import Callback, Logs


class LearningRateScheduler(Callback):
    """Sets the optimizer's learning rate before each epoch.

    Parameters
    ----------
    schedule : callable ``(epoch, learning_rate) -> float`` or ``(epoch) -> float``
        From the epoch, counted from 0, and the rate so far; a finite rate of at least 0.
    verbose : {0, 1}
        Whether to print each new rate.

    Raises
    ------
    TypeError
        If `schedule` cannot be called. By `fit`, before anything is trained, if the optimizer has a
        schedule of its own, as in Keras.
    TypeError, ValueError
        By `fit`, before the epoch, if `schedule` returns anything but such a rate.

    Notes
    -----
    The rate is in the logs, and so in the history, as ``learning_rate``.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        if not callable(schedule):
            raise TypeError(f"schedule: expected a function, got {schedule!r}")
        self.schedule = schedule
        self.verbose = verbose
        self._takes_rate = _takes_two(schedule)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        expect_settable_rate(self.model.optimizer, type(self).__name__)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = self.model.optimizer
        if self._takes_rate:
            rate = self.schedule(epoch, optimizer.learning_rate)
        else:
            rate = self.schedule(epoch)
        optimizer.learning_rate = check.non_negative_rate(rate, f"schedule at epoch {epoch}")
        if self.verbose:
            print(f"epoch {epoch + 1}: learning rate {optimizer.learning_rate:.4g}")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = self.model.optimizer.learning_rate


def expect_settable_rate(optimizer: Any, callback: str) -> None:
    """Raise TypeError if the optimizer's learning rate is a schedule."""
    rate = optimizer._learning_rate
    if callable(rate):
        raise TypeError(
            f"learning_rate: expected a number that {callback} can change, got a schedule, {rate!r}"
        )


def _takes_two(function: Callable[..., Any]) -> bool:
    """Whether a function can be called with two positional arguments."""
    try:
        inspect.signature(function).bind(0, 0.0)
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature
        return True
    return True
