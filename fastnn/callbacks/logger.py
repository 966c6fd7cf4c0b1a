"""The logs of every epoch as a file that a spreadsheet opens."""

from __future__ import annotations

import csv
import os
from typing import Any

import numpy as np

from fastnn import _validate as check
from fastnn.callbacks.base import Callback, Logs


class CSVLogger(Callback):
    """Writes the logs of every epoch as a row of a CSV file.

    Parameters
    ----------
    filename : str or path
        In a folder that is there.
    separator : str
        One character between two fields.
    append : bool
        Whether to go on in a file that is there, without a second header, or to begin anew.

    Raises
    ------
    ValueError
        If `separator` is not one character.
    TypeError
        If `filename` is none, or `append` not a bool.
    OSError
        By `fit`, if the file cannot be written: before anything is trained.

    Notes
    -----
    Columns are the epoch, counted from 0, and the keys of the first epoch's logs in alphabetic
    order, with their ``val_`` twins if later epochs are validated; a key that is missing is written
    ``NA``. Every row is on disk when its epoch is over.
    """

    def __init__(
        self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        if not isinstance(separator, str) or len(separator) != 1:
            raise ValueError(f"separator: expected one character, got {separator!r}")
        self.filename = check.as_path(filename, "filename")
        self.separator = separator
        self.append = check.flag(append, "append")
        self._keys: list[str] | None = None
        self._header = True

    def on_train_begin(self, logs: Logs | None = None) -> None:
        # Opening it now tells of a path that cannot be written before anything is trained.
        with open(self.filename, "a" if self.append else "w", encoding="utf-8"):
            self._header = os.path.getsize(self.filename) == 0
        self._keys = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        first = self._keys is None
        if self._keys is None:
            self._keys = sorted(logs)
            if self.params.get("do_validation") and not any(k.startswith("val_") for k in logs):
                self._keys += [f"val_{key}" for key in self._keys if key != "learning_rate"]
        with open(self.filename, "a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=self.separator)
            if first and self._header:
                writer.writerow(["epoch", *self._keys])
            writer.writerow([epoch, *(_field(logs.get(key, "NA")) for key in self._keys)])


def _field(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
