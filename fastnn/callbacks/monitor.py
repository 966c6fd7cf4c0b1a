"""Callbacks that watch one key of the logs: whether it still gets better."""

from __future__ import annotations

import math
import os
import warnings
from string import Formatter

import numpy as np

from fastnn import _validate as check
from fastnn.callbacks.base import Callback, Logs, overrides
from fastnn.callbacks.rate import expect_settable_rate


class Monitor(Callback):
    """Base of the callbacks that watch a key of the logs.

    Parameters
    ----------
    monitor : str
        The key: ``loss``, a metric's name, or either with ``val_`` before it.
    mode : {"auto", "min", "max"}
        Whether lower or higher is better; "auto" asks the metric (`Metric.direction`).
    min_delta : float
        A smaller change is no improvement; its sign does not matter.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, or out of its range.
    ValueError
        By `fit`, before anything is trained, with ``mode="auto"``: if the key is neither the loss
        nor a metric, or the metric does not say which way is better. At the end of an epoch: if the
        key's value is an array.

    Notes
    -----
    NaN is never an improvement. If the logs have no such key a UserWarning names those they have,
    and the callback does without.
    """

    def __init__(self, monitor: str, mode: str = "auto", min_delta: float = 0.0) -> None:
        self.monitor = str(monitor)
        self.mode = check.choice(mode, "mode", ("auto", "min", "max"))
        self.min_delta = abs(check.number(min_delta, "min_delta"))
        self.best: float | None = None
        self._sign = 1.0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._sign = 1.0 if self._direction() == "up" else -1.0

    def _direction(self) -> str:
        if self.mode != "auto":
            return "up" if self.mode == "max" else "down"
        directions = {"loss": "down", "learning_rate": "down"} | {
            metric.name: metric.direction for metric in self.model.metrics
        }
        name = self.monitor.removeprefix("val_")
        if name not in directions:
            check.choice(self.monitor, "monitor", _with_twins(directions))
        direction = directions[name]
        if direction is None:
            raise ValueError(
                f"mode: expected 'min' or 'max', for {name} does not say which way is better, "
                f"got 'auto'"
            )
        return direction

    def improves(self, value: float, reference: float | None) -> bool:
        """Whether `value` is better than `reference` by more than `min_delta`.

        Parameters
        ----------
        value : float
        reference : float or None
            None is worse than any number.

        Returns
        -------
        bool
        """
        if math.isnan(value):
            return False
        if reference is None:
            return True
        reached = value - self._sign * self.min_delta
        return reached > reference if self._sign > 0 else reached < reference

    def value(self, logs: Logs | None) -> float | None:
        """Return what is watched, or warn and return None if the logs do not have it.

        Parameters
        ----------
        logs : dict

        Returns
        -------
        float or None

        Raises
        ------
        ValueError
            If it is an array.
        """
        found = (logs or {}).get(self.monitor)
        if found is None:
            warnings.warn(
                f"{type(self).__name__}: expected {self.monitor!r} in the logs, got "
                f"{', '.join(logs or {})}",
                stacklevel=6,
            )
            return None
        if np.ndim(found):
            raise ValueError(
                f"monitor: expected a key of single numbers, got {self.monitor!r}, "
                f"an array of shape {np.shape(found)}"
            )
        return float(found)


class EarlyStopping(Monitor):
    """Ends the training when what it watches no longer improves.

    Parameters
    ----------
    monitor : str
        See `Monitor`.
    min_delta : float
        A smaller change is no improvement.
    patience : int
        This many epochs without improvement end the training.
    verbose : {0, 1}
        Whether to print when it ends the training.
    mode : {"auto", "min", "max"}
        See `Monitor`.
    baseline : float, optional
        Only what is better than this too counts as improvement.
    restore_best_weights : bool
        Whether the model gets back the weights of its best epoch when the training is over,
        whatever ended it; they are copied at every improvement.
    start_from_epoch : int
        Earlier epochs, counted from 0, are not looked at.

    Attributes
    ----------
    stopped_epoch : int
        The epoch that ended the training, counted from 0; 0 if none did.
    best : float or None
        The best value so far.
    best_epoch : int
        Its epoch, counted from 0.

    Raises
    ------
    TypeError, ValueError
        See `Monitor`.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = check.non_negative_int(patience, "patience")
        self.verbose = verbose
        self.baseline = None if baseline is None else check.number(baseline, "baseline")
        self.restore_best_weights = check.flag(restore_best_weights, "restore_best_weights")
        self.start_from_epoch = check.non_negative_int(start_from_epoch, "start_from_epoch")
        self._forget()

    def _forget(self) -> None:
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = None
        self.best_weights: list[np.ndarray] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        self._forget()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        current = self.value(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        better = self.improves(current, self.best)
        if better or (self.restore_best_weights and self.best_weights is None):
            self.best_epoch = epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
        if better:
            self.best = current
            if self.baseline is None or self.improves(current, self.baseline):
                self.wait = 0
        # As in Keras: an improvement is not the end, even short of the baseline; nor is epoch 0.
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch and self.verbose:
            print(f"epoch {self.stopped_epoch + 1}: stopped early, best was {self.best_epoch + 1}")
        if self.best_weights is not None:
            self.model.set_weights(self.best_weights)


class ReduceLROnPlateau(Monitor):
    """Lowers the learning rate when what it watches no longer improves.

    Parameters
    ----------
    monitor : str
        See `Monitor`.
    factor : float
        In [0, 1): the new rate is the old one times this.
    patience : int
        This many epochs without improvement lower the rate.
    verbose : {0, 1}
        Whether to print each new rate.
    mode : {"auto", "min", "max"}
        See `Monitor`.
    min_delta : float
        A smaller change is no improvement.
    cooldown : int
        For this many epochs after a change none is counted as one without improvement.
    min_lr : float
        The rate does not fall below it.

    Raises
    ------
    TypeError, ValueError
        See `Monitor`.
    TypeError
        By `fit`, before anything is trained, if the optimizer has a schedule of its own, as in
        Keras.

    Notes
    -----
    The rate is in the logs, and so in the history, as ``learning_rate``.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.factor = check.fraction(factor, "factor")
        self.patience = check.non_negative_int(patience, "patience")
        self.verbose = verbose
        self.cooldown = check.non_negative_int(cooldown, "cooldown")
        self.min_lr = check.non_negative_rate(min_lr, "min_lr")
        self._forget()

    def _forget(self) -> None:
        self.wait = self.cooldown_counter = 0
        self.best = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        expect_settable_rate(self.model.optimizer, type(self).__name__)
        super().on_train_begin(logs)
        self._forget()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = self.model.optimizer
        rate = optimizer.learning_rate
        if logs is not None:
            logs["learning_rate"] = rate
        current = self.value(logs)
        if current is None:
            return
        if self.cooldown_counter:
            self.cooldown_counter -= 1
        if self.improves(current, self.best):
            self.best = current
            self.wait = 0
        elif not self.cooldown_counter:
            self.wait += 1
            if self.wait >= self.patience and rate > self.min_lr:
                optimizer.learning_rate = max(rate * self.factor, self.min_lr)
                self.cooldown_counter, self.wait = self.cooldown, 0
                if self.verbose:
                    print(f"epoch {epoch + 1}: learning rate {optimizer.learning_rate:.4g}")


