"""Fit the digits beside scikit-learn's MLPClassifier: first the same losses, then the time.

    python bench/digits.py

Both start from the same weights and take the mini-batches in the same order, so that their losses
must agree (else the row fails); then both shuffle, and an epoch of `fit` is timed in turns.
"""

from __future__ import annotations

import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn as fn
from fastnn import datasets, layers, losses, optimizers

BATCH, CHECKED_EPOCHS, TIMED_EPOCHS, ROUNDS = 32, 5, 10, 7
RATE, MOMENTUM = 1e-2, 0.9
HIDDEN = ((32,), (256, 128))
# scikit-learn's "sgd" is Nesterov's, by default.
OPTIMIZERS: dict[str, Callable[[], optimizers.Optimizer]] = {
    "sgd": lambda: optimizers.SGD(RATE, momentum=MOMENTUM, nesterov=True),
    "adam": lambda: optimizers.Adam(RATE, epsilon=1e-8),
}


def peer(hidden: tuple[int, ...], solver: str, epochs: int, shuffle: bool) -> Any:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(
        hidden,
        solver=solver,
        alpha=0,
        batch_size=BATCH,
        learning_rate_init=RATE,
        momentum=MOMENTUM,
        max_iter=epochs,
        shuffle=shuffle,
        random_state=0,
        tol=0,
        n_iter_no_change=10**9,
    )


def ours(hidden: tuple[int, ...], solver: str) -> fn.Sequential:
    stack = [layers.Dense(m, activation="relu") for m in hidden]
    model = fn.Sequential([*stack, layers.Dense(10)])
    model.compile(OPTIMIZERS[solver](), losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def initial_weights(hidden: tuple[int, ...], solver: str, x: Any, y: Any) -> list[np.ndarray]:
    """What scikit-learn starts from: read off before the first step changes anything."""
    start = peer(hidden, solver, 1, False)
    start.learning_rate_init = 1e-30
    start.fit(x, y)
    return [w for pair in zip(start.coefs_, start.intercepts_, strict=True) for w in pair]


def seconds(fit: Callable[..., Any], *arguments: Any) -> float:
    """The time of an epoch, once the threads of the other side have stopped spinning."""
    time.sleep(0.1)
    begin = time.perf_counter()
    fit(*arguments)
    return (time.perf_counter() - begin) / TIMED_EPOCHS


def main() -> None:
    warnings.simplefilter("ignore")  # scikit-learn says that it has not converged
    (x, y), _ = datasets.load_digits()
    x = x.reshape(len(x), -1)
    # Whole mini-batches: scikit-learn and fastnn weigh a short last one alike, but sum otherwise.
    x, y = x[: len(x) // BATCH * BATCH], y[: len(y) // BATCH * BATCH]
    failed = False
    print(f"digits, {len(x)} rows, batch {BATCH}; milliseconds an epoch")
    for hidden in HIDDEN:
        for solver in OPTIMIZERS:
            theirs = peer(hidden, solver, CHECKED_EPOCHS, False).fit(x, y)
            model = ours(hidden, solver)
            model.build(x.shape[1])
            model.set_weights(initial_weights(hidden, solver, x, y))
            history = model.fit(x, y, BATCH, CHECKED_EPOCHS, verbose=0, shuffle=False)
            error = np.abs(np.array(history.history["loss"]) / theirs.loss_curve_ - 1).max()
            model, rounds = ours(hidden, solver), []
            for _ in range(ROUNDS):
                other = peer(hidden, solver, TIMED_EPOCHS, True)
                rounds.append(
                    (
                        seconds(model.fit, x, y, BATCH, TIMED_EPOCHS, 0),
                        seconds(other.fit, x, y),
                    )
                )
            mine, its = (1e3 * statistics.median(times) for times in zip(*rounds, strict=True))
            verdict = "" if error < 1e-3 else "  FAILED: the losses differ"
            failed |= bool(verdict)
            print(
                f"{hidden!s:12} {solver:5} fastnn {mine:8.3f}  scikit-learn {its:8.2f}  "
                f"ratio {its / mine:5.1f}  losses within {error:.1e}{verdict}",
                flush=True,
            )
    sys.exit(failed)


if __name__ == "__main__":
    main()
