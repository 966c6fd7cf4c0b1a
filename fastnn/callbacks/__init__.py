"""Callbacks: what happens at the epochs and batches of a training run, by the names of Keras 3.

To write one, override the hooks wanted in a subclass of `Callback`. Training runs many batches in
one call of compiled code; only a callback that overrides a batch hook makes it come back to Python
for each of them (`Callback.wants_batches`). Of those below only `ModelCheckpoint` with a number as
`save_freq` does: the others look at epochs alone and cost nothing per step.
"""

from __future__ import annotations

from fastnn.callbacks.base import Callback, CallbackList, History, LambdaCallback
from fastnn.callbacks.health import GradientMonitor, TerminateOnNaN
from fastnn.callbacks.logger import CSVLogger
from fastnn.callbacks.monitor import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from fastnn.callbacks.rate import LearningRateScheduler

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "GradientMonitor",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]
