"""One picture is enough: telling apart two digits that were never trained on.

A network maps pictures to points, x -> e(x), such that pictures of one digit lie closer together
than those of different digits. The triplet loss of an anchor a, of its digit's farthest picture p
in the batch and of the nearest picture n of another digit is ``max(0, margin + |e(a) - e(p)| -
|e(a) - e(n)|)`` (A. Hermans et al., In defense of the triplet loss, 2017).

What it learns from eight digits, such as that a shift by a pixel means nothing, holds for the other
two as well. One picture of each of these is then all that is labelled: every other picture goes to
the nearer one. The rival measures distances between the pixels themselves.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import fastnn as fn
from fastnn import datasets, layers, losses, optimizers

script = Path(__file__)
parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--picture", default=script.parent / "pictures" / f"{script.stem}.png")
picture = parser.parse_args().picture
fn.set_num_threads(1)  # small networks: on a busy machine more threads would wait for one another

# Every picture in a frame of one pixel, and the same a pixel down, up, right and left.
(x_train, y_train), (x_test, y_test) = datasets.load_digits()
images = np.concatenate([x_train, x_test]).reshape(-1, 8, 8)
framed = np.pad(images, ((0, 0), (1, 1), (1, 1)))
shifts = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]
x = np.concatenate([np.roll(framed, shift, axis=(1, 2)).reshape(-1, 100) for shift in shifts])
y = np.tile(np.concatenate([y_train, y_test]), len(shifts))


def train_embedding(x, y):
    fn.set_random_seed(0)
    model = fn.Sequential(
        [layers.Dense(128), layers.BatchNormalization(), layers.ReLU(), layers.Dense(32)]
    )
    model.compile(optimizers.Adam(0.003), losses.Triplet(margin=3.0))
    model.fit(x, y, batch_size=64, epochs=5)
    return model


def one_shot_accuracy(points, labels, choices=200):
    """Mean accuracy, over many choices of one labelled picture of each of two digits."""
    random = np.random.default_rng(0)
    places = [np.flatnonzero(labels == digit) for digit in np.unique(labels)]
    originals = np.arange(len(labels)) % (len(labels) // len(shifts))
    right = []
    for _ in range(choices):
        shown = [random.choice(place) for place in places]
        distances = [np.square(points - points[i]).sum(axis=1) for i in shown]
        nearer = labels[shown][np.argmin(distances, axis=0)]
        others = ~np.isin(originals, originals[shown])  # nor the same picture, shifted
        right.append((nearer == labels)[others].mean())
    return np.mean(right)


print("New digits  pixels  embedding   (accuracy from one picture of each; chance is 50%)")
models, accuracies = {}, []
for pair in ((0, 1), (2, 3), (4, 5), (6, 7), (8, 9)):
    new = np.isin(y, pair)
    models[pair] = train_embedding(x[~new], y[~new])
    points = models[pair].predict(x[new])
    accuracies.append([one_shot_accuracy(p, y[new]) for p in (x[new], points)])
    print(f"{pair[0]} and {pair[1]}   {accuracies[-1][0]:7.1%}  {accuracies[-1][1]:9.1%}")
pixels, embedding = np.mean(accuracies, axis=0)
print(f"mean      {pixels:7.1%}  {embedding:9.1%}")

# ---- picture ---------------------------------------------------------------------------------

if find_spec("matplotlib"):
    from matplotlib import pyplot

    def plane(points):
        """The two directions in which points differ most: the first two principal components."""
        return points @ np.linalg.eigh(np.cov(points.T))[1][:, :-3:-1]

    pair = (4, 5)
    figure, axes = pyplot.subplots(1, 2, figsize=(8, 4), layout="constrained")
    for ax, (name, points) in zip(
        axes, {"pixels": x, "embedding": models[pair].predict(x)}.items(), strict=True
    ):
        ax.plot(*plane(points)[~np.isin(y, pair)][::15].T, ".", color="0.85", label="the others")
        for digit in pair:
            ax.plot(*plane(points)[y == digit][::5].T, ".", label=f"{digit}, never trained on")
        ax.set(title=name, xticks=[], yticks=[], xlabel="component 1", ylabel="component 2")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(picture, dpi=80)
    print(f"\nPicture: {picture}")
else:
    print("\nNo picture: matplotlib is not installed (python -m pip install 'fastnn[plot]')")
