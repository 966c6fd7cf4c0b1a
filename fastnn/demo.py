"""`fastnn demo`: learn handwritten digits, then race NumPy."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import fastnn as fn
from fastnn import benchmark, datasets, layers, losses, optimizers
from fastnn.benchmark_rows import rows

# Chosen by cross-validation on the training part. With them the network meets its target; another
# seed, or fewer epochs, may miss it by a digit or two.
EPOCHS = 60
LEARNING_RATE = 0.25
SEED = 0
TARGET = 0.97  # of the test digits

RACE = (
    "matmul 128x784x256",
    "dense_forward 128x784x256 relu",
    "sigmoid 100000",
    "softmax_crossentropy 10000x10",
    "momentum 100000",
    "step S 784-128-10 batch 32",
)


def run(epochs: int = EPOCHS, seed: int = SEED, output: Path | None = None) -> int:
    """Train 64-128-10 on the digits, print how well it reads and how fast the kernels are.

    Parameters
    ----------
    epochs, seed : int
    output : path, optional
        Where to save a picture.

    Returns
    -------
    int
        0, or 1 if a kernel's result was wrong, or the network missed its target where it is known
        to meet it.
    """
    fn.set_random_seed(seed)
    (x_train, y_train), (x_test, y_test) = datasets.load_digits()
    model = fn.Sequential([layers.Dense(128, activation="relu"), layers.Dense(10)])
    model.compile(
        optimizer=optimizers.SGD(learning_rate=LEARNING_RATE, momentum=0.9),
        loss=losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    print(f"Learning {len(x_train)} handwritten digits of 8x8 pixels: 64-128-10, {epochs} epochs")
    history = model.fit(
        x_train, y_train, batch_size=32, epochs=epochs, validation_data=(x_test, y_test)
    ).history

    logits = model.predict(x_test)
    predicted = logits.argmax(axis=1)
    accuracy = float((predicted == y_test).mean())
    print(f"\nTest accuracy: {accuracy:.1%} of {len(y_test)} digits it has never seen")
    print("digit    " + "".join(f"{digit:6d}" for digit in range(10)))
    shares = [(predicted[y_test == digit] == digit).mean() for digit in range(10)]
    print("accuracy " + "".join(f"{share:6.0%}" for share in shares))

    print("\nKernels against NumPy (ratio: NumPy's time over fastnn's)")
    report = benchmark.run(
        [row for row in rows() if row.name in RACE],
        sorted({1, fn.get_num_threads()}),
        [benchmark.FASTNN, benchmark.NUMPY],
        rounds=5,
        seconds=0.002,
        patience=0.5,
    )

    if output is not None:
        if find_spec("matplotlib") is None:
            print(f"\nFor a picture of this: {benchmark.GET_MATPLOTLIB}")
        else:
            _picture(output, x_test, y_test, predicted, history, report)
            print(f"\nPicture: {output}")
    if accuracy < TARGET and (epochs, seed) == (EPOCHS, SEED):
        print(f"\nFAILED: expected a test accuracy of at least {TARGET:.0%}, got {accuracy:.1%}")
        return 1
    return int(benchmark.failed(report))


def _picture(
    path: Path,
    images: np.ndarray,
    labels: np.ndarray,
    predicted: np.ndarray,
    history: dict[str, list[float]],
    report: dict[str, Any],
) -> None:
    """Save digits with what was read, the learning curve, and the speed beside NumPy's."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.2), layout="constrained")
    reading, learning, speed = figure.subplots(1, 3, width_ratios=(1.1, 1, 1))

    # One image of 4 rows of 6 digits, each with a margin and room for a title. The misread ones
    # come first, since they tell more.
    chosen = np.argsort(predicted == labels, kind="stable")[:24]
    tiles = np.pad(images[chosen].reshape(4, 6, 8, 8), ((0, 0), (0, 0), (5, 1), (1, 1)))
    high, wide = tiles.shape[2:]
    reading.imshow(tiles.swapaxes(1, 2).reshape(4 * high, 6 * wide), cmap="gray_r")
    reading.set_axis_off()
    reading.set_title("Read as (misread: red, with the truth)")
    for place, i in enumerate(chosen):
        well_read = predicted[i] == labels[i]
        reading.text(
            place % 6 * wide + wide / 2 - 0.5,
            place // 6 * high + 3.5,
            str(predicted[i]) if well_read else f"{predicted[i]} ({labels[i]})",
            color="black" if well_read else "C3",
            horizontalalignment="center",
            fontsize=9,
        )

    epochs = range(1, len(history["accuracy"]) + 1)
    learning.plot(epochs, history["accuracy"], label="training")
    learning.plot(epochs, history["val_accuracy"], label="test")
    learning.set(title="Learning", xlabel="epoch", ylabel="accuracy", ylim=(None, 1))
    learning.legend(loc="lower right")

    counts = report["settings"]["threads"]
    height = 0.8 / len(counts)
    for i, count in enumerate(counts):
        timed = [r for r in report["rows"] if r["threads"] == count and r["verified"]]
        ratios = [row["contestants"][benchmark.NUMPY.label]["ratio"] for row in timed]
        places = [RACE.index(row["name"]) + i * height for row in timed]
        bars = speed.barh(
            places, ratios, height, align="edge", label=f"{count} thread{'s' * (count > 1)}"
        )
        speed.bar_label(bars, [f"{ratio:.1f}×" for ratio in ratios], padding=2, fontsize=8)
    speed.axvline(1, color="black", linewidth=1)
    speed.set_yticks([i + 0.4 for i in range(len(RACE))], RACE)
    speed.invert_yaxis()
    speed.set_xlim(right=1.15 * speed.get_xlim()[1])  # room for the numbers
    speed.set_title("Speed: NumPy = 1")
    speed.legend(loc="upper center", bbox_to_anchor=(0.5, -0.07), ncols=len(counts))
    figure.savefig(path, dpi=120)
