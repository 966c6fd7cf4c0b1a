"""An autoencoder: 64 pixels through a few numbers and back, against principal components.

The network learns to return its input, y = x, through a bottleneck of k units. What it must keep
there is a code of k numbers. A linear one, ``x W V``, can do no better on what it is fitted to than
the k principal components (P. Baldi and K. Hornik, Neural networks and principal component
analysis, 1989), and L-BFGS finds their plane. Hidden layers with relu on both sides bend that plane
to where the digits are, and lose less.

The error is the mean square of the difference of a pixel in [0, 1], on digits that nothing was
fitted to: there a linear one is as good as the components but for the last digit. Errors of
principal components are computed from the singular value decomposition.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import fastnn as fn
from fastnn import datasets, layers, optimizers, schedules

script = Path(__file__)
parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--picture", default=script.parent / "pictures" / f"{script.stem}.png")
picture = parser.parse_args().picture
fn.set_num_threads(1)  # small networks: on a busy machine more threads would wait for one another

(x_train, _), (x_test, y_test) = datasets.load_digits()
mean = x_train.mean(axis=0)
components = np.linalg.svd(x_train - mean, full_matrices=False)[2]


def principal_components(k):
    return mean + (x_test - mean) @ components[:k].T @ components[:k]


def linear_autoencoder(k):
    fn.set_random_seed(0)
    model = fn.Sequential([layers.Dense(k), layers.Dense(64)])
    model.compile(optimizers.LBFGS(max_iterations=500), "mse")
    model.fit(x_train, x_train)
    return model


def autoencoder(k):
    fn.set_random_seed(0)
    model = fn.Sequential(
        [
            layers.Dense(128, "relu"),
            layers.Dense(k, name="code"),
            layers.Dense(128, "relu"),
            layers.Dense(64, "sigmoid"),
        ]
    )
    epochs, batches = 80, -(-len(x_train) // 32)
    model.compile(optimizers.Adam(schedules.CosineDecay(0.003, epochs * batches)), "mse")
    model.fit(x_train, x_train, epochs=epochs)
    return model


def error(returned):
    return np.square(returned - x_test).mean()


# ---- what is lost ----------------------------------------------------------------------------

print("Mean squared error of a test pixel")
print("code  principal components  linear autoencoder  autoencoder")
returned, encoders = {}, {}
for k in (1, 2, 4, 8, 16):
    linear, deep = linear_autoencoder(k), autoencoder(k)
    returned[k] = principal_components(k), deep.predict(x_test)
    encoders[k] = fn.Sequential(deep.layers[:2])  # the layers up to the code, with their weights
    errors = error(returned[k][0]), error(linear.predict(x_test)), error(returned[k][1])
    print("{:4}  {:20.5f}  {:18.5f}  {:11.5f}".format(k, *errors))

# ---- picture ---------------------------------------------------------------------------------

if find_spec("matplotlib"):
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 4, figsize=(12, 3.5), layout="constrained")
    chosen = [np.flatnonzero(y_test == digit)[0] for digit in range(1, 10)]
    titles = ["digits", "from 8 components", "from a code of 8"]
    for ax, title, images in zip(axes, titles, [x_test, *returned[8]], strict=False):
        fn.plotting.saliency(images[chosen].clip(0), ax=ax)
        ax.set_title(title)
    codes = encoders[2].predict(x_test)
    for digit in range(10):
        axes[3].plot(*codes[y_test == digit].T, ".", color=f"C{digit}", label=digit)
    axes[3].set(title="codes of 2", xticks=[], yticks=[], xlabel="unit 1", ylabel="unit 2")
    axes[3].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.get_layout_engine().set(wspace=0.06)
    figure.savefig(picture, dpi=80)
    print(f"\nPicture: {picture}")
else:
    print("\nNo picture: matplotlib is not installed (python -m pip install 'fastnn[plot]')")
