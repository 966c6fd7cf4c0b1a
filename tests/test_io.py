"""Models on disk: predictions and resumed training to the bit, parts of one's own, broken files."""

import json
import os
import shutil

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import fastnn as fn
from fastnn import (
    activations,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
    schedules,
)
from fastnn.layers import Activation, Dense, Input, Layer

SPARSE = losses.SparseCategoricalCrossentropy(from_logits=True)


class Scale(Layer):
    def __init__(self, factor, name=None, dtype=None):
        super().__init__(name, dtype)
        self.factor = factor

    def build(self, features):
        self.add_weight("scale", (features,), "ones")

    def forward(self, x, training=False):
        self.x = x
        return self.factor * x * self.weights["scale"]

    def backward(self, dy):
        self.gradients["scale"] = self.factor * (dy * self.x).sum(axis=0)
        return self.factor * dy * self.weights["scale"]


class Fading(Layer):
    """Passes on less and less of its input."""

    lasting = ("passes",)

    def __init__(self, name=None, dtype=None):
        super().__init__(name, dtype)
        self.passes = 0

    def forward(self, x, training=False):
        self.passes += training
        return x / np.float32(1 + self.passes)

    def backward(self, dy):
        return dy / np.float32(1 + self.passes)


class Leaky:
    """y = max(x, x / 8)"""

    def __call__(self, x):
        return np.maximum(x, x / 8)

    def gradient(self, y, dy):
        return np.where(y > 0, dy, dy / 8)

    def __repr__(self):
        return "Leaky()"


class Slope(Leaky):
    def __init__(self, slope):
        self.slope = slope

    def get_config(self):
        return {"slope": self.slope}


class Huber(losses.Loss):
    def __init__(self, width=0.5, name=None):
        super().__init__(name=name)
        self.width = np.float32(width)

    def call(self, y_true, y_pred):
        d = np.abs(y_pred - y_true)
        return np.where(d < self.width, d * d / 2, self.width * (d - self.width / 2)).mean(axis=1)

    def call_gradient(self, y_true, y_pred):
        return np.clip(y_pred - y_true, -self.width, self.width) / y_pred.shape[1]


class Averaged(optimizers.Optimizer):
    def update_array(self, w, g, slots, iteration):
        slots["calls"] = slots.get("calls", 0) + 1
        mean = slots.setdefault("mean", np.zeros(w.shape[::-1]))
        mean += (g.T - mean) / slots["calls"]
        w -= self.learning_rate * mean.T


def small(shape, dtype):
    return np.linspace(-0.4, 0.3, np.prod(shape)).reshape(shape).astype(dtype)


def worst(y_true, y_pred):
    return np.abs(y_pred - y_true).max(axis=1)


def falling(iteration):
    return 0.1 / (1 + iteration)


OWN = {
    part.__name__: part
    for part in (Scale, Fading, Leaky, Slope, Huber, Averaged, small, worst, falling)
}


@pytest.fixture
def x(rng):
    return rng.normal(size=(60, 4)).astype(np.float32)


@pytest.fixture
def y(x):
    return (x[:, :2] > 0).sum(axis=1)  # 0, 1 or 2


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def bits(model):
    optimizer = model.optimizer
    slots = [] if optimizer is None else optimizer.slots
    return (
        [(w.dtype, w.shape, w.tobytes()) for w in model.get_weights()],
        [[(name, np.asarray(s).tobytes()) for name, s in sorted(of.items())] for of in slots],
        optimizer and optimizer.iterations,
    )


def raises(call, kind, message):
    with pytest.raises(kind) as error:
        call()
    assert len(error.value.args) == 1
    assert str(error.value).startswith(message), str(error.value)


# ---- round trips ---------------------------------------------------------------------------------

