"""One hidden layer: enough for any smooth function, and for boundaries that are no lines.

A shallow network computes f(x) = W2 act(W1 x + b1) + b2: a weighted sum of bent ridges. With enough
of them it comes as near as one likes to any continuous function on a bounded set (Cybenko, 1989).

1. Regression: a noisy curve, mean squared error, hidden layers of several widths. Too few units
   cannot follow the curve; with enough, all that is left of the error on the data is the noise.
2. Classification: two half moons and two spirals, binary cross-entropy on a single logit.

L-BFGS, which looks at all points at every step, suits the few weights and points of the curve;
Adam with mini-batches fits the others.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import fastnn as fn
from fastnn import layers, losses, optimizers

script = Path(__file__)
parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--picture", default=script.parent / "pictures" / f"{script.stem}.png")
picture = parser.parse_args().picture
fn.set_random_seed(0)
random = np.random.default_rng(0)

# ---- regression ------------------------------------------------------------------------------

noise = 0.15


def curve(x):
    return np.sin(2 * x) + 0.3 * x


x = random.uniform(-3, 3, (300, 1))
y = curve(x) + random.normal(0, noise, x.shape)
new = np.linspace(-3, 3, 500)[:, None]

fitted = {}
print(f"A noisy curve, {len(x)} points; noise {noise}")
print("  hidden units   weights   error on the data   error of the curve")
for units in (1, 3, 20):
    network = fn.Sequential([layers.Dense(units, activation="tanh"), layers.Dense(1)])
    network.compile(optimizers.LBFGS(), losses.MeanSquaredError())
    network.fit(x, y, epochs=30)
    fitted[units] = network.predict(new)
    on_data = np.sqrt(network.evaluate(x, y)["loss"])
    on_curve = np.sqrt(np.mean((fitted[units] - curve(new)) ** 2))
    weights = network.count_params()
    print(f"  {units:12}   {weights:7}   {on_data:17.3f}   {on_curve:18.3f}")

# ---- classification --------------------------------------------------------------------------


def moons(n):
    """Two half circles that reach into one another."""
    angle = random.uniform(0, np.pi, n)
    label = random.integers(0, 2, n)
    side = 1 - 2 * label
    points = np.column_stack([np.cos(angle) * side + label, np.sin(angle) * side + label / 2])
    return points + random.normal(0, 0.15, (n, 2)), label


def spirals(n):
    """Two arms, half a turn apart."""
    radius = random.uniform(0.2, 1, n)
    label = random.integers(0, 2, n)
    angle = 3 * np.pi * radius + np.pi * label
    points = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
    return points + random.normal(0, 0.02, (n, 2)), label


classified = {}
print("\nTwo classes in the plane: accuracy on 1000 new points")
for name, points, units, epochs in (("moons", moons, 16, 100), ("spirals", spirals, 64, 400)):
    x_train, y_train = points(600)
    x_test, y_test = points(1000)
    accuracy = []
    for hidden in ([], [layers.Dense(units, activation="relu")]):
        network = fn.Sequential([*hidden, layers.Dense(1)])
        network.compile(
            optimizers.Adam(0.02), losses.BinaryCrossentropy(from_logits=True), ["accuracy"]
        )
        network.fit(x_train, y_train, epochs=epochs)
        accuracy.append(network.evaluate(x_test, y_test)["accuracy"])
    classified[name] = network, x_train[:250], y_train[:250]
    print(f"  {name:8} a line {accuracy[0]:.3f}, a hidden layer of {units} units {accuracy[1]:.3f}")

# ---- picture ---------------------------------------------------------------------------------

if find_spec("matplotlib"):
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(11, 3.5), layout="constrained")
    axes[0].plot(x, y, ".", color="lightgrey")
    for units, prediction in fitted.items():
        axes[0].plot(new, prediction, label=f"{units} unit{'s' * (units > 1)}")
    axes[0].plot(new, curve(new), "--", color="black", label="the curve")
    axes[0].set(title="regression", xlabel="x", ylabel="y")
    axes[0].legend()
    for ax, (name, (network, points, labels)) in zip(axes[1:], classified.items(), strict=True):
        fn.plotting.decision_boundary(network, points, labels, ax=ax)
        ax.set_title(name)
    figure.savefig(picture, dpi=68)
    print(f"\nPicture: {picture}")
else:
    print("\nNo picture: matplotlib is not installed (python -m pip install 'fastnn[plot]')")
