"""The progress of `fit`: a bar on a terminal, a line for each epoch, or nothing."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


class Progress:
    """Shows how far training is.

    Parameters
    ----------
    verbose : {"auto", 0, 1, 2}
        0 nothing, 1 a bar, 2 a line for each epoch; "auto" is 1 on a terminal, else 0.
    steps : int
        Mini-batches in an epoch.
    first, last : int
        Epochs run from `first` (counted from 0) to before `last`.
    """

    def __init__(self, verbose: str | int, steps: int, first: int, last: int) -> None:
        self.verbose = int(sys.stderr.isatty()) if verbose == "auto" else int(verbose)
        self.steps, self.first, self.last = steps, first, last
        self.bar: Any = None

    def __enter__(self) -> Progress:
        if self.verbose == 1:
            from tqdm import tqdm

            total = self.steps * max(0, self.last - self.first)
            self.bar = tqdm(
                total=total, unit=" steps", unit_scale=True, leave=True, mininterval=0.1
            )
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def update(self, epoch: int, step: int, logs: dict[str, Any]) -> None:
        """Tell that `step` mini-batches of `epoch` are done."""
        if self.bar is None:
            return
        self.bar.set_description(f"epoch {epoch + 1}/{self.last}", refresh=False)
        self.bar.set_postfix_str(_text(logs), refresh=False)
        self.bar.update((epoch - self.first) * self.steps + step - self.bar.n)

    def end_epoch(self, epoch: int, logs: dict[str, Any]) -> None:
        """Tell that `epoch` is over, validation included."""
        if self.bar is not None:
            self.bar.set_postfix_str(_text(logs), refresh=epoch + 1 == self.last)
        elif self.verbose == 2:
            print(f"epoch {epoch + 1}/{self.last}: {_text(logs)}", flush=True)


def _text(logs: dict[str, Any]) -> str:
    """The single numbers among the logs; what a metric gives as an array stays out."""
    return ", ".join(f"{name} {value:.4g}" for name, value in logs.items() if np.ndim(value) == 0)