STACKS = {
    "plain": lambda: [Dense(8, "relu"), Dense(3)],
    "input": lambda: [Input(4), Dense(8, "tanh", use_bias=False), Dense(3, "softmax")],
    "penalties": lambda: [
        Dense(8, "tanh", kernel_regularizer=regularizers.L1L2(1e-3, 1e-2)),
        Dense(3, activity_regularizer="l2"),
    ],
    "activations": lambda: [Dense(8), layers.ReLU(), Dense(5), Activation("sigmoid"), Dense(3)],
    "float64": lambda: [Dense(8, "tanh", dtype="float64"), Dense(3, dtype="float64")],
    "initializers": lambda: [
        Dense(8, kernel_initializer=initializers.RandomNormal(stddev=0.5, seed=3)),
        Dense(3, bias_initializer=initializers.Constant(0.25), name="head"),
    ],
    "drawing": lambda: [
        Dense(8, "relu"),
        layers.BatchNormalization(),
        layers.Dropout(0.3),
        layers.GaussianNoise(0.1, seed=3),
        Dense(3),
    ],
    "own": lambda: [
        Scale(0.5),
        Fading(),
        Dense(8, Leaky(), kernel_initializer=small),
        Dense(3, Slope(0.5)),
    ],
}
OPTIMIZERS = {
    "adam": lambda: optimizers.Adam(schedules.ExponentialDecay(0.01, 10, 0.5), weight_decay=0.01),
    "nadam": lambda: optimizers.Nadam(0.01, global_clipnorm=1.0),
    "sgd": lambda: optimizers.SGD(0.1),
    "momentum": lambda: optimizers.Momentum(0.05, nesterov=True),
    "adagrad": lambda: optimizers.Adagrad(0.1, name="mine"),
    "schedule": lambda: optimizers.Momentum(schedules.CosineDecay(0.1, 30)),
    "lbfgs": lambda: optimizers.LBFGS(5),
    "own": lambda: Averaged(falling),
}


def trained(x, y, stack="plain", optimizer="momentum", epochs=2, extra=("accuracy",)):
    fn.set_random_seed(5)
    model = fn.Sequential(STACKS[stack](), name=stack)
    model.compile(OPTIMIZERS[optimizer](), SPARSE, list(extra))
    if epochs:
        model.fit(x, y, epochs=epochs, batch_size=16)
    return model


@pytest.mark.parametrize("stack", STACKS)
def test_predictions(stack, x, y, path):
    model = trained(x, y, stack)
    model.save(path)
    twin = fn.load_model(path, OWN)
    assert twin.predict(x).tobytes() == model.predict(x).tobytes()
    assert twin.predict(x).dtype == model.predict(x).dtype
    assert bits(twin) == bits(model) and twin.name == stack
    assert twin.get_config() == model.get_config()
    assert twin.get_compile_config() == model.get_compile_config()
    assert twin.evaluate(x, y) == model.evaluate(x, y)
    assert twin.obstacles() == model.obstacles()


