"""Which pixels a digit classifier looks at.

All of these ask about the logit s of the digit that was predicted, for an image x:

- saliency, ``|ds / dx|``: the pixels whose change would change s most;
- guided back-propagation: the gradient, where every relu passes only positive gradients back;
- integrated gradients, ``x * mean of ds / dx`` along the line from a black image to x. They divide
  s(x) - s(black) among the pixels: their sum must be equal to it (completeness), which tells
  whether the line was divided into enough steps.

A map that is worth its name points at what matters: blotting out the pixels it puts first must harm
the classifier more than blotting out as many at random.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import fastnn as fn
from fastnn import datasets, explain, layers, losses, optimizers

script = Path(__file__)
parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--picture", default=script.parent / "pictures" / f"{script.stem}.png")
picture = parser.parse_args().picture
fn.set_num_threads(1)  # small networks: on a busy machine more threads would wait for one another

fn.set_random_seed(0)
(x_train, y_train), (x_test, y_test) = datasets.load_digits()
model = fn.Sequential(
    [layers.Dense(64, "relu"), layers.Dense(64, "relu"), layers.Dense(10, "softmax")]
)
model.compile(
    optimizer=optimizers.SGD(learning_rate=0.1, momentum=0.9),
    loss=losses.SparseCategoricalCrossentropy(),
    metrics=["accuracy"],
)
model.fit(x_train, y_train, epochs=30)
print(f"Test accuracy: {model.evaluate(x_test, y_test)['accuracy']:.1%}")

# ---- completeness ----------------------------------------------------------------------------

predicted = model.predict(x_test).argmax(axis=1)
black = np.zeros_like(x_test)
rise = explain.score(model, x_test, predicted) - explain.score(model, black, predicted)
print(f"\nCompleteness: the logit rises by {rise.mean():.3f} from black to the digit, on average")
print("steps  largest difference of the attributions' sum")
for steps in (1, 3, 10, 30, 100):
    attributions = explain.integrated_gradients(model, x_test, predicted, steps=steps)
    print(f"{steps:5}  {np.abs(attributions.sum(axis=1) - rise).max():.4f}")

# ---- do the maps point at what matters? ------------------------------------------------------

maps = {
    "saliency": explain.saliency(model, x_test),
    "guided back-propagation": explain.guided_backpropagation(model, x_test),
    "integrated gradients": attributions,
}
orders = {name: np.argsort(-found, axis=1) for name, found in maps.items()}
random = np.random.default_rng(0)
# Among the pixels with ink, for to blacken black pixels changes nothing.
orders["ink at random"] = np.argsort(-np.where(x_test > 0, random.random(x_test.shape), 0), axis=1)

print("\nAccuracy when pixels are made black, in the order of each map")
counts = (0, 4, 8, 12, 16)
print("pixels" + " " * 19 + "".join(f"{count:8}" for count in counts))
for name, order in orders.items():
    line = f"{name:25}"
    for count in counts:
        blotted = x_test.copy()
        np.put_along_axis(blotted, order[:, :count], 0, axis=1)
        line += f"{model.evaluate(blotted, y_test)['accuracy']:8.1%}"
    print(line)

# ---- picture ---------------------------------------------------------------------------------

if find_spec("matplotlib"):
    from matplotlib import pyplot

    chosen = [np.flatnonzero(y_test == digit)[0] for digit in range(1, 10)]
    figure, axes = pyplot.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
    for ax, (name, found) in zip(axes, {"digits": x_test, **maps}.items(), strict=True):
        fn.plotting.saliency(found[chosen], ax=ax)
        ax.set_title(name)
    figure.get_layout_engine().set(wspace=0.06)
    figure.savefig(picture, dpi=80)
    print(f"\nPicture: {picture}")
else:
    print("\nNo picture: matplotlib is not installed (python -m pip install 'fastnn[plot]')")
