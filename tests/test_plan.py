"""The compiled plan: the bits of the eager road, of any threads and of any build."""

import functools
import hashlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastnn as fn
from fastnn import _dispatch, activations, losses, optimizers
from fastnn.layers import (
    ELU,
    Activation,
    ActivityRegularization,
    BatchNormalization,
    Dense,
    Dropout,
    GaussianNoise,
    Input,
    LayerNormalization,
    LeakyReLU,
    Normalization,
    PReLU,
    ReLU,
    Rescaling,
    Sigmoid,
    Softmax,
    Tanh,
    ThresholdedReLU,
)
from fastnn.memory import Memory, Parameters
from fastnn.plan import CompiledPlan, Network
from fastnn.regularizers import L1, L1L2, L2
from fastnn.stages import Lowering

FEATURES = 6
LOSSES = {
    "sparse": lambda: losses.SparseCategoricalCrossentropy(from_logits=True),
    "one-hot": lambda: losses.CategoricalCrossentropy(from_logits=True),
    "mse": losses.MeanSquaredError,
    "binary": lambda: losses.BinaryCrossentropy(from_logits=True),
}
# Further losses, with arguments, the targets of `data` and the network they are tried on: one whose
# outputs suit them, and where no loss takes in the activation (`test_probabilities_…` has those).
FURTHER = {
    "binary-smooth": (losses.BinaryCrossentropy, (True, 0.2), "binary", "separate"),
    "binary-probabilities": (losses.BinaryCrossentropy, (False, 0.2), "binary", "softmax last"),
    "focal": (losses.BinaryFocalCrossentropy, (True, 0.3, 1.5, True), "binary", "separate"),
    "focal-probabilities": (losses.BinaryFocalCrossentropy, (), "binary", "softmax last"),
    "one-hot-smooth": (losses.CategoricalCrossentropy, (True, 0.2), "one-hot", "separate"),
    "one-hot-probabilities": (losses.CategoricalCrossentropy, (), "one-hot", "sigmoid last"),
    "sparse-probabilities": (losses.SparseCategoricalCrossentropy, (), "sparse", "sigmoid last"),
    "rmse": (losses.RootMeanSquaredError, (), "mse", "separate"),
    "sse": (losses.SumSquaredError, (), "mse", "separate"),
    "mae": (losses.MeanAbsoluteError, (), "mse", "separate"),
    "mape": (losses.MeanAbsolutePercentageError, (), "mse", "separate"),
    "msle": (losses.MeanSquaredLogarithmicError, (), "binary", "sigmoid last"),
    "huber": (losses.Huber, (0.7,), "mse", "separate"),
    "log-cosh": (losses.LogCosh, (), "mse", "separate"),
    "quantile": (losses.Quantile, (0.9,), "mse", "separate"),
    "kl": (losses.KLDivergence, (), "one-hot", "softmax last"),
    "poisson": (losses.Poisson, (), "binary", "sigmoid last"),
    "hinge": (losses.Hinge, (), "binary", "separate"),
    "squared-hinge": (losses.SquaredHinge, (), "binary", "separate"),
    "categorical-hinge": (losses.CategoricalHinge, (), "one-hot", "separate"),
    "cosine": (losses.CosineSimilarity, (), "mse", "separate"),
    "contrastive": (losses.Contrastive, (0.8,), "binary", "sigmoid last"),
}
OPTIMIZERS = {
    "sgd": (optimizers.SGD, {"learning_rate": 0.1}),
    "momentum": (optimizers.Momentum, {"learning_rate": 0.05}),
    "nesterov": (optimizers.SGD, {"learning_rate": 0.05, "momentum": 0.8, "nesterov": True}),
    "adagrad": (optimizers.AdaGrad, {"learning_rate": 0.1}),
}
decay, clip = {"weight_decay": 0.1}, {"clipvalue": 0.02}
MORE_OPTIMIZERS = {
    "sgd, decay": (optimizers.SGD, {"learning_rate": 0.1, **decay}),
    "nesterov, clip": (optimizers.Nesterov, {"learning_rate": 0.1, **clip}),
    "adagrad, both": (optimizers.Adagrad, {"learning_rate": 0.1, **decay, **clip}),
    "rmsprop": (optimizers.RMSprop, {}),
    "rmsprop, momentum": (optimizers.RMSprop, {"momentum": 0.5}),
    "rmsprop, centered": (optimizers.RMSprop, {"centered": True, **decay}),
    "rmsprop, all": (optimizers.RMSprop, {"momentum": 0.5, "centered": True, **decay, **clip}),
    "adadelta": (optimizers.Adadelta, {"learning_rate": 1.0}),
    "adadelta, both": (optimizers.Adadelta, {"learning_rate": 1.0, **decay, **clip}),
    "adam": (optimizers.Adam, {"learning_rate": 0.01}),
    "adam, clip": (optimizers.Adam, {"learning_rate": lambda step: 0.1 / (1 + step), **clip}),
    "amsgrad": (optimizers.Adam, {"amsgrad": True, "beta_2": 0.8}),
    "amsgrad, both": (optimizers.Adam, {"amsgrad": True, "beta_2": 0.8, **decay, **clip}),
    "adamw": (optimizers.AdamW, {"learning_rate": 0.01}),
    "adamax": (optimizers.Adamax, {}),
    "adamax, both": (optimizers.Adamax, {**decay, **clip}),
    "nadam": (optimizers.Nadam, {}),
    "nadam, both": (optimizers.Nadam, {**decay, **clip}),
    "sgd, norm": (optimizers.SGD, {"learning_rate": 0.5, "clipnorm": 0.3, **decay}),
    "momentum, norms": (optimizers.Momentum, {"learning_rate": 0.5, "global_clipnorm": 0.3}),
    "adam, norms": (optimizers.Adam, {"global_clipnorm": 0.1}),
    "lion": (optimizers.Lion, {}),
    "lion, both": (optimizers.Lion, {**decay, **clip}),
}
NETWORKS = {
    "relu": lambda m: [Dense(17, "relu"), Dense(16, "relu"), Dense(m)],
    "sigmoid": lambda m: [Dense(15, "sigmoid"), Dense(m, use_bias=False)],
    "tanh": lambda m: [Input(FEATURES), Dense(33, "tanh"), Dense(m)],
    "linear": lambda m: [Dense(1), Dense(m)],
    "separate": lambda m: [Dense(9, "relu"), Sigmoid(), Dense(18), ReLU(), Tanh(), Dense(m)],
    "softmax within": lambda m: [Dense(20), Softmax(), Dense(7, "log_softmax"), Dense(m)],
    "activation first": lambda m: [Input(FEATURES), Tanh(), Dense(m)],
    "activation last": lambda m: [Dense(5, "relu"), Dense(m), Activation("tanh")],
    "from the input": lambda m: [Dense(17, "gelu"), Dense(33, "mish"), Dense(m, "silu")],
    "from the input, separate": lambda m: [
        *(Input(FEATURES), Activation("hard_silu"), Dense(9, "softsign")),
        *(Activation("gelu_tanh"), Activation("gelu"), frozen(Dense(8, "silu")), Dense(m)),
    ],
    "parameters": lambda m: [
        *(Dense(17, activations.relu.with_(0.1, 0.5, 0.1)), Dense(9, "selu"), LeakyReLU(0.1)),
        *(ELU(0.5), Dense(9, "relu6"), ThresholdedReLU(0.01), ReLU(max_value=0.3), Dense(m)),
    ],
    "further": lambda m: [
        *(Dense(17, "elu"), Dense(9, "softplus"), Dense(9, "hard_sigmoid"), Dense(9, "hard_tanh")),
        *(Activation("exponential"), Dense(9, "log_sigmoid"), Dense(m, activations.celu.with_(2))),
    ],
    "normalized, from the input": lambda m: [
        *(Dense(17), BatchNormalization(), Activation("gelu"), Dense(9), BatchNormalization()),
        *(LeakyReLU(0.1), frozen(BatchNormalization()), Activation("mish"), Dense(m)),
    ],
    "softmax last": lambda m: [Dense(5, "relu"), Dense(m, "softmax")],
    "sigmoid last": lambda m: [Dense(5, "relu"), Dense(m, "sigmoid")],
    "frozen first": lambda m: [frozen(Dense(8, "tanh")), Dense(8, "relu"), Dense(m)],
    "frozen within": lambda m: [Dense(8, "relu"), frozen(Dense(9)), Sigmoid(), Dense(m)],
    "batch normalization": lambda m: [
        Dense(17, use_bias=False),
        BatchNormalization(momentum=0.7),
        ReLU(),
        Dense(m),
    ],
    "batch normalization first": lambda m: [
        BatchNormalization(),
        Tanh(),
        Dense(33),
        BatchNormalization(center=False),
        Dense(m),
    ],
    "batch normalization last": lambda m: [
        Dense(5, "relu"),
        BatchNormalization(scale=False),
        Dense(m),
        BatchNormalization(),
    ],
    "batch normalization frozen": lambda m: [
        Dense(80, "tanh"),
        frozen(BatchNormalization(moving_mean_initializer="ones")),
        Sigmoid(),
        Dense(20),
        frozen(BatchNormalization()),
        Dense(m),
    ],
    "layer normalization": lambda m: [
        Dense(17),
        LayerNormalization(),
        ReLU(),
        LayerNormalization(center=False, scale=False),
        Dense(m),
    ],
    "layer normalization first": lambda m: [LayerNormalization(), Dense(9, "relu"), Dense(m)],
    "prelu": lambda m: [Dense(17), PReLU("random_normal"), Dense(80), PReLU(), Dense(m)],
    "costly weights": lambda m: [
        Dense(17, "relu", kernel_regularizer=L1L2(0.01, 0.02), bias_regularizer="l2"),
        frozen(Dense(9, kernel_regularizer="l1")),
        BatchNormalization(gamma_regularizer="l2", beta_regularizer=L1(0.1)),
        Dense(m, kernel_regularizer=L2(0.1)),
    ],
    "costly outputs": lambda m: [
        Dense(33, "sigmoid", activity_regularizer=L1L2(0.01, 0.1)),
        BatchNormalization(),
        Dense(20, activity_regularizer="l2"),
        ActivityRegularization(l1=0.1),
        Tanh(),
        Dense(m, activity_regularizer=L1(0.2)),
    ],
    "prelu first": lambda m: [PReLU("ones"), Dense(m)],
    "dropout": lambda m: [Dropout(0.2, seed=1), Dense(19, "relu"), Dropout(0.5, seed=2), Dense(m)],
    "noise": lambda m: [
        Rescaling(0.5, 1),
        GaussianNoise(0.1, seed=3),
        Dense(19),
        GaussianNoise(0.3, seed=4),
        BatchNormalization(),
        Dense(m),
    ],
    "data": lambda m: [
        Normalization(mean=0.5, variance=2),
        Dense(7),
        Normalization(),
        Rescaling(2),
        Dense(m),
    ],
    "frozen last": lambda m: [Dense(8, "relu"), Dense(12), frozen(Dense(m, "sigmoid"))],
}