@pytest.mark.parametrize("stack", ["plain", "float64", "drawing", "own"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_resumed_training(optimizer, stack, x, y, path):
    whole = trained(x, y, stack, optimizer, epochs=4)
    model = trained(x, y, stack, optimizer, epochs=2)
    model.save(path)
    twin = fn.load_model(path, OWN)
    # Reading draws no random number: the rows' order goes on as if nothing had been.
    twin.fit(x, y, epochs=2, batch_size=16)
    assert bits(twin) == bits(whole)


@pytest.mark.parametrize("optimizer", ["momentum", "own"])
def test_frozen_layers(optimizer, x, y, path):
    def go(model, between):
        model.layers[0].trainable = False
        model.fit(x, y, shuffle=False)
        model = between(model)
        assert [layer.trainable for layer in model.layers] == [False, True]
        model.fit(x, y, shuffle=False)
        model.layers[0].trainable = True  # its slots are as it left them
        model.fit(x, y, shuffle=False)
        return bits(model)

    def on_disk(model):
        model.save(path)
        return fn.load_model(path, OWN)

    expected = go(trained(x, y, optimizer=optimizer), lambda model: model)
    assert go(trained(x, y, optimizer=optimizer), on_disk) == expected


def test_not_trained(path, x):
    model = fn.Sequential([Dense(3, name="a"), Dense(2, name="b")])
    model.save(path)
    twin = fn.load_model(path)
    assert not twin.built and twin.optimizer is None and twin.get_compile_config() is None
    assert [layer.name for layer in twin.layers] == ["a", "b"]
    model.build(4)
    model.save(path)
    twin = fn.load_model(path)
    assert twin.predict(x).tobytes() == model.predict(x).tobytes() and twin.optimizer is None
    model.compile("adagrad")  # for its gradient alone: no loss
    model.save(str(path))
    twin = fn.load_model(str(path))
    assert type(twin.optimizer) is optimizers.Adagrad and twin.loss is None
    fn.Sequential().save(path)
    assert fn.load_model(path).layers == []


def test_every_built_in_part(path):
    """Whatever a constructor makes without arguments, or with these, comes back as it was."""
    arguments = {
        Activation: ("tanh",),
        Dense: (2,),
        Input: (2,),
        layers.Dropout: (0.25,),
        layers.GaussianNoise: (0.5,),
        layers.Rescaling: (0.5, 1.0),
        metrics.OnLabels: (worst, "labels", 0.25),
        metrics.OnOutputs: (worst,),
        schedules.Constant: (0.5,),
        schedules.CosineDecay: (0.5, 9),
        schedules.CosineDecayRestarts: (0.5, 9),
        schedules.ExponentialDecay: (0.5, 9, 0.5),
        schedules.InverseTimeDecay: (0.5, 9, 0.5),
        schedules.OneCycle: (0.5, 9),
        schedules.PiecewiseConstantDecay: ([3], [0.5, 0.25]),
        schedules.PolynomialDecay: (0.5, 9),
    }

    def made(module, base):
        return [
            cls(*arguments.get(cls, ()))
            for cls in (getattr(module, name) for name in module.__all__)
            if isinstance(cls, type) and issubclass(cls, base) and cls is not base
            if cls not in (metrics.MeanMetric, initializers.Initializer)
        ]

    plans = [optimizers.SGD(s) for s in made(schedules, schedules.LearningRateSchedule)]
    inits = [Dense(2, kernel_initializer=i) for i in made(initializers, initializers.Initializer)]
    acts = [
        Dense(2, a) for a in vars(activations).values() if isinstance(a, activations.Activation)
    ]
    adapted = layers.Normalization(mean=np.array([0.1, 2]), variance=[3.0, 0.25])
    stack = [*made(layers, Layer), *inits, *acts, adapted]
    for layer in stack:
        fn.Sequential([layer]).save(path)
        (again,) = fn.load_model(path).layers
        assert type(again) is type(layer) and again.get_config() == layer.get_config()
    model = fn.Sequential([Dense(2)])
    for optimizer in [*made(optimizers, optimizers.Optimizer), *plans]:
        for loss in made(losses, losses.Loss):
            model.compile(optimizer, loss, made(metrics, metrics.Metric))
            model.save(path)
            again = fn.load_model(path, OWN)
            assert again.get_compile_config() == model.get_compile_config()


def test_metrics_keep_their_names(x, y, path):
    model = trained(x, y, extra=["acc", metrics.SparseCategoricalAccuracy("right")])
    model.save(path)
    assert list(fn.load_model(path).evaluate(x, y)) == ["loss", "acc", "right"]
    fn.Sequential([Dense(2)]).save(path)
    model = fn.Sequential([Dense(3)])
    model.compile("sgd", "mse", ["accuracy", worst])
    model.fit(x, x[:, :3])
    model.save(path)
    assert fn.load_model(path, OWN).evaluate(x, x[:, :3]) == model.evaluate(x, x[:, :3])


def test_own_loss(x, path):
    model = fn.Sequential([Dense(4)])
    model.compile("sgd", Huber())
    model.fit(x, x)
    model.save(path)
    twin = fn.load_model(path, OWN)
    assert type(twin.loss) is Huber and twin.loss.width == 0.5
    assert twin.evaluate(x, x) == model.evaluate(x, x)


def test_a_class_of_ones_own_with_a_built_in_name(x, path):
    class Dense(layers.Dense):
        def output_features(self, features):
            return super().output_features(features)

    model = fn.Sequential([Dense(3)])
    model.save(path)
    raises(lambda: fn.load_model(path), ValueError, "layers[0]: expected a class in custom_objects")
    assert type(fn.load_model(path, {"Dense": Dense}).layers[0]) is Dense


def test_an_activation_on_a_built_in_one(x, path):
    class Cut(activations.Activation):
        def __init__(self):
            super().__init__("relu")

        def __call__(self, x, out=None):
            return np.minimum(super().__call__(x), 1)

    model = fn.Sequential([Dense(3, Cut())])
    model.build(4)
    model.save(path)
    expected = "layers[0].activation: expected a class in custom_objects, got 'Cut'"
    raises(lambda: fn.load_model(path), ValueError, expected)
    twin = fn.load_model(path, {"Cut": Cut})
    assert twin.predict(x).tobytes() == model.predict(x).tobytes()


def test_numbers_among_the_slots(x, y, path):
    model = trained(x, y, optimizer="own")
    model.save(path)
    slot = fn.load_model(path, OWN).optimizer.slots[0]["calls"]
    assert isinstance(slot, np.integer) and slot == model.optimizer.iterations


def test_config(x, y):
    model = trained(x, y, "own")
    config = json.loads(json.dumps(model.get_config()))
    assert config["features"] == 4 and config["layers"][2]["config"]["activation"] == {
        "class_name": "Leaky",
        "config": {},
        "custom": True,
    }
    twin = fn.Sequential.from_config(config, OWN)
    assert twin.get_config() == config and twin.built and twin.optimizer is None
    assert not np.shares_memory(twin.weights[0], model.weights[0])


# ---- the file ------------------------------------------------------------------------------------


def test_the_file(x, y, path):
    model = trained(x, y)
    model.save(path)
    arrays = load_file(path)
    assert list(arrays) == [
        *(f"layers/{i}/{name}" for i in range(2) for name in ("bias", "kernel")),
        *(f"optimizer/{i}/{name}/velocity" for i in range(2) for name in ("bias", "kernel")),
    ]
    np.testing.assert_array_equal(arrays["layers/0/kernel"], model.weights[0])
    with safe_open(path, "numpy") as file:
        (text,) = file.metadata().values()
    assert json.loads(text)["format"] == 1 and json.loads(text)["version"] == fn.__version__
    once = path.read_bytes()
    fn.load_model(path).save(path)
    assert path.read_bytes() == once
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert os.listdir(path.parent) == [path.name]


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_link_stays_a_link(path, tmp_path):
    link = tmp_path / "latest"
    link.symlink_to(path)
    fn.Sequential([Dense(2)]).save(link)
    assert link.is_symlink() and path.is_file()


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(step, x, y, path, monkeypatch):
    model = trained(x, y)
    model.save(path)
    before = path.read_bytes()
    model.fit(x, y)

    def full(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="no space left"):
        model.save(path)
    assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]


def test_what_cannot_be_saved(x, path):
    class Stateful(Leaky):
        def __init__(self):
            self.slope = 3

    model = fn.Sequential([Dense(2, Stateful())])
    raises(
        lambda: model.save(path),
        TypeError,
        "layers[0].activation: expected an object with get_config, got one of Stateful",
    )
    model = fn.Sequential([Dense(2)])
    model.compile(optimizers.SGD(lambda i: 0.1), "mse")
    raises(
        lambda: model.save(path),
        TypeError,
        "optimizer.learning_rate: expected a function with a name, got <lambda>",
    )

    class Complex(optimizers.Optimizer):
        def update_array(self, w, g, slots, iteration):
            slots["z"] = np.zeros(w.shape, complex)

    model.compile(Complex(), "mse")
    model.fit(x, x[:, :2])
    raises(
        lambda: model.save(path),
        TypeError,
        "optimizer/0/kernel/z: expected real numbers of at most 64 bits, got complex128",
    )
    raises(lambda: model.save(3), TypeError, "path: expected a str or PathLike, got 3")
    with pytest.raises(FileNotFoundError):
        fn.Sequential([Dense(2)]).save(path.parent / "none" / "model.safetensors")
    assert os.listdir(path.parent) == []


# ---- weights alone -------------------------------------------------------------------------------


def test_weights_alone(x, y, path):
    model = trained(x, y)
    model.save_weights(path)
    assert all(key.startswith("layers/") for key in load_file(path))
    other = trained(x, y, epochs=0)
    other.layers.insert(0, Input(4))  # layers without weights do not count
    other.build(4)
    before = other.optimizer.iterations
    other.load_weights(path)
    assert other.predict(x).tobytes() == model.predict(x).tobytes()
    assert other.optimizer.iterations == before
    model.save(path)  # a whole model will do
    third = trained(x, y, epochs=1)
    third.load_weights(path)
    assert third.predict(x).tobytes() == model.predict(x).tobytes()
    raises(
        lambda: fn.Sequential([Dense(2)]).save_weights(path),
        ValueError,
        "save_weights: expected a built model",
    )
    raises(
        lambda: fn.Sequential([Dense(2)]).load_weights(path),
        ValueError,
        "load_weights: expected a built model",
    )


def test_weights_of_another_type(x, y, path):
    model, wide = trained(x, y), trained(x, y, "float64", epochs=0)
    model.layers[0].activation = activations.tanh
    wide.build(4)
    model.save_weights(path)
    wide.load_weights(path)
    assert [w.dtype for w in wide.weights] == [np.float64] * 4
    for a, b in zip(wide.weights, model.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    wide.weights[0][...] = 1 / 3
    wide.save_weights(path)
    model.load_weights(path)
    assert (model.weights[0] == np.float32(1 / 3)).all()


@pytest.mark.parametrize(
    "stack, message",
    [
        ([Dense(8), Dense(3), Dense(3)], "layers/2/kernel: expected such weights, got none"),
        ([Dense(8)], "layers/1/bias: expected no such weights, got some"),
        ([Dense(8, use_bias=False), Dense(3)], "layers/0/bias: expected no such weights, got some"),
        ([Dense(8), Dense(4)], "layers/1/kernel: expected shape (8, 4), got (8, 3)"),
    ],
)
def test_weights_of_another_shape(stack, message, x, y, path):
    trained(x, y).save_weights(path)
    model = fn.Sequential(stack)
    model.build(4)
    before = bits(model)
    raises(lambda: model.load_weights(path), ValueError, f"{path}: {message}")
    assert bits(model) == before


# ---- broken files --------------------------------------------------------------------------------


def test_files_that_are_none(x, y, path, tmp_path):
    model = trained(x, y)
    before = bits(model)
    model.save(path)
    whole = path.read_bytes()
    readers = (fn.load_model, model.load_weights)
    for content in (whole[:-1], whole[:100], whole[:4], b"", b"\xff" * 200, b"PK\x03\x04" * 50):
        path.write_bytes(content)
        for read in readers:
            expected = f"{path}: expected a whole safetensors file, got: "
            raises(lambda read=read: read(path), ValueError, expected)
    save_file({"a": np.ones(3)}, path)
    for read in readers:
        expected = f"{path}: expected a file saved by fastnn, got one without its metadata"
        raises(lambda read=read: read(path), ValueError, expected)
    for read in readers:
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none")
        with pytest.raises(IsADirectoryError):
            read(tmp_path)
        raises(
            lambda read=read: read(None), TypeError, "path: expected a str or PathLike, got None"
        )
    assert bits(model) == before


def rewrite(path, change):
    """Put another header into a file."""
    with safe_open(path, "numpy") as file:
        header = json.loads(file.metadata()["fastnn"])
    change(header)
    save_file(load_file(path), path, {"fastnn": json.dumps(header)})


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda h: h.update(format=9, version="7.0"),
            f"{{path}}: expected format 1 or older, got 9 (saved by fastnn 7.0, this is "
            f"{fn.__version__})",
        ),
        (lambda h: h.pop("format"), "{path}: expected a file saved by fastnn"),
        (lambda h: h.update(format="new"), "{path}: expected a file saved by fastnn"),
        (
            lambda h: h["model"]["layers"][0].update(class_name="Dens"),
            "layers[0]: expected a class of fastnn.layers, got 'Dens' (did you mean 'Dense'?)",
        ),
        (
            lambda h: h["model"]["layers"][0]["config"].update(units=9),
            "{path}: layers/0/kernel: expected shape (4, 9), got (4, 8)",
        ),
        (
            lambda h: h["model"]["layers"][0]["config"].update(units=0),
            "layers[0] (Dense): units: expected a positive integer, got 0",
        ),
        (
            lambda h: h["model"]["layers"][0]["config"].update(activation="rely"),
            "layers[0] (Dense): activation: expected one of ",
        ),
        (
            lambda h: h["model"]["layers"][0]["config"].update(spin=1),
            "layers[0] (Dense): ",
        ),
        (
            lambda h: h["compile"]["optimizer"].update(class_name="Dense"),
            "optimizer: expected a class of fastnn.optimizers, got 'Dense'",
        ),
        (
            lambda h: h.pop("iterations"),
            "{path}: expected a header as save writes it, got one with",
        ),
        (lambda h: h.update(model=3), "{path}: expected a header as save writes it, got one with"),
        (lambda h: h.pop("model"), "{path}: expected a model saved by save, got weights alone"),
    ],
)
def test_headers(change, message, x, y, path):
    trained(x, y).save(path)
    rewrite(path, change)
    raises(lambda: fn.load_model(path), ValueError, message.format(path=path))


