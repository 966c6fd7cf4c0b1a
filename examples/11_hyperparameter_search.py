"""Random search for hyperparameters, judged by a validation split.

How fast to learn, how wide and deep to build and how much to drop cannot be learnt by gradients:
they are tried. Points drawn at random beat a grid of as many, since every trial tries a new value
of each hyperparameter, and only some of them matter (J. Bergstra and Y. Bengio, Random search for
hyper-parameter optimization, JMLR 13, 2012). A learning rate is drawn by its order of magnitude.

From training data the network learns, by validation data the best trial is chosen, and with test
data it is judged. The best of many owes part of its validation accuracy to luck; only data that
had no say in the choice tell how good it is. Once chosen, it may learn from all that is not test.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import fastnn as fn
from fastnn import callbacks, datasets, layers, losses, optimizers

script = Path(__file__)
parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--picture", default=script.parent / "pictures" / f"{script.stem}.png")
picture = parser.parse_args().picture
fn.set_num_threads(1)  # small networks: on a busy machine more threads would wait for one another

TRIALS, EPOCHS = 40, 15
(x_train, y_train), (x_test, y_test) = datasets.load_digits()
x_fit, x_valid = x_train[:1100], x_train[1100:]
y_fit, y_valid = y_train[:1100], y_train[1100:]


def build(learning_rate, width, depth, dropout):
    model = fn.Sequential([fn.Input(x_train.shape[1])])
    for _ in range(depth):
        model.add(layers.Dense(width, "relu", kernel_initializer="he_normal"))
        model.add(layers.Dropout(dropout))
    model.add(layers.Dense(10))
    model.compile(
        optimizer=optimizers.Adam(learning_rate),
        loss=losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


# ---- trials ----------------------------------------------------------------------------------

random = np.random.default_rng(0)
trials = []
for seed in range(TRIALS):
    choice = {
        "learning_rate": 10 ** random.uniform(-4, -0.5),
        "width": int(2 ** random.uniform(3, 8)),
        "depth": int(random.integers(1, 5)),
        "dropout": random.uniform(0, 0.6),
    }
    fn.set_random_seed(seed)
    model = build(**choice)
    # What has not improved for three epochs is given up.
    stop = callbacks.EarlyStopping("val_accuracy", patience=3, restore_best_weights=True)
    history = model.fit(
        x_fit, y_fit, epochs=EPOCHS, validation_data=(x_valid, y_valid), callbacks=[stop]
    )
    accuracy = model.evaluate(x_valid, y_valid)["accuracy"]
    trials.append({**choice, "epochs": len(history.epoch), "validation": accuracy, "model": model})
trials.sort(key=lambda trial: -trial["validation"])

print(f"The best five and the worst two of {TRIALS} trials, by {len(x_valid)} validation digits")
print("learning rate  width  depth  dropout  epochs  validation")
for trial in trials[:5] + trials[-2:]:
    print(
        f"{trial['learning_rate']:13.4f}  {trial['width']:5}  {trial['depth']:5}"
        f"  {trial['dropout']:7.2f}  {trial['epochs']:6}  {trial['validation']:10.1%}"
    )

accuracy = trials[0]["model"].evaluate(x_test, y_test)["accuracy"]
print(
    f"The best reads {trials[0]['validation']:.1%} of the digits that chose it, but {accuracy:.1%}"
)
print(f"of the {len(x_test)} test digits: part was luck.")

best = {name: trials[0][name] for name in choice}
SEEDS = 10
right = []
for seed in range(SEEDS):
    fn.set_random_seed(seed)
    model = build(**best)
    model.fit(x_train, y_train, epochs=EPOCHS)
    right.append(model.evaluate(x_test, y_test)["accuracy"])
print(
    f"Trained anew on all {len(x_train)} training digits, it reads {np.mean(right):.1%} of them,\n"
    f"the mean over {SEEDS} seeds: {min(right):.1%} to {max(right):.1%}."
)

# ---- which hyperparameters matter? -----------------------------------------------------------

points = np.array([[trial[name] for name in choice] for trial in trials])
reached = np.array([trial["validation"] for trial in trials])
if find_spec("sklearn"):
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    forest = RandomForestRegressor(n_estimators=50, random_state=0).fit(points, reached)
    found = permutation_importance(forest, points, reached, n_repeats=10, random_state=0)
    print("\nWhat a forest that predicts the accuracy loses when one column is shuffled, in shares")
    for name, importance in zip(choice, found.importances_mean, strict=True):
        print(f"{name:13}  {importance / found.importances_mean.sum():4.0%}")
else:
    print("\nImportances skipped: scikit-learn is not installed (pip install scikit-learn)")

# ---- picture ---------------------------------------------------------------------------------

if find_spec("matplotlib"):
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 4, figsize=(11, 3), layout="constrained", sharey=True)
    for ax, name, column in zip(axes, choice, points.T, strict=True):
        ax.plot(column, reached, "o", markersize=4)
        ax.plot(column[0], reached[0], "*", color="C3", markersize=14)
        ax.set(xlabel=name.replace("_", " "), ylabel="validation accuracy")
        ax.label_outer()
        ax.grid(alpha=0.3)
    axes[0].set_xscale("log")
    axes[1].set_xscale("log", base=2)
    figure.savefig(picture, dpi=80)
    print(f"\nPicture: {picture}")
else:
    print("\nNo picture: matplotlib is not installed (python -m pip install 'fastnn[plot]')")
