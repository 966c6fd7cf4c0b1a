"""A deep network that learns by heart, and what helps against it.

Three hidden layers of 128 units see 400 digits only, and a fifth of their labels are wrong. Left
alone, the network learns every one of them, the wrong ones too, and reads new digits badly.
Remedies:

* L1, L2: weights cost l1 |w| or l2 w² each, so that only those stay large that earn it;
* dropout: in training every unit is silent half of the time, so that none may rely on another;
* batch normalization: every unit's sums get mean 0 and variance 1 over the mini-batch. It is meant
  for deep networks that learn slowly; the noise of small mini-batches is said to help against
  learning by heart too, but does not here;
* noise: each input is moved a little every time it is seen;
* early stopping: take the weights of the epoch that was best on 400 other digits;
* a smaller network: fewer weights can learn less by heart.

What helps costs accuracy in training, where 0.8 would be right: compare the columns of the table.
All figures are means of three runs from different initial weights.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import fastnn as fn
from fastnn import callbacks, datasets, layers, losses, optimizers, regularizers

script = Path(__file__)
parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--picture", default=script.parent / "pictures" / f"{script.stem}.png")
picture = parser.parse_args().picture
fn.set_num_threads(1)  # small networks: on a busy machine more threads would wait for one another

(x, y), (x_test, y_test) = datasets.load_digits()
x_train, y_train = x[:400], y[:400].copy()
x_valid, y_valid = x[400:800], y[400:800]
random = np.random.default_rng(0)
wrong = random.permutation(400)[:80]
y_train[wrong] = (y_train[wrong] + random.integers(1, 10, 80)) % 10


def relu():
    return [layers.ReLU()]


def relu_dropout():
    return [layers.ReLU(), layers.Dropout(0.5)]


def normalized_relu():
    return [layers.BatchNormalization(), layers.ReLU()]


def network(units=128, penalty=None, noise=0.0, after_sums=relu):
    """Three hidden layers; `after_sums` makes what follows the weighted sums of each."""
    model = fn.Sequential([layers.GaussianNoise(noise)])
    for _ in range(3):
        model.add(layers.Dense(units, kernel_regularizer=penalty))
        for layer in after_sums():
            model.add(layer)
    model.add(layers.Dense(10, kernel_regularizer=penalty))
    return model


remedies = {
    "none": {},
    "L1": {"penalty": regularizers.L1(1e-3)},
    "L2": {"penalty": regularizers.L2(1e-2)},
    "dropout": {"after_sums": relu_dropout},
    "batch normalization": {"after_sums": normalized_relu},
    "noise": {"noise": 0.4},
    "early stopping": {},
    "smaller network": {"units": 24},
}

print(f"{len(x_train)} digits to learn from, {len(wrong)} of them with wrong labels\n")
print("remedy                weights   epochs   accuracy in training   of new digits")
curves, best_epochs = {}, []
for remedy, changes in remedies.items():
    in_training, of_new, epochs, curves[remedy] = [], [], [], []
    for seed in range(3):
        fn.set_random_seed(seed)
        model = network(**changes)
        model.compile(
            optimizers.Adam(), losses.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"]
        )
        stop = callbacks.EarlyStopping(patience=6, restore_best_weights=True)
        history = model.fit(
            x_train,
            y_train,
            epochs=60,
            validation_data=(x_valid, y_valid),
            callbacks=[stop] if remedy == "early stopping" else None,
        )
        in_training.append(model.evaluate(x_train, y_train)["accuracy"])
        of_new.append(model.evaluate(x_test, y_test)["accuracy"])
        epochs.append(len(history.epoch))
        if remedy == "early stopping":
            best_epochs.append(stop.best_epoch + 1)
        curves[remedy].append(history.history["val_accuracy"])
    print(
        f"{remedy:20}  {model.count_params():7}   {np.mean(epochs):6.0f}   "
        f"{np.mean(in_training):20.3f}   {np.mean(of_new):13.3f}"
    )

# ---- picture ---------------------------------------------------------------------------------

if find_spec("matplotlib"):
    from matplotlib import pyplot

    figure, ax = pyplot.subplots(figsize=(7.5, 4), layout="constrained")
    for remedy, runs in curves.items():
        if remedy != "early stopping":  # which goes the way of "none", and back to its best epoch
            ax.plot(range(1, 61), np.mean(runs, axis=0), label=remedy)
    ax.axvline(np.mean(best_epochs), color="grey", linestyle=":", label="early stopping: back here")
    ax.set(xlabel="epoch", ylabel="accuracy on other digits", ylim=(0.6, 1))
    ax.legend(ncols=2, loc="lower right")
    figure.savefig(picture, dpi=72)
    print(f"\nPicture: {picture}")
else:
    print("\nNo picture: matplotlib is not installed (python -m pip install 'fastnn[plot]')")
