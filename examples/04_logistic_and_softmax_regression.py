"""Logistic and softmax regression: a network without a hidden layer, as a probability.

Logistic regression says P(class 1 | x) = s(x·w + b), with the logistic function s. The mean of the
negative log-likelihood of the labels, binary cross-entropy, has the gradient Xᵀ(p - y) / n: the
derivative of s cancels, and what remains is "said minus true". Softmax regression is the same for
many classes.

Both costs are convex, so that every way down ends at one place: gradient descent by hand, L-BFGS on
a network of one layer, and scikit-learn's LogisticRegression, weight for weight. With an L2 penalty
of l2 |W|² in fastnn, C of scikit-learn is 1 / (2 n l2).
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import fastnn as fn
from fastnn import activations, kernels, layers, losses, optimizers, regularizers

script = Path(__file__)
parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--picture", default=script.parent / "pictures" / f"{script.stem}.png")
picture = parser.parse_args().picture
fn.set_num_threads(1)  # small networks: on a busy machine more threads would wait for one another
fn.set_random_seed(0)

# ---- two groups that overlap: by hand --------------------------------------------------------

random = np.random.default_rng(0)
x = np.concatenate([random.normal([-1, 0], 1, (150, 2)), random.normal([1, 1], 1, (150, 2))])
y = np.repeat([0.0, 1.0], 150)[:, None]

kernel, bias = np.zeros((2, 1)), np.zeros(1)
for _ in range(2000):
    p = kernels.dense_forward(x, kernel, bias, activation="sigmoid")
    error = (p - y) / len(x)
    kernel -= 1.0 * kernels.matmul(x, error, transpose_a=True)
    bias -= 1.0 * kernels.column_sum(error)
by_hand = np.append(kernel, bias)

# ---- the same by a network of one layer ------------------------------------------------------

line = fn.Sequential([layers.Dense(1, dtype="float64")])
exactly = optimizers.LBFGS(gradient_tolerance=1e-8, value_tolerance=0)
line.compile(exactly, losses.BinaryCrossentropy(from_logits=True), ["accuracy"])
line.fit(x, y, epochs=50)
by_network = np.concatenate([weight.ravel() for weight in line.weights])
print("Logistic regression: two weights and the bias")
print(f"  gradient descent  {by_hand.round(6)}")
print(f"  L-BFGS            {by_network.round(6)}")
if find_spec("sklearn"):
    from sklearn.linear_model import LogisticRegression

    learned = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x, y[:, 0])
    by_sklearn = np.append(learned.coef_, learned.intercept_)
    print(f"  scikit-learn      {by_sklearn.round(6)}")
    print(f"  largest difference {np.abs(by_network - by_sklearn).max():.1e}")
else:
    print("  scikit-learn is not installed: nothing to compare with")
print(
    f"  accuracy {line.evaluate(x, y)['accuracy']:.3f}: the groups overlap, as no line can change"
)

# ---- ten classes: softmax regression on digits -----------------------------------------------

(x_train, y_train), (x_test, y_test) = fn.datasets.load_digits()
l2 = 1e-3
softmax = fn.Sequential([layers.Dense(10, kernel_regularizer=regularizers.L2(l2), dtype="float64")])
exactly = optimizers.LBFGS(gradient_tolerance=1e-6, value_tolerance=0)
softmax.compile(
    exactly, losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
)
history = softmax.fit(x_train, y_train, epochs=200)
accuracy = softmax.evaluate(x_test, y_test)["accuracy"]
print(f"\nSoftmax regression on {len(x_train)} digits, {softmax.count_params()} weights")
costs = history.history["loss"]
print(f"  cost {costs[0]:.6f} after 20 iterations of L-BFGS, {costs[-1]:.6f} in the end")
print(f"  test accuracy {accuracy:.3f}")
probabilities = activations.softmax(softmax.predict(x_test))
if find_spec("sklearn"):
    C = 1 / (2 * len(x_train) * l2)
    learned = LogisticRegression(C=C, tol=1e-8, max_iter=1000).fit(x_train.astype(float), y_train)
    theirs = learned.predict_proba(x_test.astype(float))
    same = (theirs.argmax(axis=1) == probabilities.argmax(axis=1)).mean()
    print(f"  scikit-learn gives {same:.1%} of the digits to the same class;", end=" ")
    print(f"probabilities differ by at most {np.abs(theirs - probabilities).max():.1e}")
doubt = np.argsort(probabilities.max(axis=1))[:5]
print("  least certain of (label: said, probability):", end=" ")
print(
    ", ".join(
        f"{y_test[i]}: {probabilities[i].argmax()} {probabilities[i].max():.2f}" for i in doubt
    )
)

# ---- picture ---------------------------------------------------------------------------------

if find_spec("matplotlib"):
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    fn.plotting.decision_boundary(line, x, y[:, 0].astype(int), ax=left)
    left.set_title("logistic regression: the boundary is a line")
    fn.plotting.weights(softmax, ax=right)
    right.set_title("softmax regression: the weights of 0 to 9")
    figure.savefig(picture, dpi=80)
    print(f"\nPicture: {picture}")
else:
    print("\nNo picture: matplotlib is not installed (python -m pip install 'fastnn[plot]')")