class ModelCheckpoint(Monitor):
    """Saves the model as it is trained.

    Parameters
    ----------
    filepath : str or path
        Where to. ``{epoch}`` (counted from 1) and the keys of the logs are filled in, as in
        ``"model-{epoch:02d}-{val_loss:.3f}.safetensors"``; with a number as `save_freq` also
        ``{batch}``. Folders are made.
    monitor : str
        See `Monitor`.
    verbose : {0, 1}
        Whether to print what is saved.
    save_best_only : bool
        Whether to save only what is better than all before.
    save_weights_only : bool
        Whether to call ``model.save_weights`` in place of ``model.save``.
    mode : {"auto", "min", "max"}
        See `Monitor`.
    save_freq : "epoch" or int
        Save after each epoch, or after so many batches. A number makes training come back to Python
        after every batch.
    initial_value_threshold : float, optional
        The best value so far, if the training goes on from an earlier one.

    Raises
    ------
    TypeError, ValueError
        See `Monitor`; also if `filepath` is no path, or has braces that do not close. A field that
        nothing fills in, or a format that does not suit it, is a ValueError at the first save.
    OSError
        By `fit`, at a save, if the file cannot be written.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode)
        self.filepath = check.as_path(filepath, "filepath")
        try:
            list(Formatter().parse(self.filepath))
        except ValueError as error:
            raise ValueError(
                f"filepath: expected fields in braces, got {self.filepath!r} ({error})"
            ) from None
        self.verbose = verbose
        self.save_best_only = check.flag(save_best_only, "save_best_only")
        self.save_weights_only = check.flag(save_weights_only, "save_weights_only")
        if save_freq != "epoch":
            save_freq = check.positive_int(save_freq, "save_freq")
        self.save_freq = save_freq
        if initial_value_threshold is not None:
            self.best = check.number(initial_value_threshold, "initial_value_threshold")
        self._epoch = self._batches = 0

    @property
    def wants_batches(self) -> bool:
        """Whether it saves after numbers of batches, or a subclass wants them."""
        return self.save_freq != "epoch" or any(
            overrides(self, hook, ModelCheckpoint)
            for hook in ("on_train_batch_begin", "on_train_batch_end")
        )

    def on_train_begin(self, logs: Logs | None = None) -> None:
        if self.save_best_only:  # else no key is looked at
            super().on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save({"epoch": epoch + 1}, logs or {})

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        super().on_train_batch_end(batch, logs)
        self._batches += 1
        if self._batches == self.save_freq:
            self._batches = 0
            self._save({"epoch": self._epoch + 1, "batch": batch + 1}, logs or {})

    def _save(self, counts: dict[str, int], logs: Logs) -> None:
        if self.save_best_only:
            current = self.value(logs)
            # Without the key every model is saved, as in Keras: rather too many than none.
            if current is not None:
                if not self.improves(current, self.best):
                    return
                self.best = current
        try:
            path = self.filepath.format(**logs | counts)
        except (KeyError, IndexError) as error:
            raise ValueError(
                f"filepath: expected fields among {', '.join(logs | counts)}, got {error} in "
                f"{self.filepath!r}"
            ) from None
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"filepath: expected formats of numbers, got {self.filepath!r} ({error})"
            ) from None
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)
        if self.verbose:
            print(f"epoch {counts['epoch']}: saved {path}")


def _with_twins(keys: dict[str, str | None]) -> list[str]:
    return [*keys, *(f"val_{key}" for key in keys if key != "learning_rate")]
