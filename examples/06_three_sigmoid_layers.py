"""The classic first network: three layers of nodes, sigmoids, squared error, one image at a time.

As a well-known beginner's book has it for MNIST, here on the digits of 8x8 pixels that come with
fastnn:

* pixels rescaled to 0.01 … 0.99, since an input of 0 teaches its weights nothing;
* targets 0.01, and 0.99 for the right digit, since a sigmoid never reaches 0 or 1;
* weights from N(0, 1/sqrt(n)), n inputs of a node, so that the sums stay where a sigmoid is steep;
* no biases;
* cost sum (output - target)² / 2, so that its gradient is output - target, and
  W <- W + rate * (target - output) s'(z) inputᵀ after every single image.

First the network by hand, in the kernels of one forward and one backward pass; then the same by
`Sequential.fit` with batches of 1, from the same weights and in the same order: the same numbers.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import fastnn as fn
from fastnn import datasets, initializers, kernels, layers, losses, optimizers

script = Path(__file__)
parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--picture", default=script.parent / "pictures" / f"{script.stem}.png")
picture = parser.parse_args().picture
fn.set_random_seed(0)

(x_train, y_train), (x_test, y_test) = datasets.load_digits()
x_train, x_test = (0.01 + 0.98 * x for x in (x_train, x_test))
targets = np.full((len(y_train), 10), 0.01, np.float32)
targets[np.arange(len(y_train)), y_train] = 0.99
test_targets = np.full((len(y_test), 10), 0.01, np.float32)
test_targets[np.arange(len(y_test)), y_test] = 0.99

# N(0, 1/sqrt(n)): variance 1/n of the n inputs.
start = initializers.VarianceScaling(1.0, "fan_in", "untruncated_normal")
model = fn.Sequential(
    [
        layers.Dense(100, activation="sigmoid", use_bias=False, kernel_initializer=start),
        layers.Dense(10, activation="sigmoid", use_bias=False, kernel_initializer=start),
    ]
)
rate = 0.1
model.compile(optimizers.SGD(rate), losses.SumSquaredError(), metrics=["categorical_accuracy"])
model.build(64)
hidden, output = model.get_weights()
print(f"64-100-10 nodes, {model.count_params()} weights; standard deviations of the kernels:")
print(f"  {hidden.std():.4f} for 1/sqrt(64) = 0.125, {output.std():.4f} for 1/sqrt(100) = 0.1")

# ---- by hand, one epoch ----------------------------------------------------------------------

for x, target in zip(x_train[:, None], targets[:, None], strict=True):
    h = kernels.dense_forward(x, hidden, activation="sigmoid")
    o = kernels.dense_forward(h, output, activation="sigmoid")
    dh, doutput, _ = kernels.dense_backward(h, output, o, o - target, activation="sigmoid")
    _, dhidden, _ = kernels.dense_backward(x, hidden, h, dh, activation="sigmoid")
    output -= rate * doutput
    hidden -= rate * dhidden
h = kernels.dense_forward(x_test, hidden, activation="sigmoid")
o = kernels.dense_forward(h, output, activation="sigmoid")
print(f"\nBy hand: test accuracy {(o.argmax(axis=1) == y_test).mean():.3f} after 1 epoch")

# ---- by fit ----------------------------------------------------------------------------------

one = model.fit(x_train, targets, batch_size=1, shuffle=False)
difference = max(np.abs(hidden - model.weights[0]).max(), np.abs(output - model.weights[1]).max())
print(f"By fit:  the same weights but for {difference:.0e} after the same epoch")
rest = model.fit(
    x_train,
    targets,
    batch_size=1,
    epochs=30,
    initial_epoch=1,
    validation_data=(x_test, test_targets),
)
accuracy = rest.history["val_categorical_accuracy"]
print("\nepoch    cost   training    test")
for epoch in (1, 2, 4, 9, 19, 29):
    i = rest.epoch.index(epoch)
    on_training = rest.history["categorical_accuracy"][i]
    print(
        f"{epoch + 1:5}   {rest.history['loss'][i]:.4f}   {on_training:.3f}      {accuracy[i]:.3f}"
    )

# ---- picture ---------------------------------------------------------------------------------

if find_spec("matplotlib"):
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    fn.plotting.history(rest, ["categorical_accuracy"], ax=left)
    fn.plotting.weights(model.weights[0][:, :24], ax=right)
    right.set_title("what 24 of the 100 hidden nodes look for")
    figure.savefig(picture, dpi=80)
    print(f"\nPicture: {picture}")
else:
    print("\nNo picture: matplotlib is not installed (python -m pip install 'fastnn[plot]')")
