"""Features that nobody labelled: a restricted Boltzmann machine, then softmax on top.

The machine gives each picture v an energy, low for what resembles the training data:
``P(v, h) = exp(a.v + b.h + h.W.v) / Z``. It learns W without labels, by
``dW = mean of h v' over the data - mean of h v' over its own samples``; the samples come from Gibbs
sampling, which draws h given v, then v given h, over and over.

Digits are shifted by a pixel, so that no single pixel tells much. Softmax regression then reads
them from the raw pixels, or from the hidden units' probabilities, with few labels of each digit:
the machine has seen all pictures, and the labels need only name what it found.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import fastnn as fn
from fastnn import datasets, layers, losses, optimizers, regularizers

script = Path(__file__)
parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--picture", default=script.parent / "pictures" / f"{script.stem}.png")
picture = parser.parse_args().picture
fn.set_num_threads(1)  # small networks: on a busy machine more threads would wait for one another


def with_shifts(x, y):
    """Each picture, and the same a pixel down, up, right and left."""
    padded = np.pad(x.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    corners = [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)]
    shifted = [padded[:, i : i + 8, j : j + 8].reshape(-1, 64) for i, j in corners]
    return np.concatenate(shifted), np.tile(y, len(corners))


(x_train, y_train), (x_test, y_test) = [with_shifts(*part) for part in datasets.load_digits()]

# ---- without labels --------------------------------------------------------------------------

fn.set_random_seed(0)  # of the initial weights of the regressions below
rbm = fn.BernoulliRBM(n_components=100, learning_rate=0.06, n_iter=15, random_state=0)
rbm.fit(x_train)
print(f"{rbm.n_components} hidden units learnt from {len(x_train)} pictures without labels")

random = np.random.default_rng(0)
noise = random.integers(0, 2, (25, 64))
chains, dreams = noise, np.zeros(noise.shape)
for step in range(300):
    chains = rbm.gibbs(chains)
    if step >= 290:
        dreams += chains / 10
print("\nMean free energy, -log P(v) up to a constant: what the machine expects is low")
for name, v in (("noise", noise), ("its own samples", chains), ("test digits", x_test.round())):
    print(f"{name:16}{rbm.free_energy(v).mean():8.1f}")

# ---- with few labels -------------------------------------------------------------------------

inputs = {
    "pixels": (x_train, x_test),
    "hidden units": (rbm.transform(x_train), rbm.transform(x_test)),
}
print("\nTest accuracy of softmax regression, mean of three choices of the labelled pictures")
print("labels of a digit" + "".join(f"{name:>14}" for name in inputs))
curves = {name: [] for name in inputs}
counts = (5, 10, 20, 50, 100, 500)
for count in counts:
    for name, (train, test) in inputs.items():
        found = []
        for seed in range(3):
            shuffled = np.random.default_rng(seed).permutation(len(y_train))
            rows = [shuffled[y_train[shuffled] == digit][:count] for digit in range(10)]
            rows = np.concatenate(rows)
            regression = fn.Sequential([layers.Dense(10, kernel_regularizer=regularizers.L2(1e-4))])
            regression.compile(
                optimizer=optimizers.LBFGS(max_iterations=200),
                loss=losses.SparseCategoricalCrossentropy(from_logits=True),
                metrics=["accuracy"],
            )
            regression.fit(train[rows], y_train[rows])
            found.append(regression.evaluate(test, y_test)["accuracy"])
        curves[name].append(np.mean(found))
    print(f"{count:17}" + "".join(f"{curve[-1]:14.1%}" for curve in curves.values()))

# ---- picture ---------------------------------------------------------------------------------

if find_spec("matplotlib"):
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
    kernel = rbm.components_[:49].T
    fn.plotting.weights(kernel / np.abs(kernel).max(axis=0), ax=axes[0])
    axes[0].set_title("what hidden units look for")
    fn.plotting.saliency(dreams, ax=axes[1])
    axes[1].set_title("samples, from noise")
    for name, curve in curves.items():
        axes[2].semilogx(counts, curve, "o-", label=name)
    axes[2].set(xlabel="labels of a digit", ylabel="test accuracy")
    axes[2].grid(alpha=0.3)
    axes[2].legend()
    figure.savefig(picture, dpi=80)
    print(f"\nPicture: {picture}")
else:
    print("\nNo picture: matplotlib is not installed (python -m pip install 'fastnn[plot]')")
