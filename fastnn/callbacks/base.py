"""The hooks of a training run, what calls them, and the two plainest callbacks.

A callback overrides the hooks it wants. Training runs many batches in one call of compiled code;
only a callback that overrides a batch hook makes it come back to Python for each of them
(`Callback.wants_batches`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

# Numbers; a metric whose result is an array gives that.
Logs = dict[str, Any]


class Callback:
    """Base of all callbacks: every hook does nothing.

    A hook may raise what it likes: `fit` or `evaluate` ends with that. The `logs` of a hook are a
    dict of str to float, or to an array for a metric whose result is one; where nothing is said of
    them they are empty. What `on_epoch_end` adds to them is in the history too.

    Attributes
    ----------
    model
        The model that is trained. ``model.stop_training = True`` ends the training.
    params : dict
        While `fit` runs: ``verbose``, ``epochs``, ``steps``, the mini-batches of an epoch, and
        ``do_validation``.
    """

    model: Any = None
    params: Mapping[str, Any] = MappingProxyType({})

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Tell the callback how it is trained; called before any hook of `fit`.

        Parameters
        ----------
        params : dict
            What the attribute `params` is to be.
        """
        self.params = params

    def set_model(self, model: Any) -> None:
        """Tell the callback its model; called before any hook.

        Parameters
        ----------
        model : Sequential
        """
        self.model = model

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called once, before the first epoch; `logs` is empty."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called once, after the last epoch; `logs` holds what that ended with."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called before epoch `epoch`, counted from 0; `logs` is empty."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called after epoch `epoch`; `logs` holds loss, metrics and their ``val_`` twins."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Called before an evaluation, of the validation data of `fit` or by `evaluate`; `logs` is
        empty."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Called after an evaluation; `logs` holds its loss and metrics."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before batch `batch` of an epoch, counted from 0; `logs` is empty."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after batch `batch`; `logs` holds loss and metrics of the epoch so far."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of `on_train_batch_begin`, with the same `batch` and `logs`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of `on_train_batch_end`, with the same `batch` and `logs`."""

    @property
    def wants_batches(self) -> bool:
        """Whether a batch hook is overridden."""
        return overrides(self, "on_train_batch_begin") or overrides(self, "on_train_batch_end")


class CallbackList:
    """The callbacks of one training run, called together.

    A hook that no callback overrides costs one test of an empty list.

    Parameters
    ----------
    callbacks : iterable of Callback
    model : Sequential, optional
        Given to each.
    *more : Callback
        Called after those.

    Attributes
    ----------
    callbacks : list of Callback
    wants_batches : bool
        Whether any of them does.

    Raises
    ------
    TypeError
        If it is not a list, or one in it is not a Callback.

    Notes
    -----
    Of the hooks that Keras has, those around each batch of an evaluation and those around
    predictions are never called; a UserWarning tells of a callback that has one.
    """

    def __init__(self, callbacks: Iterable[Callback], model: Any = None, *more: Callback) -> None:
        if not isinstance(callbacks, Iterable):
            raise TypeError(
                f"callbacks: expected a list of callbacks, got {type(callbacks).__name__}"
            )
        self.callbacks = [*callbacks, *more]
        for i, callback in enumerate(self.callbacks):
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks[{i}]: expected a Callback, got {callback!r}")
        for i, callback in enumerate(self.callbacks):
            never = [hook for hook in _NEVER_CALLED if hasattr(callback, hook)]
            if never:
                warnings.warn(
                    f"callbacks[{i}]: expected hooks among {', '.join(_HOOKS)}, got "
                    f"{', '.join(never)}, which nothing calls",
                    stacklevel=3,
                )
        for callback in self.callbacks:
            callback.set_model(model)
        self.wants_batches = any(callback.wants_batches for callback in self.callbacks)
        self._hooks = {
            hook: [getattr(c, hook) for c in self.callbacks if overrides(c, hook)]
            for hook in _HOOKS
        }

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Pass `params` to each callback; see `Callback`."""
        for callback in self.callbacks:
            callback.set_params(params)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Call `on_train_begin` of each callback with `logs`; see `Callback`."""
        for hook in self._hooks["on_train_begin"]:
            hook(logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Call `on_train_end` of each callback with `logs`; see `Callback`."""
        for hook in self._hooks["on_train_end"]:
            hook(logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Call `on_epoch_begin` of each callback with `epoch` and `logs`; see `Callback`."""
        for hook in self._hooks["on_epoch_begin"]:
            hook(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Call `on_epoch_end` of each callback with `epoch` and `logs`; see `Callback`."""
        for hook in self._hooks["on_epoch_end"]:
            hook(epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Call `on_train_batch_begin` of each callback with `batch` and `logs`; see `Callback`."""
        for hook in self._hooks["on_train_batch_begin"]:
            hook(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Call `on_train_batch_end` of each callback with `batch` and `logs`; see `Callback`."""
        for hook in self._hooks["on_train_batch_end"]:
            hook(batch, logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Call `on_test_begin` of each callback with `logs`; see `Callback`."""
        for hook in self._hooks["on_test_begin"]:
            hook(logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Call `on_test_end` of each callback with `logs`; see `Callback`."""
        for hook in self._hooks["on_test_end"]:
            hook(logs)


# The hook that calls the one of another name.
_OTHER_NAMES = {
    "on_train_batch_begin": "on_batch_begin",
    "on_train_batch_end": "on_batch_end",
}
_HOOKS = tuple(
    name for name in vars(Callback) if name.startswith("on_") and name not in _OTHER_NAMES.values()
)
_NEVER_CALLED = (
    "on_test_batch_begin",
    "on_test_batch_end",
    "on_predict_begin",
    "on_predict_end",
    "on_predict_batch_begin",
    "on_predict_batch_end",
)


class History(Callback):
    """Keeps the logs of every epoch; what ``fit`` returns.

    Attributes
    ----------
    epoch : list of int
        The epochs run, counted from 0.
    history : dict of str to list of float
        For each key of the logs, its value at the end of each epoch; arrays for a metric whose
        result is one.
    epochs_of : dict of str to list of int
        For each key, the epochs of these values: not all of them for what `validation_freq` skips.
    """

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}
        self.epochs_of: dict[str, list[int]] = {}

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.epoch = []
        self.history = {}
        self.epochs_of = {}

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(value)
            self.epochs_of.setdefault(key, []).append(epoch)


class LambdaCallback(Callback):
    """A callback made of functions, one for each hook wanted.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end : callable ``(epoch, logs)``, optional
    on_train_begin, on_train_end : callable ``(logs)``, optional
    on_train_batch_begin, on_train_batch_end : callable ``(batch, logs)``, optional
    on_test_begin, on_test_end : callable ``(logs)``, optional

    Raises
    ------
    TypeError
        If one of them cannot be called.
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        on_test_begin: Callable[..., Any] | None = None,
        on_test_end: Callable[..., Any] | None = None,
    ) -> None:
        hooks = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            "on_test_begin": on_test_begin,
            "on_test_end": on_test_end,
        }
        for name, function in hooks.items():
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"{name}: expected a function, got {function!r}")
            setattr(self, name, function)


def overrides(callback: Callback, hook: str, base: type[Callback] = Callback) -> bool:
    """Whether the callback, or its class below `base`, has a `hook` of its own."""
    own, kind, other = vars(callback), type(callback), _OTHER_NAMES.get(hook, hook)
    return (
        hook in own
        or other in own
        or getattr(kind, hook) is not getattr(base, hook)
        or getattr(kind, other) is not getattr(base, other)
    )