HEADER = "{path}: expected a header as save writes it, got one with"


@pytest.mark.parametrize(
    "change, message",
    [
        # What would be found only by the next fit, or never.
        (
            lambda h: h.update(iterations=-1),
            "{path}: iterations: expected a non-negative integer, got -1",
        ),
        (lambda h: h.update(iterations=10**30), "{path}: iterations: expected an integer below"),
        (lambda h: h.update(iterations="7"), HEADER),
        (
            lambda h: h["lasting"][2].update(key=-1),
            "{path}: drop.key: expected a non-negative integer, got -1",
        ),
        (
            lambda h: h["lasting"][2].update(draws=1 << 64),
            "{path}: drop.draws: expected an integer below 2**64, got",
        ),
        (lambda h: h["lasting"].pop(), "{path}: expected what lasts of 4 layers, got that of 3"),
        # Numbers that would fill the memory, though the file is small.
        (
            lambda h: h["model"]["layers"][1]["config"].update(units=10**9),
            "{path}: layers[1]: expected at most 67 weights, got 4 * 1000000000",
        ),
        (
            lambda h: h["model"]["layers"][0]["config"].update(shape=[10**4, 10**5]),
            "{path}: layers[1]: expected at most 67 weights, got 1000000000 * 8",
        ),
        (
            lambda h: (
                h["model"]["layers"][1].update(class_name="PReLU", config={})
                or h["model"]["layers"][0]["config"].update(shape=10**10)
            ),
            "{path}: layers[1]: expected at most 67 weights, got 10000000000 * 1",
        ),
        (lambda h: h["model"]["layers"][1]["config"].update(input_dim=10**9), HEADER),
        # What is nested deeper than Python goes.
        (lambda h: h["model"].update(layers=nested(300)), HEADER),
    ],
)
def test_hostile_headers(change, message, x, y, path):
    fn.set_random_seed(0)
    stack = [Input(4), Dense(8, "relu"), layers.Dropout(0.1, name="drop"), Dense(3)]
    model = fn.Sequential(stack)
    model.compile(optimizers.Adam(), SPARSE)
    model.fit(x, y)
    model.save(path)
    rewrite(path, change)
    raises(lambda: fn.load_model(path), ValueError, message.format(path=path))


