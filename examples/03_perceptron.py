"""The perceptron: a unit with a step, and Rosenblatt's rule to teach it.

The unit says 1 where x·w + b > 0, else 0. For each example that it gets wrong, the rule moves the
line towards it: w <- w + (target - said) x, b <- b + (target - said). No derivative is needed, and
the step has none of use: its gradient is 0.

If a line separates the classes, the rule finds one after finitely many corrections, at most (R/g)²
where no example is longer than R and g is the margin of the best line (Novikoff, 1962; x here
includes the 1 of the bias). If none does, as for XOR, it never stops; one hidden layer, trained by
gradients instead, solves XOR.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import fastnn as fn
from fastnn import activations, kernels, layers, losses, optimizers

script = Path(__file__)
parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--picture", default=script.parent / "pictures" / f"{script.stem}.png")
picture = parser.parse_args().picture


class Perceptron:
    """One unit with two inputs and a step."""

    def __init__(self):
        self.kernel = np.zeros((2, 1))
        self.bias = np.zeros(1)

    def predict(self, x):
        return activations.step(kernels.dense_forward(x, self.kernel, self.bias))

    def fit(self, x, y, epochs):
        """Rosenblatt's rule; return the mistakes of each epoch, up to the first without any."""
        mistakes = []
        for _ in range(epochs):
            mistakes.append(0)
            for row, target in zip(x, y, strict=True):
                error = target - self.predict(row[None])
                self.kernel += error * row[:, None]
                self.bias += error[0]
                mistakes[-1] += int(error.item() != 0)
            if mistakes[-1] == 0:
                break
        return mistakes


# ---- two classes that a line separates -------------------------------------------------------

random = np.random.default_rng(0)
points = random.uniform(-2, 2, (300, 2))
true_line = np.array([1.0, 0.5, -0.3])  # kernel and bias
extended = np.column_stack([points, np.ones(len(points))])
distances = extended @ true_line / np.linalg.norm(true_line)
apart = np.abs(distances) > 0.1  # leave a gap between the classes
points, labels = points[apart], np.where(distances[apart] > 0, 1, 0)
# The best line's margin is at least that of this one, so that Novikoff's bound is at most
bound = (np.linalg.norm(extended[apart], axis=1).max() / np.abs(distances[apart]).min()) ** 2

perceptron = Perceptron()
mistakes = perceptron.fit(points, labels, epochs=100)
correct = (perceptron.predict(points)[:, 0] == labels).mean()
print(f"{len(points)} points on two sides of a line: mistakes of each epoch {mistakes}")
print(
    f"  accuracy {correct:.3f} after {sum(mistakes)} corrections; at most {bound:.0f} by Novikoff"
)

# ---- functions of two bits -------------------------------------------------------------------

corners = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
gates = {"AND": [0, 0, 0, 1], "OR": [0, 1, 1, 1], "NAND": [1, 1, 1, 0], "XOR": [0, 1, 1, 0]}
units = {}
print("\nFunctions of two bits")
for gate, table in gates.items():
    units[gate] = Perceptron()
    found = units[gate].fit(corners, table, epochs=1000)
    right = int((units[gate].predict(corners)[:, 0] == table).sum())
    outcome = f"after {len(found)} epochs" if found[-1] == 0 else f"gives up after {len(found)}"
    print(f"  {gate:4} {right} of 4 right, {outcome}")

# ---- XOR needs a hidden layer ----------------------------------------------------------------

fn.set_random_seed(1)
network = fn.Sequential([layers.Dense(4, activation="tanh"), layers.Dense(1)])
network.compile(optimizers.Adam(0.05), losses.BinaryCrossentropy(from_logits=True))
network.fit(corners, gates["XOR"], batch_size=4, epochs=500)
right = int(((network.predict(corners)[:, 0] > 0) == gates["XOR"]).sum())
print(f"  XOR with a hidden layer of 4 units: {right} of 4 right")

# ---- picture ---------------------------------------------------------------------------------

if find_spec("matplotlib"):
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(12, 4), layout="constrained")
    for ax, title, model, x, y in zip(
        axes,
        ("a perceptron: two sides", "a perceptron: XOR", "a hidden layer: XOR"),
        (perceptron, units["XOR"], network),
        (points, corners, corners),
        (labels, gates["XOR"], gates["XOR"]),
        strict=True,
    ):
        fn.plotting.decision_boundary(model, x, y, ax=ax)
        ax.set_title(title)
        handles, names = ax.get_legend_handles_labels()
        ax.get_legend().remove()  # one below serves all
    figure.legend(handles, names, loc="outside lower center", ncols=2)
    figure.savefig(picture, dpi=80)
    print(f"\nPicture: {picture}")
else:
    print("\nNo picture: matplotlib is not installed (python -m pip install 'fastnn[plot]')")
