"""fastnn: dense neural networks on the CPU at the speed of the machine.

>>> import fastnn as fn
>>> from fastnn import layers, losses, optimizers, datasets
>>> (x_train, y_train), (x_test, y_test) = datasets.load_digits()
>>> model = fn.Sequential([layers.Dense(128, activation="relu"), layers.Dense(10)])
>>> model.compile(optimizer=optimizers.SGD(learning_rate=0.1, momentum=0.9),
...               loss=losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
>>> history = model.fit(x_train, y_train, epochs=20)
>>> model.evaluate(x_test, y_test)["accuracy"] > 0.95
True
"""

from fastnn._config import __version__, show_config
from fastnn._dispatch import get_num_threads, num_threads, set_num_threads
from fastnn._random import set_random_seed

from fastnn import (  # isort: skip
    activations,
    callbacks,
    datasets,
    explain,
    gradients,
    initializers,
    kernels,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    plotting,
    reference,
    regularizers,
    schedules,
    utils,
)
from fastnn.io import load_model
from fastnn.layers import Input
from fastnn.minimize import minimize
from fastnn.model import Sequential
from fastnn.rbm import BernoulliRBM

__all__ = [
    "BernoulliRBM",
    "Input",
    "Sequential",
    "__version__",
    "activations",
    "callbacks",
    "datasets",
    "explain",
    "get_num_threads",
    "gradients",
    "initializers",
    "kernels",
    "layers",
    "load_model",
    "losses",
    "metrics",
    "minimize",
    "models",
    "num_threads",
    "optimizers",
    "plotting",
    "reference",
    "regularizers",
    "schedules",
    "set_num_threads",
    "set_random_seed",
    "show_config",
    "utils",
]