def nested(depth):
    value = {"class_name": "Dense", "config": {}, "trainable": True}
    for _ in range(depth):
        value = {"class_name": "Dense", "config": {"units": value}, "trainable": True}
    return [value]


@pytest.mark.parametrize("text", ["[" * 10**5 + "]" * 10**5, '{"format": 1e999}', "null", "3", ""])
def test_metadata_that_is_none(text, x, y, path):
    trained(x, y).save(path)
    save_file(load_file(path), path, {"fastnn": text})
    expected = f"{path}: expected a file saved by fastnn, got one without its metadata"
    raises(lambda: fn.load_model(path), ValueError, expected)


@pytest.mark.parametrize(
    "optimizer, change, message",
    [
        (
            "adam",
            lambda a: a.update({"optimizer/0/kernel/momentum": np.ones(4, np.float32)}),
            "dense/kernel/momentum: expected shape (4, 8), got (4,)",
        ),
        (
            "adam",
            lambda a: a.pop("optimizer/1/bias/velocity"),
            "head/bias: expected the slots momentum, velocity, got momentum",
        ),
        (
            "sgd",
            lambda a: a.update({"optimizer/0/kernel/momentum": np.ones((4, 8), np.float32)}),
            "dense/kernel: expected the slots none, got momentum",
        ),
        (
            "lbfgs",
            lambda a: a.update({"optimizer/0/kernel/steps": np.ones((4, 8))}),
            "dense/kernel/steps: expected shape (4, 4, 8), got (4, 8)",
        ),
        *(
            (
                "momentum",
                lambda a, key=key: a.update({key: np.ones(3)}),
                f"{key}: expected a slot of a weight, got none",
            )
            for key in (
                "optimizer/-1/kernel/a",
                "optimizer/2/kernel/a",
                "optimizer/a",
                "optimizer/",
            )
        ),
    ],
)
def test_slots_that_do_not_fit(optimizer, change, message, x, y, path):
    fn.set_random_seed(0)
    model = fn.Sequential([Dense(8, "relu", name="dense"), Dense(3, name="head")])
    model.compile(OPTIMIZERS[optimizer](), SPARSE)
    model.fit(x, y)
    model.save(path)
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    arrays = load_file(path)
    change(arrays)
    save_file(arrays, path, metadata)
    raises(lambda: fn.load_model(path), ValueError, f"{path}: {message}")


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3"])
def test_types_that_numpy_lacks(kind, x, y, path):
    model = trained(x, y)
    model.save(path)
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    entry = header["layers/0/bias"]
    entry["dtype"], entry["shape"] = kind, [32 if kind == "F8_E4M3" else 16]
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])
    for read in (fn.load_model, model.load_weights):
        expected = f"{path}: layers/0/bias: expected a type that NumPy has, got {kind}"
        raises(lambda read=read: read(path), ValueError, expected)


