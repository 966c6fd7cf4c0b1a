"""The hooks of a training run, what calls them, and the two plainest callbacks.

A callback overrides the hooks it wants. Training runs many batches in one call of compiled code;
only a callback that overrides a batch hook makes it come back to Python for each of them
(`Callback.wants_batches`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

# Numbers; a metric whose result is an array gives that.
Logs = dict[str, Any]


class Callback:
    """Base of all callbacks: every hook does nothing.

    Attributes
    ----------
    model
        The model that is trained. ``model.stop_training = True`` ends the training.
    """

    model: Any = None

    def set_model(self, model: Any) -> None:
        """Tell the callback its model; called before any hook."""
        self.model = model

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called once, before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called once, after the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called before epoch `epoch`, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called after epoch `epoch`; `logs` holds loss, metrics and their ``val_`` twins."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before batch `batch` of an epoch, counted from 0."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after batch `batch`; `logs` holds the means over the epoch so far."""

    @property
    def wants_batches(self) -> bool:
        """Whether a batch hook is overridden."""
        return _overrides(self, "on_train_batch_begin") or _overrides(self, "on_train_batch_end")


class CallbackList:
    """The callbacks of one training run, called together.

    A hook that no callback overrides costs one test of an empty list.

    Parameters
    ----------
    callbacks : iterable of Callback
    model
        Given to each.
    *more : Callback
        Called after those.

    Raises
    ------
    TypeError
        If it is not a list, or one in it is not a Callback.
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
        for callback in self.callbacks:
            callback.set_model(model)
        self.wants_batches = any(callback.wants_batches for callback in self.callbacks)
        self._hooks = {
            hook: [getattr(c, hook) for c in self.callbacks if _overrides(c, hook)]
            for hook in _HOOKS
        }

    def on_train_begin(self, logs: Logs | None = None) -> None:
        for hook in self._hooks["on_train_begin"]:
            hook(logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        for hook in self._hooks["on_train_end"]:
            hook(logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        for hook in self._hooks["on_epoch_begin"]:
            hook(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        for hook in self._hooks["on_epoch_end"]:
            hook(epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        for hook in self._hooks["on_train_batch_begin"]:
            hook(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        for hook in self._hooks["on_train_batch_end"]:
            hook(batch, logs)


_HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))


class History(Callback):
    """Keeps the logs of every epoch; what ``fit`` returns.

    Attributes
    ----------
    epoch : list of int
        The epochs run, counted from 0.
    history : dict of str to list of float
        For each key of the logs, its value at the end of each epoch; arrays for a metric whose
        result is one.
    """

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.epoch = []
        self.history = {}

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(value)


class LambdaCallback(Callback):
    """A callback made of functions, one for each hook wanted.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end : callable ``(epoch, logs)``, optional
    on_train_begin, on_train_end : callable ``(logs)``, optional
    on_train_batch_begin, on_train_batch_end : callable ``(batch, logs)``, optional
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
    ) -> None:
        hooks = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
        }
        for name, function in hooks.items():
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"{name}: expected a function, got {function!r}")
            setattr(self, name, function)


def _overrides(callback: Callback, hook: str) -> bool:
    """Whether the callback's class, or the callback itself, has a `hook` of its own."""
    own = getattr(type(callback), hook) is not getattr(Callback, hook)
    return own or hook in vars(callback)