def normalized(dtype, units):
    """A network with one of each layer beside Dense."""
    return [
        Normalization(dtype=dtype),
        GaussianNoise(0.1, seed=5, dtype=dtype),
        Dense(units, use_bias=False, dtype=dtype),
        BatchNormalization(dtype=dtype),
        Sigmoid(dtype=dtype),
        Dropout(0.3, seed=6, dtype=dtype),
        Dense(units // 2, "relu", dtype=dtype),
        LayerNormalization(dtype=dtype),
        Rescaling(2, -1, dtype=dtype),
        PReLU("ones", dtype=dtype),
        Dense(100, dtype=dtype),
    ]


both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def frozen(layer):
    layer.trainable = False
    return layer


def data(loss, n, m, seed=0):
    rng = np.random.default_rng(seed)
    y = {
        "sparse": lambda: rng.integers(m, size=n),
        "one-hot": lambda: np.eye(m)[rng.integers(m, size=n)],
        "mse": lambda: rng.normal(size=(n, m)),
        "binary": lambda: rng.integers(2, size=(n, m)),
    }
    kind = loss if loss in LOSSES else FURTHER[loss][2]
    return rng.normal(size=(n, FEATURES)), y[kind]()


def eager(cls):
    """The same optimizer, but in the user's own words, so that a model takes the eager road."""

    class Own(cls):
        def update_array(self, w, g, slots, iteration):
            super().update_array(w, g, slots, iteration)

    return Own


def make_loss(name, **config):
    if name in LOSSES:
        return LOSSES[name]()
    cls, arguments, _, _ = FURTHER[name]
    return cls(*arguments, **config)


def make(network, dtype, loss, optimizer, m, own=False, metrics=None, **config):
    fn.set_random_seed(5)
    layers = NETWORKS[network](m)
    for layer in layers:
        if not isinstance(layer, Input):
            layer.dtype = dtype
    cls, settings = (OPTIMIZERS | MORE_OPTIMIZERS)[optimizer]
    model = fn.Sequential(layers)
    model.compile((eager(cls) if own else cls)(**settings), make_loss(loss, **config), metrics)
    model.build(FEATURES)
    assert bool(model.obstacles()) == own
    return model


def bits(arrays):
    return [np.ascontiguousarray(a).tobytes() for a in arrays]


def slots(model):
    return [state[name] for state in model.optimizer.slots for name in sorted(state)]


def expect_same_bits(network, dtype, loss, optimizer, m, batch_size, weighted=False, **config):
    x, y = data(loss, 37, m)
    options = {"batch_size": batch_size, "epochs": 2}
    if weighted:
        options["sample_weight"] = np.linspace(0, 2, 37)
        if loss != "mse":
            options["class_weight"] = {0: 0.5, 1: 3}
    found, reported = [], []
    for own in (False, True):
        model = make(network, dtype, loss, optimizer, m, own, **config)
        before = model.get_weights()
        history = model.fit(x, y, **options).history
        found.append((bits(model.get_weights()), bits(slots(model)), model.optimizer.iterations))
        reported.append(history["loss"])
        # The plan and layer by layer, while nothing trains.
        assert bits([model.predict(x)]) == bits([model(x)])
        changed = [(a != b).any() for a, b in zip(before, model.weights, strict=True)]
        trainable = [layer.trainable for layer in model.layers for _ in layer.weights]
        assert not any(c and not t for c, t in zip(changed, trainable, strict=True))
        assert any(changed)
    assert found[0] == found[1]
    np.testing.assert_allclose(*reported, rtol=10 * np.finfo(dtype).eps)
    return reported


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("network", NETWORKS)
@both_dtypes
def test_plan_and_eager_road_give_the_same_bits(network, dtype, loss, optimizer):
    columns = {"sparse": 10, "one-hot": 17, "mse": 2, "binary": 3}[loss]
    expect_same_bits(network, dtype, loss, optimizer, columns, batch_size=8)


@pytest.mark.parametrize("optimizer", MORE_OPTIMIZERS)
@both_dtypes
def test_the_same_bits_with_every_optimizer(dtype, optimizer):
    expect_same_bits("relu", dtype, "sparse", optimizer, 10, batch_size=8)
    expect_same_bits("frozen within", dtype, "mse", optimizer, 3, batch_size=37)


@pytest.mark.parametrize("batch_size", [1, 5, 36, 37, 64])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_same_for_any_batch_size_and_weights(loss, batch_size):
    columns = {"sparse": 33, "one-hot": 2, "mse": 17, "binary": 1}[loss]
    for dtype in ("float32", "float64"):
        expect_same_bits("separate", dtype, loss, "momentum", columns, batch_size, weighted=True)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum"])
@pytest.mark.parametrize("columns", [3, 17])
@pytest.mark.parametrize("loss", FURTHER)
@both_dtypes
def test_further_losses_on_both_roads(dtype, loss, columns, reduction):
    options = {"batch_size": 8, "weighted": columns == 17, "reduction": reduction}
    optimizer = "adagrad" if reduction == "sum" else "momentum"  # sums may take great steps
    reported = expect_same_bits(FURTHER[loss][3], dtype, loss, optimizer, columns, **options)
    assert np.isfinite(reported).all()  # NaN everywhere would be the same bits too


def test_every_loss_is_tried():
    tried = {type(make_loss(name)).__name__ for name in (*LOSSES, *FURTHER)}
    assert {"Loss", "Triplet"} | tried == {name for name in losses.__all__ if name[0].isupper()}
    # The gradient of a triplet runs back into other rows.
    model = fn.Sequential([Dense(3)])
    model.compile("sgd", "triplet")
    model.build(FEATURES)
    assert model.obstacles() == ["loss triplet"]
    x, labels = np.random.default_rng(0).normal(size=(40, FEATURES)), np.arange(40) % 4
    logs = model.fit(x + labels[:, None], labels, batch_size=20, epochs=20).history
    assert logs["loss"][-1] < logs["loss"][0]


# ---- the numeric contract --------------------------------------------------------------------


def digests(threads):
    """Digests of the weights after training, also of networks that several threads share."""
    found = {}
    rng = np.random.default_rng(1)
    with fn.num_threads(threads):
        for dtype in ("float32", "float64"):
            fn.set_random_seed(2)
            model = fn.Sequential(normalized(dtype, 300))
            model.compile(optimizers.Momentum(0.02), LOSSES["mse"]())
            x, y = rng.normal(size=(2, 200, 100))
            model.fit(x, y, batch_size=64, epochs=1)
            found[f"{dtype} normalized"] = bits([*model.get_weights(), model.predict(x)])
        for dtype, loss in itertools.product(("float32", "float64"), (*LOSSES, "rmse")):
            model = make("separate", dtype, loss, "adagrad", 10)
            x, y = data(loss, 90, 10)
            model.fit(x, y, batch_size=16, epochs=2)
            found[f"{dtype} {loss}"] = bits(model.get_weights())
            for activation in ("relu", "tanh", "sigmoid"):
                fn.set_random_seed(2)
                sizes = (300, 200) if activation == "relu" else (150, 33)
                layers = [Dense(size, activation, dtype=dtype) for size in sizes]
                model = fn.Sequential([*layers, Dense(10, dtype=dtype)])
                model.compile(optimizers.Momentum(0.02), make_loss(loss))
                _, y = data(loss, 200, 10)
                model.fit(rng.normal(size=(200, 100)), y, batch_size=64, epochs=1)
                found[f"{dtype} {loss} {activation}"] = bits(model.get_weights())
            rng = np.random.default_rng(1)
    return {key: hashlib.sha256(b"".join(value)).hexdigest() for key, value in found.items()}


@pytest.fixture(scope="module")
def one_thread():
    return digests(1)


@pytest.mark.parametrize("threads", [2, 3, 4])
def test_same_bits_for_any_number_of_threads(one_thread, threads):
    if not fn.show_config()["openmp"]:
        pytest.skip("built without OpenMP")
    assert digests(threads) == one_thread


def test_the_large_network_is_shared():
    core = _dispatch.core("float32")
    if not core.openmp:
        pytest.skip("built without OpenMP")
    model = fn.Sequential([Dense(300), Dense(200), Dense(10)])
    model.build(100)
    plan = CompiledPlan(Network(model.layers), Parameters(model.layers), "predict", 64)
    with fn.num_threads(4):
        assert plan._threads(64) >= 2
        assert plan._threads(1) == 1


def test_same_bits_for_builds_with_fma(one_thread):
    available = fn.show_config()["arch_available"]
    if fn.show_config()["arch"] != "v4" or "v3" not in available:
        pytest.skip("needs a machine and an installation with the v3 and v4 builds")
    folders = [str(Path(fn.__file__).parents[1]), str(Path(__file__).parent)]
    lower = subprocess.run(
        [sys.executable, "-c", "import json, test_plan; print(json.dumps(test_plan.digests(2)))"],
        env={**os.environ, "FASTNN_ARCH": "v3", "PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert lower.returncode == 0, lower.stderr
    assert json.loads(lower.stdout) == one_thread


def test_batch_normalization_is_no_pass_of_its_own_after_a_product():
    layers = [Dense(17), BatchNormalization(), ReLU(), Dense(5, "tanh"), BatchNormalization()]
    fn.Sequential(layers).build(4)
    for mode in ("test", "predict"):
        stages = Network(layers).stages()
        to = Lowering(
            _dispatch.core("float32"),
            Parameters([layer for layer in layers if layer.weights]),
            mode,
            8,
        )
        y = stages[0].forward(to, None)
        assert stages[1].forward(to, y) is y
        last = stages[2].forward(to, y)
        assert stages[3].forward(to, last) is not last  # what is normalised here is tanh's output


def test_freezing_and_thawing_between_two_fits():
    found = []
    for own in (False, True):
        fn.set_random_seed(8)
        layers = [Dense(9), BatchNormalization(momentum=0.5), Tanh(), Dropout(0.2), Dense(2)]
        model = fn.Sequential(layers)
        model.compile((eager(optimizers.Momentum) if own else optimizers.Momentum)(0.05), "mse")
        x, y = data("mse", 40, 2)
        history = []
        for trainable in (True, False, True):
            layers[1].trainable = trainable
            before = layers[1].weights["moving_mean"].copy() if layers[1].built else None
            model.fit(x, y, batch_size=16)
            history.append(bits(model.get_weights()))
            if not trainable:
                assert np.array_equal(layers[1].weights["moving_mean"], before)
        assert layers[3].draws == 9 and bool(model.obstacles()) == own
        found.append(history)
    assert found[0] == found[1]


def test_changes_of_a_layer_between_two_calls():
    x, y = data("mse", 20, 2)
    norm, dropout = BatchNormalization(), Dropout(0.5, seed=1)
    model = fn.Sequential([Dense(5), norm, dropout, Dense(2)])
    model.compile(optimizers.SGD(1e-3), "mse")
    model.fit(x, y)
    first = model.predict(x)
    norm.weights["moving_variance"][:] = 7
    assert bits([model.predict(x)]) == bits([model(x)]) != bits([first])
    assert bits([model.predict_on_batch(x)]) == bits([model(x)])
    norm.epsilon = 0.5
    assert bits([model.predict_on_batch(x)]) == bits([model(x)])
    dropout.rate = 0.0
    draws = dropout.draws
    assert model.fit(x, y, epochs=2).history["loss"]
    assert dropout.draws == draws + 2


def test_large_weights_with_three_slots():
    """Tiles that fetch the next one's weights and slots ahead, to the end of the matrix."""
    x = np.random.default_rng(0).normal(size=(70, 300)).astype("f")
    y = np.random.default_rng(1).integers(10, size=70)
    found = []
    for cls in (optimizers.Adam, eager(optimizers.Adam)):
        fn.set_random_seed(1)
        model = fn.Sequential([Dense(257, "relu"), Dense(10)])
        model.compile(cls(0.01, amsgrad=True), LOSSES["sparse"]())
        model.fit(x, y, batch_size=64, epochs=2)
        found.append(bits([*model.get_weights(), *slots(model)]))
    assert found[0] == found[1]


def test_the_loss_is_the_same_however_the_calls_are_cut(monkeypatch):
    # In float64: sums of a few float32 numbers are exact.
    y = np.arange(333) % 3
    x = np.random.default_rng(0).standard_normal((333, 12))
    found = set()
    for seconds in (1e-9, 1e9):  # a call for each step; one for the whole epoch
        monkeypatch.setattr("fastnn.plan.SECONDS_PER_CALL", seconds)
        fn.set_random_seed(4)
        model = fn.Sequential([Dense(20, "relu", dtype="float64"), Dense(3, dtype="float64")])
        model.compile("adam", LOSSES["sparse"]())
        history = model.fit(x, y, batch_size=8, epochs=3, verbose=0)
        found.add((*history.history["loss"], model.evaluate(x, y)["loss"]))
    assert len(found) == 1


# ---- what clipping by norm is made of ----------------------------------------------------------


@pytest.mark.parametrize("optimizer", [optimizers.Momentum, optimizers.Adam])
@both_dtypes
def test_an_update_from_packed_tiles(dtype, optimizer):
    # 270 rows of 1037 inputs outgrow L2 and are packed; no tile's height divides 1037.
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((540, 1037)).astype(dtype), rng.integers(0, 3, 540)
    found = []
    for cls in (optimizer, eager(optimizer)):
        fn.set_random_seed(2)
        model = fn.Sequential([Dense(300, "tanh", dtype=dtype), Dense(3, dtype=dtype)])
        model.compile(cls(0.01), losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(x, y, batch_size=270, epochs=2, verbose=0)
        found.append(bits([*model.weights, *slots(model)]))
    assert found[0] == found[1]


@pytest.mark.parametrize("clip", [{"clipnorm": 0.5}, {"global_clipnorm": 0.75}], ids=repr)
@pytest.mark.parametrize("large", [np.nan, np.inf, 40.0, 0.001])
@both_dtypes
def test_stored_gradients(dtype, clip, large):
    rng = np.random.default_rng(2)
    core, memory = _dispatch.core(dtype), Memory(dtype)
    optimizer = optimizers.Adam(0.1, weight_decay=0.1, **clip)
    together = "global_clipnorm" in clip
    plain, padded, penalty = [], [], (0.01, 0.02)
    for rows, columns in ((19, 23), (1, 7), (5, 16)):
        w, g = rng.normal(size=(2, rows, columns)).astype(dtype) * np.dtype(dtype).type(0.01)
        plain.append((w, g))
        arrays = [memory.matrix(rows, columns) for _ in range(4)]  # w, g and two slots
        arrays[0][:, :columns], arrays[1][:, :columns] = w, g
        arrays[1][:, columns:] = np.nan  # padding is not looked at
        padded.append(arrays)
    for g in (plain[0][1], padded[0][1]):
        g[3, 4] = large
    plan = core.Plan(4)
    inputs = memory.matrix(4, 1)
    plan.gather(inputs[:, :1], None, None, None)
    plan.output(inputs, 1)
    partials, factors = [], memory.flat(3)
    for (w, _), (pw, pg, *_) in zip(plain, padded, strict=True):
        partials.append(np.empty(len(w)))
        plan.add_penalty(pg, pw, w.shape[1], *penalty)
        plan.square_sum(pg, w.shape[1], partials[-1])
    plan.clip_factor(tuple(partials), together, factors)
    for i, ((w, _), (pw, pg, *states)) in enumerate(zip(plain, padded, strict=True)):
        code = core.UPDATES["adam"]
        plan.update(pg, w.shape[1], pw, tuple(states), code, factors[i : i + 1], (0, 0))
    hyper = optimizer.hyper(np.arange(1)).astype(dtype)
    rest = np.zeros((4, 1), dtype), None, None, None, None, 0, 4, hyper, None
    with np.errstate(invalid="ignore"):
        plan.run(core.TRAIN, *rest, 2)
        for w, g in plain:
            fn.kernels.add_penalty(g, w, *penalty)
        optimizer.update([w for w, _ in plain], [g for _, g in plain])
    for i, ((w, _), (pw, *_)) in enumerate(zip(plain, padded, strict=True)):
        assert bits([w]) == bits([pw[:, : w.shape[1]]])
        assert np.isfinite(w).all() == (np.isfinite(large) or (i > 0 and not together))


def test_a_penalty_of_the_dense_update():
    """The plan's own penalties against the gradient with the penalty in it."""
    rng = np.random.default_rng(3)
    core, memory = _dispatch.core("float32"), Memory("float32")
    x, dz = (rng.normal(size=(4, n)).astype("f") for n in (35, 33))
    kernel, bias = rng.normal(size=(35, 33)).astype("f"), rng.normal(size=33).astype("f")
    arrays = [memory.matrix(4, 35), memory.matrix(4, 33), memory.matrix(35, 33)]
    for padded, y in zip(arrays, (x, dz, kernel), strict=True):
        padded[:, : y.shape[1]] = y
    padded_bias = memory.flat(memory.width(33))
    padded_bias[:33] = bias
    plan = core.Plan(4)
    plan.gather(arrays[0][:, :35], None, None, None)
    plan.output(arrays[0], 35)
    code = core.UPDATES["sgd"]
    plan.dense_update(
        arrays[0], 35, arrays[1], arrays[2], (), padded_bias, (), code, (0.1, 0.2), (0.3, 0.0)
    )
    hyper = optimizers.SGD(0.5).hyper(np.arange(1)).astype("f")
    plan.run(core.TRAIN, x, None, None, None, None, 0, 4, hyper, None, 1)
    dkernel, dbias = fn.kernels.matmul(x, dz, transpose_a=True), fn.kernels.column_sum(dz)
    fn.kernels.add_penalty(dkernel, kernel, 0.1, 0.2)
    fn.kernels.add_penalty(dbias, bias, 0.3, 0.0)
    optimizers.SGD(0.5).update([kernel, bias], [dkernel, dbias])
    assert bits([kernel, bias]) == bits([arrays[2][:, :33], padded_bias[:33]])


@pytest.mark.parametrize("config", [
    {"clipnorm": 0.05},
    {"global_clipnorm": 0.1, "weight_decay": 0.1},
    {"global_clipnorm": 1e9},
], ids=repr)  # fmt: skip
@both_dtypes
def test_clipping_by_norm_gives_the_same_bits_by_any_road(dtype, config):
    x, y = data("mse", 37, 3)
    found = []
    for cls in (optimizers.Adam, eager(optimizers.Adam)):
        fn.set_random_seed(6)
        model = fn.Sequential([Dense(17, "relu", dtype=dtype), Dense(3, dtype=dtype)])
        model.compile(cls(0.05, **config), "mse")
        model.fit(x, y, batch_size=8, epochs=2)
        found.append(bits([*model.get_weights(), *slots(model)]))
    assert found[0] == found[1]


# ---- against NumPy ---------------------------------------------------------------------------

ACTIVATIONS = {
    "linear": (lambda z: z, lambda y: np.ones_like(y)),
    "relu": (lambda z: np.maximum(z, 0), lambda y: (y > 0) * 1.0),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda y: y * (1 - y)),
    "tanh": (np.tanh, lambda y: 1 - y * y),
}


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def loss_gradient(loss, z, y):
    if loss == "sparse":
        return softmax(z) - np.eye(z.shape[1])[y]
    if loss == "one-hot":
        return softmax(z) - y
    if loss == "mse":
        return 2 * (z - y) / z.shape[1]
    return (1 / (1 + np.exp(-z)) - y) / z.shape[1]


def train_in_numpy(weights, activation, loss, optimizer, x, y, sample_weight, batch_size, epochs):
    """Textbook back-propagation in float64; `weights`: kernel, bias, kernel, bias, …"""
    weights = [w.astype(np.float64) for w in weights]
    state = [np.full(w.shape, 0.1 if optimizer == "adagrad" else 0.0) for w in weights]
    config = {"momentum": 0.9} | OPTIMIZERS[optimizer][1]
    rate, momentum = config["learning_rate"], config["momentum"]
    function, derivative = ACTIVATIONS[activation]
    for start in itertools.chain(*[range(0, len(x), batch_size)] * epochs):
        rows = slice(start, start + batch_size)
        outputs = [x[rows]]
        for i in range(0, len(weights), 2):
            z = outputs[-1] @ weights[i] + weights[i + 1]
            outputs.append(z if i == len(weights) - 2 else function(z))
        dz = loss_gradient(loss, outputs[-1], y[rows])
        dz = dz * (sample_weight[rows] / len(dz))[:, None]
        gradients = []
        for i in range(len(weights) - 2, -1, -2):
            gradients[:0] = outputs[i // 2].T @ dz, dz.sum(axis=0)
            dz = dz @ weights[i].T * derivative(outputs[i // 2]) if i else None
        for w, g, s in zip(weights, gradients, state, strict=True):
            if optimizer == "sgd":
                w -= rate * g
            elif optimizer == "adagrad":
                s += g * g
                w -= rate * g / np.sqrt(s + 1e-7)
            else:
                s[...] = momentum * s - rate * g
                w += s if optimizer == "momentum" else momentum * s - rate * g
    return weights


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@both_dtypes
def test_training_against_numpy(dtype, activation, loss, optimizer):
    x, y = data(loss, 41, 4)
    weight = np.linspace(0.5, 1.5, 41)
    if dtype == "float32":
        x = x.astype(np.float32).astype(np.float64)
    fn.set_random_seed(3)
    layers = [Dense(19, activation, dtype=dtype), Dense(7, activation, dtype=dtype)]
    model = fn.Sequential([*layers, Dense(4, dtype=dtype)])
    model.build(FEATURES)
    cls, config = OPTIMIZERS[optimizer]
    model.compile(cls(**config), LOSSES[loss]())
    rest = x, y, weight, 8, 2
    expected = train_in_numpy(model.get_weights(), activation, loss, optimizer, *rest)
    model.fit(x, y, batch_size=8, epochs=2, shuffle=False, sample_weight=weight)
    # 12 steps; each product sums up to 19 numbers of about 1.
    tolerance = 12 * 40 * np.finfo(dtype).eps
    for found, wanted in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)


SMOOTH = functools.partial(losses.CategoricalCrossentropy, label_smoothing=0.1)


@pytest.mark.parametrize("last, loss, y", [
    ("softmax", losses.SparseCategoricalCrossentropy, [0, 2, 1]),
    ("softmax", losses.CategoricalCrossentropy, [[1, 0, 0], [0, 0.5, 0.5], [0, 1, 0]]),
    ("sigmoid", losses.BinaryCrossentropy, [[1, 0, 0], [0, 1, 1], [0.5, 1, 0]]),
    ("sigmoid", losses.BinaryFocalCrossentropy, [[1, 0, 0], [0, 1, 1], [0.5, 1, 0]]),
    ("softmax", SMOOTH, [[1, 0, 0], [0, 0, 1], [0, 1, 0]]),
])  # fmt: skip
def test_probabilities_and_logits_train_alike(last, loss, y):
    # The plan computes a loss on probabilities from the logits before them.
    x = np.random.default_rng(1).normal(size=(3, 4))
    found = {}
    for way in ("fused", "separate", "logits", "eager"):
        fn.set_random_seed(1)
        layers = [Dense(5, "relu", dtype="float64"), Dense(3, dtype="float64")]
        if way == "fused":
            layers[-1].activation = fn.activations.get(last)
        elif way != "logits":
            layers.append(Activation(last, dtype="float64"))
        model = fn.Sequential(layers)
        cls = eager(optimizers.SGD) if way == "eager" else optimizers.SGD
        model.compile(cls(0.5), loss(from_logits=way == "logits"), ["accuracy"])
        history = model.fit(x, y, epochs=3, batch_size=2, shuffle=False).history
        assert bool(model.obstacles()) == (way == "eager")
        found[way] = [*model.get_weights(), history["loss"], history["accuracy"]]
        found[way].append(list(model.evaluate(x, y).values()))
        if way != "logits":
            outputs = model.predict(x)
            assert ((outputs > 0) & (outputs < 1)).all()
    assert bits(found["fused"][:4]) == bits(found["separate"][:4]) == bits(found["logits"][:4])
    assert bits(found["fused"][:4]) == bits(found["eager"][:4])
    for a, b in zip(found["fused"], found["eager"], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("last, loss, y", [
    ("softmax", losses.SparseCategoricalCrossentropy, [0]),
    ("softmax", losses.CategoricalCrossentropy, [[1, 0]]),
    ("sigmoid", losses.BinaryCrossentropy, [[1, 0]]),
])  # fmt: skip
def test_certain_and_wrong_probabilities_learn_on_both_roads(last, loss, y, apart):
    # The logits are -40 and 40, all probabilities within 1e-17 of 0 or 1, the wrong ones: the loss
    # is 80 or 40 and the gradient of the logits -1 and 1, or half of that for a mean of two.
    x, mean_of_two = np.ones((1, 1)), last == "sigmoid"
    for cls in (optimizers.SGD, eager(optimizers.SGD)):
        layers = [Dense(2, None if apart else last, use_bias=False, dtype="float64")]
        model = fn.Sequential(layers + [Activation(last, dtype="float64")] * apart)
        model.compile(cls(1.0), loss())
        model.build(1)
        model.set_weights([[[-40, 40]]])
        tested = model.evaluate(x, y)["loss"]
        trained = model.fit(x, y).history["loss"]
        assert [tested, *trained] == pytest.approx([40 if mean_of_two else 80] * 2)
        step = 0.5 if mean_of_two else 1
        np.testing.assert_allclose(model.get_weights(), [[[step - 40, 40 - step]]], rtol=1e-12)


# ---- what is padded, what is strange ---------------------------------------------------------


DEEP = {
    "activations": lambda n: [Dense(n, "sigmoid"), Dense(n, "tanh"), Softmax(), Dense(n)],
    "normalization": lambda n: [
        *(Dense(n, "sigmoid"), BatchNormalization(), Dense(n), BatchNormalization(), Sigmoid()),
        *(LayerNormalization(), Dropout(0.3, seed=1), PReLU("ones"), Rescaling(2, 1), Dense(n)),
    ],
}


@pytest.mark.parametrize("n", [1, 15, 16, 17, 33])
@pytest.mark.parametrize("network", DEEP)
def test_padding_never_leaks(network, n):
    # Sigmoid makes 1/2 of the zeros beyond a row, infinities make NaN of them.
    rng = np.random.default_rng(n)
    x = rng.normal(size=(n, n))
    x[0, 0] = np.inf
    models = []
    for own in (False, True):
        fn.set_random_seed(4)
        model = fn.Sequential(DEEP[network](n))
        model.compile(
            (eager(optimizers.Momentum) if own else optimizers.Momentum)(0.1), LOSSES["mse"]()
        )
        # Trained on what is infinite, then made finite again by hand and trained on the rest.
        model.build(n)
        start = model.get_weights()
        with np.errstate(invalid="ignore"):
            model.fit(x, np.zeros((n, n)), batch_size=4, shuffle=False)
            strange = model.predict(x)
        model.set_weights(start)
        for velocity in slots(model):
            velocity[...] = 0
        finite = np.nan_to_num(x, posinf=1.0)
        model.fit(finite, np.ones((n, n)), batch_size=4, epochs=2, shuffle=False)
        models.append(bits([strange, model.predict(finite), *model.weights, *slots(model)]))
        assert np.isfinite(model.predict(finite)).all()
    assert models[0] == models[1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_strange_inputs_stay_in_their_row(value):
    model = fn.Sequential([Dense(33, "relu"), Dense(17, "tanh"), Dense(5, "softmax")])
    x = np.random.default_rng(0).normal(size=(40, 7)).astype(np.float32)
    clean = model.predict(x)
    x[20, 3] = value
    found = model.predict(x)
    rest = np.arange(40) != 20
    assert bits([found[rest]]) == bits([clean[rest]])
    with np.errstate(invalid="ignore"):
        assert bits([np.isnan(found[20])]) == bits([np.isnan(model(x)[20])])


# ---- what a user changes behind the plan's back ------------------------------------------------


def test_weights_of_another_shape_raise():
    x, y = data("mse", 8, 3)
    model = make("relu", "float32", "mse", "sgd", 3)
    model.fit(x, y)
    model.layers[1].weights["kernel"] = np.zeros((3, 16), np.float32)
    for call in (lambda: model.predict(x), lambda: model.fit(x, y)):
        with pytest.raises(ValueError, match=r"dense.*: kernel: expected shape \(17, 16\), got"):
            call()
    model.layers[1].weights["kernel"] = np.zeros((17, 16), np.float32)
    model.layers[1].units = 40
    with pytest.raises(ValueError, match=r"expected"):
        model.predict(x)


def test_network_obstacles():
    class Swish:
        def __call__(self, x):
            return x

        def gradient(self, y, dy):
            return dy

    assert Network([Dense(3, Swish())]).obstacles[0].startswith("activation <")
    assert Network([Input(3)]).obstacles == ["no layer with weights"]
    mixed = [Dense(3), Dense(3, dtype="float64")]
    assert Network(mixed).obstacles == ["layers of different dtype"]
    assert not Network([Input(3), Dense(3, dtype="float64")]).obstacles