def test_damaged_bytes(x, y, path):
    """Wherever a file is cut or changed, it is read or refused, and never crashes."""
    model = trained(x, y, "drawing", "adam")
    model.save(path)
    whole = path.read_bytes()
    size = 8 + int.from_bytes(whole[:8], "little")
    random = np.random.default_rng(0)
    for i in range(400):
        content = bytearray(whole)
        if i % 4 == 0:
            del content[random.integers(len(content)) :]
        else:
            content[random.integers(size)] = random.integers(256)
        path.write_bytes(content)
        try:
            twin = fn.load_model(path)
        except ValueError as error:
            assert len(error.args) == 1
        else:
            assert twin.predict(x).shape == (60, 3)


def test_unknown_parts_of_ones_own(x, y, path):
    trained(x, y, "own", "own").save(path)
    for missing, message in {
        "Scale": "layers[0]: expected a class in custom_objects, got 'Scale'",
        "Leaky": "layers[2].activation: expected a class in custom_objects, got 'Leaky'",
        "small": "layers[2].kernel_initializer: expected a function in custom_objects, got 'small'",
        "falling": "optimizer.learning_rate: expected a function in custom_objects, got 'falling'",
    }.items():
        known = {name: part for name, part in OWN.items() if name != missing}
        raises(lambda known=known: fn.load_model(path, known), ValueError, message)
    raises(
        lambda: fn.load_model(path, [Scale]),
        TypeError,
        "custom_objects: expected a mapping of names, got list",
    )
    near = {**OWN, "Scales": Scale}
    del near["Scale"]
    with pytest.raises(ValueError, match="did you mean 'Scales'"):
        fn.load_model(path, near)
    raises(
        lambda: fn.load_model(path, OWN | {"Leaky": small}),
        ValueError,
        "layers[2].activation: expected a class in custom_objects for 'Leaky', got <function small",
    )


def test_reading_draws_no_random_number(x, y, path):
    trained(x, y).save(path)
    fn.set_random_seed(1)
    expected = fn._random.generator().random(3).tolist()
    fn.set_random_seed(1)
    fn.load_model(path)
    shutil.copy(path, path.with_suffix(".copy"))
    assert fn._random.generator().random(3).tolist() == expected
