"""Why deep sigmoid networks would not learn, and three cures.

Back-propagation multiplies by ``W.T`` and by the slope of the activation at every layer:
``dx = (dy * act'(z)) @ W.T``. The slope of the logistic function is at most 1/4, so that through
ten layers little of the gradient is left for the first one. What keeps its size:

- an activation of slope 1: ``relu(z) = max(z, 0)``;
- weights of the right size: He's have the variance ``2 / inputs``, which makes up for the half of
  the units that relu switches off; Glorot's have ``2 / (inputs + outputs)``;
- batch normalization of every layer's inputs to the activation, ``(z - mean) / deviation``.

Ten hidden layers of 32 units read digits; `GradientMonitor` keeps every layer's gradient.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import fastnn as fn
from fastnn import callbacks, datasets, initializers, layers, losses, optimizers

script = Path(__file__)
parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--picture", default=script.parent / "pictures" / f"{script.stem}.png")
picture = parser.parse_args().picture
fn.set_num_threads(1)  # small networks: on a busy machine more threads would wait for one another

DEPTH, UNITS, EPOCHS = 10, 32, 20
(x_train, y_train), (x_test, y_test) = datasets.load_digits()

small = initializers.RandomNormal(stddev=0.05)
NETWORKS = {  # activation, initializer, batch normalization
    "sigmoid, small weights": ("sigmoid", small, False),
    "sigmoid, Glorot": ("sigmoid", "glorot_uniform", False),
    "tanh, Glorot": ("tanh", "glorot_uniform", False),
    "relu, small weights": ("relu", small, False),
    "relu, Glorot": ("relu", "glorot_uniform", False),
    "relu, He": ("relu", "he_normal", False),
    "sigmoid, Glorot, batch norm": ("sigmoid", "glorot_uniform", True),
    "relu, He, batch norm": ("relu", "he_normal", True),
}


def build(activation, initializer, normalize):
    model = fn.Sequential([fn.Input(x_train.shape[1])])
    for depth in range(1, DEPTH + 1):
        dense = layers.Dense(UNITS, kernel_initializer=initializer, name=f"dense {depth}")
        model.add(dense)
        if normalize:
            model.add(layers.BatchNormalization(name=f"normalization {depth}"))
        model.add(layers.Activation(activation, name=f"activation {depth}"))
    model.add(layers.Dense(10, name="logits"))
    return model


print(f"Norms of the gradient in the first and last of {DEPTH} hidden layers, and what is learnt")
print(f"{'':28}       untrained      after {EPOCHS} epochs      test")
print(f"{'':28}   first     last     first     last  accuracy")
flows = {}
for name, network in NETWORKS.items():
    fn.set_random_seed(0)
    model = build(*network)
    model.compile(
        optimizer=optimizers.SGD(learning_rate=0.02, momentum=0.9),
        loss=losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    monitor = callbacks.GradientMonitor(x_train, y_train)
    monitor.set_model(model)
    untrained, _ = monitor.measure()
    model.fit(x_train, y_train, epochs=EPOCHS, callbacks=[monitor])
    # Of the hidden layers, before the training and after each epoch.
    flows[name] = {
        layer: [untrained[layer], *norms]
        for layer, norms in monitor.history.items()
        if layer.startswith("dense")
    }
    first, last = flows[name]["dense 1"], flows[name][f"dense {DEPTH}"]
    norms = [norm for when in (0, -1) for norm in (first[when], last[when])]
    accuracy = model.evaluate(x_test, y_test)["accuracy"]
    print(f"{name:28}" + "".join(f"{norm:9.0e}" for norm in norms) + f"{accuracy:10.1%}")

# ---- picture ---------------------------------------------------------------------------------

if find_spec("matplotlib"):
    from matplotlib import pyplot

    shown = ["sigmoid, Glorot", "relu, small weights", "relu, He", "sigmoid, Glorot, batch norm"]
    figure, axes = pyplot.subplots(1, 4, figsize=(10, 2.8), layout="constrained", sharey=True)
    for ax, name in zip(axes, shown, strict=True):
        fn.plotting.gradient_flow(flows[name], ax=ax)
        ax.set_title(name, fontsize=10)
        ax.set(xlabel="epoch (1: untrained)")
        ax.get_legend().remove()
        ax.label_outer()
    figure.suptitle("From the first hidden layer (violet) to the last (green)")
    figure.savefig(picture, dpi=72)
    print(f"\nPicture: {picture}")
else:
    print("\nNo picture: matplotlib is not installed (python -m pip install 'fastnn[plot]')")
