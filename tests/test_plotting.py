"""Pictures: the numbers behind what is drawn, and that an error draws nothing."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import fastnn as fn
from fastnn import activations, callbacks, layers, losses, plotting

pytest.importorskip("matplotlib")
from matplotlib import colormaps, pyplot  # noqa: E402
from matplotlib.colors import to_rgb  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402


@pytest.fixture
def ax():
    """Axes that pyplot does not know."""
    return Figure().subplots()


@pytest.fixture(autouse=True)
def no_figure_left():
    """Only a test that asks for a new figure may make one, and closes it."""
    pyplot.switch_backend("Agg")
    settings = dict(pyplot.rcParams)
    yield
    assert pyplot.get_fignums() == []
    assert dict(pyplot.rcParams) == settings


def labels_of(legend):
    return [text.get_text() for text in legend.get_texts()]


def lines_of(*axes):
    """The labelled lines by label."""
    lines = [line for ax in axes for line in ax.lines if not line.get_label().startswith("_")]
    return {line.get_label(): line for line in lines}


def image_of(ax, place=0):
    return np.ma.filled(ax.images[place].get_array(), np.nan)


def draw(ax):
    """Render, which finds what matplotlib only notices then."""
    ax.figure.savefig(io.BytesIO(), format="png")


# ---- history ---------------------------------------------------------------------------------

LOGS = {
    "loss": [2.0, 1.0, 0.5],
    "accuracy": [0.25, 0.5, 0.75],
    "val_loss": [2.5, 1.5, 1.25],
    "val_accuracy": [0.125, 0.5, 0.625],
}


def test_history(ax):
    assert plotting.history(LOGS, ax=ax) is ax
    (right,) = (other for other in ax.figure.axes if other is not ax)
    assert set(lines_of(ax)) == {"loss", "val_loss"}
    assert set(lines_of(right)) == {"accuracy", "val_accuracy"}
    lines = lines_of(ax, right)
    for name, values in LOGS.items():
        np.testing.assert_array_equal(lines[name].get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(lines[name].get_ydata(), values)
        assert lines[name].get_linestyle() == ("--" if name.startswith("val_") else "-")
    assert lines["loss"].get_color() == lines["val_loss"].get_color()
    assert lines["loss"].get_color() != lines["accuracy"].get_color()
    assert (ax.get_xlabel(), ax.get_ylabel(), right.get_ylabel()) == ("epoch", "loss", "accuracy")
    assert labels_of(ax.get_legend()) == ["loss", "val_loss", "accuracy", "val_accuracy"]
    draw(ax)
    assert all(tick == round(tick) for tick in ax.get_xticks())


@pytest.mark.parametrize("metrics", [["accuracy"], "accuracy"])
def test_history_of_chosen_metrics(ax, metrics):
    plotting.history(LOGS, metrics, ax)
    assert ax.figure.axes == [ax]
    assert list(lines_of(ax)) == ["accuracy", "val_accuracy"]
    assert ax.get_ylabel() == "accuracy"


def test_history_of_a_training(ax, rng):
    model = fn.Sequential([layers.Dense(1)])
    model.compile("sgd", "mean_squared_error")
    x = rng.normal(size=(8, 3))
    result = model.fit(x, x[:, 0], epochs=3, initial_epoch=1, verbose=0)
    line = lines_of(plotting.history(result, ax=ax))["loss"]
    np.testing.assert_array_equal(line.get_xdata(), [2, 3])
    np.testing.assert_array_equal(line.get_ydata(), result.history["loss"])


@pytest.mark.parametrize("freq, epochs", [(2, [4, 6]), ([3, 6, 7], [3, 6, 7]), (7, [7])])
def test_history_of_a_validation_now_and_then(ax, rng, freq, epochs):
    model = fn.Sequential([layers.Dense(1)])
    model.compile("sgd", "mean_squared_error", ["mae"])
    x = rng.normal(size=(8, 3))
    result = model.fit(
        x, x[:, 0], epochs=7, initial_epoch=2, validation_split=0.5, validation_freq=freq
    )
    assert len(result.history["val_loss"]) == len(epochs)
    plotting.history(result, ax=ax)
    lines = lines_of(*ax.figure.axes)
    for name in ("loss", "mae"):
        np.testing.assert_array_equal(lines[name].get_xdata(), [3, 4, 5, 6, 7])
        np.testing.assert_array_equal(lines[f"val_{name}"].get_xdata(), epochs)
        np.testing.assert_array_equal(
            lines[f"val_{name}"].get_ydata(), result.history[f"val_{name}"]
        )


def test_history_leaves_out_what_is_no_number(ax):
    logs = {"loss": [1.0, np.nan], "confusion_matrix": [np.eye(2), np.eye(2)]}
    plotting.history(logs, ax=ax)
    assert list(lines_of(ax)) == ["loss"]


def test_history_leaves_room_for_the_curves(ax):
    """A legend wider than its axes would squeeze them."""
    names = ["loss", "accuracy", "sparse_top_k_categorical_accuracy"]
    logs = {prefix + name: [1.0, 2.0] for name in names for prefix in ("", "val_")}
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    ax = plotting.history(logs, ax=figure.subplots())
    draw(ax)
    legend = ax.get_legend().get_window_extent()
    assert legend.x0 >= 0 and legend.x1 <= figure.bbox.width and legend.y1 <= figure.bbox.height
    assert ax.get_window_extent().width > 0.6 * figure.bbox.width
    few = plotting.history(LOGS, ax=Figure(layout="constrained").subplots())
    draw(few)
    assert len({text.get_window_extent().y0 for text in few.get_legend().get_texts()}) == 1


def test_history_of_a_training_that_diverged_is_seen(ax):
    plotting.history({"loss": [1.0, np.inf, np.nan], "val_loss": [1.0, 2.0, np.nan]}, ax=ax)
    lines = lines_of(ax)
    assert lines["loss"].get_marker() == "o" and lines["val_loss"].get_marker() == ""


def test_history_draws_a_metric_once(ax):
    plotting.history(LOGS, ["loss", "loss"], ax)
    assert labels_of(ax.get_legend()) == ["loss", "val_loss"]


def test_history_of_one_epoch_is_seen(ax):
    plotting.history({"loss": [1.0]}, ax=ax)
    assert lines_of(ax)["loss"].get_marker() == "o"


# ---- function --------------------------------------------------------------------------------


@pytest.mark.parametrize("f", ["sigmoid", activations.sigmoid])
def test_function_by_name(ax, f):
    assert plotting.function(f, interval=(-2, 3), ax=ax) is ax
    lines = lines_of(ax)
    x = lines["sigmoid"].get_xdata()
    assert (x[0], x[-1]) == (-2, 3) == ax.get_xlim() and len(x) > 100
    y = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(lines["sigmoid"].get_ydata(), y, rtol=0, atol=1e-15)
    slope = lines["derivative of sigmoid"]
    np.testing.assert_array_equal(slope.get_xdata(), x)
    np.testing.assert_allclose(slope.get_ydata(), y * (1 - y), rtol=0, atol=1e-15)
    assert labels_of(ax.get_legend()) == ["sigmoid", "derivative of sigmoid"]


def test_function_without_derivative(ax):
    plotting.function(np.sin, ax=ax)
    assert list(lines_of(ax)) == ["sin"]


def test_function_with_derivative(ax):
    plotting.function(lambda x: x**2, lambda x: 2 * x, ax=ax)
    lines = lines_of(ax)
    x = lines["f"].get_xdata()
    np.testing.assert_array_equal(lines["f"].get_ydata(), x**2)
    np.testing.assert_array_equal(lines["derivative of f"].get_ydata(), 2 * x)


def test_function_with_a_gradient_from_its_input(ax):
    class Square:
        from_input = True

        def __call__(self, x):
            return x * x

        def gradient(self, y, dy, x=None):
            return 2 * x * dy

    plotting.function(Square(), ax=ax)
    line = lines_of(ax)["derivative of Square"]
    np.testing.assert_array_equal(line.get_ydata(), 2 * line.get_xdata())


# ---- gradient_flow ---------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [dict, lambda norms: SimpleNamespace(history=norms)])
def test_gradient_flow(ax, wrap):
    norms = {"dense": [1.0, 0.5, 0.25], "dense_1": [10.0, 0.0]}
    assert plotting.gradient_flow(wrap(norms), ax) is ax
    lines = lines_of(ax)
    assert list(lines) == list(norms) == labels_of(ax.get_legend())
    for name, values in norms.items():
        np.testing.assert_array_equal(lines[name].get_xdata(), np.arange(len(values)) + 1)
        np.testing.assert_array_equal(lines[name].get_ydata(), values)
    assert ax.get_yscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "norm of the gradient")
    assert len({tuple(line.get_color()) for line in lines.values()}) == 2
    draw(ax)


def test_gradient_flow_of_many_layers_names_some(ax):
    norms = {f"dense {i}": [1.0, 2.0] for i in range(60)}
    plotting.gradient_flow(norms, ax)
    names = labels_of(ax.get_legend())
    assert len(names) == 12 and names[0] == "dense 0" and names[-1] == "dense 59"
    assert len([line for line in ax.lines if len(line.get_xdata()) == 2]) == 60
    few = plotting.gradient_flow(dict(list(norms.items())[:9]), Figure().subplots())
    assert labels_of(few.get_legend()) == list(norms)[:9]


def test_gradient_flow_of_zeros(ax):
    # A logarithmic axis has no place for them.
    plotting.gradient_flow({"dense": [0.0, 0.0]}, ax)
    assert ax.get_yscale() == "linear"
    draw(ax)


# ---- contour ---------------------------------------------------------------------------------


def bowl(x, y):
    return x**2 + 10 * y**2


def test_contour(ax):
    paths = {"sgd": [[1.0, 0.5], [0.5, 0.25], [0.0, 0.0]], "momentum": [[1, 0.5], [-1, -0.5]]}
    assert plotting.contour(bowl, (-2, 2), (-1, 1), paths, levels=12, ax=ax) is ax
    (shades,) = ax.collections
    bounds = shades.levels
    assert len(bounds) == 13
    assert (bounds[0], bounds[-1]) == (0, 14)
    # Every shade covers a twelfth of the plane.
    x, y = np.meshgrid(np.linspace(-2, 2, 801), np.linspace(-1, 1, 801))
    covered = np.histogram(bowl(x, y), bounds)[0] / x.size
    np.testing.assert_allclose(covered, 1 / 12, rtol=0, atol=0.01)
    # The first and darkest shade is where the function is least.
    assert (np.diff(shades.get_facecolor()[:, 0]) > 0).all()
    inside = shades.get_paths()[0]
    assert inside.contains_point((0.1, 0.05)) and not inside.contains_point((1.9, 0.9))
    lines = lines_of(ax)
    assert list(lines) == ["sgd", "momentum"] == labels_of(ax.get_legend())
    for name, path in paths.items():
        np.testing.assert_array_equal(lines[name].get_xydata(), path)
    stars = [line for line in ax.lines if line.get_marker() == "*"]
    np.testing.assert_array_equal(stars[0].get_xydata(), [[0.0, 0.0]])
    np.testing.assert_array_equal(stars[1].get_xydata(), [[-1, -0.5]])
    assert (ax.get_xlim(), ax.get_ylim()) == ((-2, 2), (-1, 1))
    draw(ax)


def test_contour_without_paths(ax):
    plotting.contour(bowl, (-2, 2), (-1, 1), ax=ax)
    assert not ax.lines and ax.get_legend() is None


@pytest.mark.parametrize(
    "f", [lambda x, y: np.where(x > 0.99, 1.0, 0.0), lambda x, y: np.where(x > 0, 3.0, 2.0)]
)
def test_contour_of_two_values_shows_both(f, ax):
    plotting.contour(f, (-1, 1), (-1, 1), ax=ax)
    picture = io.BytesIO()
    ax.figure.savefig(picture, format="png", dpi=ax.figure.dpi)
    picture.seek(0)
    pixels = pyplot.imread(picture)[::-1, :, 0]
    left, right = ax.transData.transform([(-0.5, 0.0), (0.995, 0.0)]).round().astype(int)
    assert pixels[left[1], left[0]] < pixels[right[1], right[0]]  # the lower is the darker


def test_contour_tells_twelve_paths_apart(ax):
    paths = {f"optimizer {i}": [[0.0, 0.0], [0.1 * i, 0.0]] for i in range(12)}
    plotting.contour(bowl, (-1, 1), (-1, 1), paths, ax=ax)
    assert len({to_rgb(line.get_color()) for line in lines_of(ax).values()}) == 12


def test_contour_of_a_path_that_diverged(ax):
    path = [[0.0, 0.0], [1e200, -1e300], [np.inf, np.nan]]
    plotting.contour(bowl, (-2, 2), (-1, 1), {"sgd": path}, ax=ax)
    assert ax.get_xlim() == (-2, 2)
    draw(ax)


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_contour_with_holes(ax, hole):
    def half(x, y):
        return np.where(x > 0, x + y, hole)

    plotting.contour(half, (-1, 1), (-1, 1), ax=ax)
    levels = ax.collections[0].levels
    assert (levels[0], levels[-1]) == (pytest.approx(-0.99), 2)


# ---- decision_boundary -----------------------------------------------------------------------


class Halves:
    """Class 1 right of 0, by a score of each kind."""

    def __init__(self, kind, from_logits=False):
        self.kind = kind
        self.loss = SimpleNamespace(from_logits=from_logits)

    def predict(self, x):
        right = x[:, 0]
        if self.kind == "labels":
            return (right > 0).astype(int)
        if self.kind == "scores":
            return np.stack([-right, right, np.full_like(right, -9)], axis=1)
        return right[:, None] + (0 if self.loss.from_logits else 0.5)


X = np.array([[-1.0, 0.0], [3.0, 1.0], [1.0, 2.0]])


@pytest.mark.parametrize(
    "model, classes",
    [
        (Halves("labels"), 2),
        (Halves("scores"), 3),
        (Halves("single"), 2),
        (Halves("single", from_logits=True), 2),
    ],
)
def test_decision_boundary(ax, model, classes):
    assert plotting.decision_boundary(model, X, [0, 1, 1], ax) is ax
    left, right, bottom, top = ax.images[0].get_extent()
    assert (left, right) == pytest.approx((-1.32, 3.32))
    assert (bottom, top) == pytest.approx((-0.16, 2.16))
    regions = image_of(ax)
    wide = regions.shape[1]
    middles = left + (right - left) * (np.arange(wide) + 0.5) / wide
    np.testing.assert_array_equal(regions, np.broadcast_to(middles > 0, regions.shape))
    colors = ax.images[0].cmap(ax.images[0].norm(np.arange(classes)))[:, :3]
    np.testing.assert_allclose(colors, [to_rgb(f"C{label}") for label in range(classes)])
    # The data in the colours of their classes.
    for label, points in enumerate([X[:1], X[1:]]):
        np.testing.assert_array_equal(ax.collections[label].get_offsets(), points)
        np.testing.assert_allclose(ax.collections[label].get_facecolor()[0, :3], colors[label])
    assert labels_of(ax.get_legend()) == ["class 0", "class 1"]


def test_decision_boundary_names_what_it_paints(ax):
    """A class that no point is of, and colours of many classes."""
    plotting.decision_boundary(Halves("labels"), X, [0, 0, 0], ax)
    assert labels_of(ax.get_legend()) == ["class 0", "class 1"]
    many = SimpleNamespace(predict=lambda x: np.arange(len(x)) % 12)
    other = plotting.decision_boundary(many, X, [0, 10, 11], Figure().subplots())
    assert len(labels_of(other.get_legend())) == 12
    assert len(set(map(tuple, other.images[0].cmap.colors))) == 12


def test_decision_boundary_of_one_point(ax):
    plotting.decision_boundary(Halves("labels"), [[2.0, 3.0]], [1], ax)
    assert ax.images[0].get_extent() == [1, 3, 2, 4]
    draw(ax)


def test_decision_boundary_knows_up_from_down(ax):
    class Upper:
        def predict(self, x):
            return (x[:, 1] > 1).astype(int)

    plotting.decision_boundary(Upper(), X, [0, 0, 1], ax)
    regions = image_of(ax)
    assert ax.images[0].origin == "lower"
    assert (regions[0] == 0).all() and (regions[-1] == 1).all()


def test_decision_boundary_of_a_network(ax, rng):
    x = rng.normal(size=(200, 2))
    y = (x.sum(axis=1) > 0).astype(int)
    model = fn.Sequential([layers.Dense(1)])
    model.compile("sgd", losses.BinaryCrossentropy(from_logits=True))
    model.fit(x, y, epochs=3, verbose=0)
    plotting.decision_boundary(model, x, y, ax)
    left, right, bottom, top = ax.images[0].get_extent()
    regions = image_of(ax)
    side = len(regions)
    middles = (np.arange(side) + 0.5) / side
    columns, rows = left + (right - left) * middles, bottom + (top - bottom) * middles
    points = np.array([(column, row) for row in rows for column in columns])
    expected = model.predict(points).reshape(side, side) > 0
    assert 0.05 < expected.mean() < 0.95
    # A pixel in the border may be rounded to the other side.
    assert (regions != expected).sum() < 5


# ---- confusion_matrix ------------------------------------------------------------------------

COUNTS = np.array([[6, 2, 0], [0, 1, 0], [0, 0, 0]])


def pairs():
    true, predicted = np.repeat(np.indices((3, 3)).reshape(2, -1), COUNTS.ravel(), axis=1)
    return true, predicted


@pytest.mark.parametrize(
    "matrix",
    [COUNTS, COUNTS.tolist(), pairs(), (pairs()[0], np.eye(3)[pairs()[1]])],
    ids=["array", "list", "labels", "scores"],
)
def test_confusion_matrix(ax, matrix):
    names = ["cat", "dog", "horse"]
    assert plotting.confusion_matrix(matrix, names, ax) is ax
    np.testing.assert_array_equal(image_of(ax), [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]])
    assert ax.images[0].get_clim() == (0, 1)
    written = {text.get_position(): text.get_text() for text in ax.texts}
    assert written == {(0, 0): "6", (1, 0): "2", (1, 1): "1"}  # column, row
    assert [text.get_color() for text in ax.texts] == ["white", "black", "white"]
    for axis in (ax.xaxis, ax.yaxis):
        assert [text.get_text() for text in axis.get_ticklabels()] == names
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "true")


def test_confusion_matrix_is_readable(ax):
    plotting.confusion_matrix([[1, 9], [4, 6]], ax=ax)
    assert [text.get_color() for text in ax.texts] == ["black", "white", "black", "white"]


def test_confusion_matrix_of_large_counts(ax):
    plotting.confusion_matrix([[1234567, 23456789], [1, 0]], ax=ax)
    assert [text.get_text() for text in ax.texts] == ["1234567", "23456789", "1"]


@pytest.mark.parametrize("classes, written", [(10, True), (25, True), (60, False)])
def test_confusion_matrix_of_many_classes(classes, written):
    ax = plotting.confusion_matrix(
        np.full((classes, classes), 12345), ax=Figure((6.4, 5.6), layout="constrained").subplots()
    )
    draw(ax)
    assert len(ax.texts) == classes**2 * written
    pixels = ax.get_window_extent().width / classes
    assert all(text.get_window_extent().width < pixels for text in ax.texts)
    names = [name.get_window_extent() for name in ax.get_yticklabels()]
    assert all(a.y0 >= b.y1 - 1 for a, b in zip(names, names[1:], strict=False))


def test_confusion_matrix_of_labels_alone(ax):
    plotting.confusion_matrix(([0, 2], [0, 1]), ax=ax)
    np.testing.assert_array_equal(image_of(ax), [[1, 0, 0], [0, 0, 0], [0, 1, 0]])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "1", "2"]


def test_confusion_matrix_of_weighted_counts(ax):
    plotting.confusion_matrix([[1.5, 0.5], [0.0, 0.25]], ax=ax)
    assert [text.get_text() for text in ax.texts] == ["1.5", "0.5", "0.25"]


# ---- saliency and weights --------------------------------------------------------------------


def tiles_of(sheet, n, height, width):
    """The tiles of a mosaic, in order; between them there must be nothing."""
    rows, columns = (sheet.shape[0] + 1) // (height + 1), (sheet.shape[1] + 1) // (width + 1)
    padded = np.pad(sheet, (0, 1), constant_values=np.nan)
    cells = padded.reshape(rows, height + 1, columns, width + 1).swapaxes(1, 2)
    cells = cells.reshape(-1, height + 1, width + 1)
    assert np.isnan(cells[:, -1]).all() and np.isnan(cells[:, :, -1]).all()
    assert np.isnan(cells[n:]).all() and rows * columns - n < columns <= n
    return cells[:n, :-1, :-1]


@pytest.mark.parametrize(
    "n, height, width", [(1, 3, 3), (1, 5, 1), (2, 2, 3), (5, 2, 2), (7, 4, 1)]
)
def test_saliency(ax, n, height, width):
    maps = np.arange(n * height * width, dtype=float).reshape(n, -1)
    shape = None if height == width else (height, width)
    assert plotting.saliency(maps, shape, ax=ax) is ax
    tiles = tiles_of(image_of(ax), n, height, width)
    np.testing.assert_array_equal(tiles.reshape(n, -1), maps)
    assert ax.images[0].get_clim() == (0, maps.max())
    assert not ax.axison


def test_saliency_of_one_image(ax):
    plotting.saliency([1.0, -4.0, 3.0, 2.0], ax=ax)
    np.testing.assert_array_equal(image_of(ax), [[1, -4], [3, 2]])
    # Of both signs: 0 is white.
    assert ax.images[0].get_clim() == (-4, 4)
    assert min(ax.images[0].to_rgba(0.0)[:3]) > 0.95


def test_saliency_over_the_image(ax):
    maps, images = np.eye(4), np.arange(16.0).reshape(4, 4)
    plotting.saliency(maps, images=images, ax=ax)
    below, above = (tiles_of(image_of(ax, i), 4, 2, 2).reshape(4, 4) for i in range(2))
    np.testing.assert_array_equal(below, images)
    np.testing.assert_array_equal(above, maps)
    assert ax.images[1].get_alpha() < 1


def test_saliency_of_nothing(ax):
    plotting.saliency(np.zeros(4), ax=ax)
    low, high = ax.images[0].get_clim()
    assert low < high
    draw(ax)


KERNEL = np.arange(12.0).reshape(4, 3)  # 4 inputs, 3 units


def network():
    model = fn.Sequential([layers.ReLU(), layers.Dense(3), layers.Dense(2)])
    model.build(4)
    model.layers[1].weights["kernel"][...] = KERNEL
    return model


def machine():
    return fn.BernoulliRBM(3, n_iter=0).fit(np.ones((1, 4)))


@pytest.mark.parametrize("make", [lambda: KERNEL, network, machine, lambda: network().layers[1]])
def test_weights(ax, make):
    model = make()
    assert plotting.weights(model, ax=ax) is ax
    expected = model.components_.T if isinstance(model, fn.BernoulliRBM) else KERNEL
    np.testing.assert_array_equal(tiles_of(image_of(ax), 3, 2, 2).reshape(3, 4).T, expected)
    assert ax.images[0].get_clim() == pytest.approx((-abs(expected).max(), abs(expected).max()))
    assert ax.images[0].cmap.name == colormaps["RdBu_r"].name


def test_weights_of_another_shape(ax):
    plotting.weights(KERNEL[:, :1], (1, 4), ax)
    np.testing.assert_array_equal(image_of(ax), [[0, 3, 6, 9]])


# ---- axes ------------------------------------------------------------------------------------

CALLS = {
    "history": lambda ax: plotting.history(LOGS, ax=ax),
    "function": lambda ax: plotting.function("relu", ax=ax),
    "gradient_flow": lambda ax: plotting.gradient_flow({"dense": [1.0]}, ax=ax),
    "contour": lambda ax: plotting.contour(bowl, (-1, 1), (-1, 1), ax=ax),
    "decision_boundary": lambda ax: plotting.decision_boundary(
        Halves("labels"), X, [0, 1, 1], ax=ax
    ),
    "confusion_matrix": lambda ax: plotting.confusion_matrix(COUNTS, ax=ax),
    "saliency": lambda ax: plotting.saliency(KERNEL.T, ax=ax),
    "weights": lambda ax: plotting.weights(KERNEL, ax=ax),
}


def test_every_function_is_called_here():
    assert set(CALLS) == set(plotting.__all__)


@pytest.mark.parametrize("name", CALLS)
def test_new_figure(name):
    ax = CALLS[name](None)
    try:
        assert pyplot.get_fignums() == [ax.figure.number]
        assert ax.has_data()
        draw(ax)
    finally:
        pyplot.close(ax.figure)


@pytest.mark.parametrize("name", CALLS)
def test_given_axes_leave_pyplot_alone(name, ax, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    assert CALLS[name](ax) is ax


@pytest.mark.parametrize("name", CALLS)
def test_wrong_axes(name):
    with pytest.raises(TypeError) as caught:
        CALLS[name](Figure())
    assert str(caught.value) == "ax: expected matplotlib Axes, got Figure"


@pytest.mark.parametrize("name", CALLS)
def test_without_matplotlib(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    with pytest.raises(ImportError) as caught:
        CALLS[name](None)
    assert str(caught.value) == (
        "plotting: expected matplotlib, got none; python -m pip install 'fastnn[plot]'"
    )


# ---- what is refused -------------------------------------------------------------------------

LABELS = [0, 1, 1]

ERRORS = [
    (lambda: plotting.history([1.0]), TypeError,
     "history: expected a History or a mapping, got list"),
    (lambda: plotting.history(callbacks.History()), ValueError,
     "history: expected at least one epoch, got none"),
    (lambda: plotting.history(LOGS, []), ValueError,
     "metrics: expected at least one name, got none"),
    (lambda: plotting.history(LOGS, ["acuracy"]), ValueError,
     "metrics: expected one of loss, accuracy, got 'acuracy' (did you mean 'accuracy'?)"),
    (lambda: plotting.history(LOGS, 3), TypeError, "metrics: expected names, got 3"),
    (lambda: plotting.history({1: [2.0]}), TypeError,
     "history: expected the names of metrics, got [1]"),
    (lambda: plotting.history({"loss": [1.0, 2.0], "val_loss": [1.0]}), ValueError,
     "history['val_loss']: expected shape (2,), got (1,)"),
    (lambda: plotting.function("rellu"), ValueError, "f: expected one of linear, "),
    (lambda: plotting.function("softmax"), ValueError,
     "f: expected a function of each element, got activations.softmax"),
    (lambda: plotting.function(3), TypeError, "f: expected a name or a function, got 3"),
    (lambda: plotting.function(np.sin, "cos"), TypeError,
     "derivative: expected a function, got 'cos'"),
    (lambda: plotting.function(lambda x: 1.0), ValueError,
     "f(x): expected 1 axis, got 0 (shape ())"),
    (lambda: plotting.function(np.sin, interval=(1, 1)), ValueError,
     "interval: expected two numbers (low, high) with low < high, got (1, 1)"),
    (lambda: plotting.gradient_flow([1.0]), TypeError,
     "monitor: expected a GradientMonitor or a mapping, got list"),
    (lambda: plotting.gradient_flow({}), ValueError,
     "monitor: expected at least one layer, got none"),
    (lambda: plotting.gradient_flow({"dense": [[1.0]]}), ValueError,
     "monitor['dense']: expected 1 axis, got 2 (shape (1, 1))"),
    (lambda: plotting.contour(3, (0, 1), (0, 1)), TypeError, "f: expected a function, got 3"),
    (lambda: plotting.contour(bowl, (0, np.nan), (0, 1)), ValueError,
     "x_range: expected two numbers (low, high) with low < high, got nan"),
    (lambda: plotting.contour(bowl, (0, 1), 1), TypeError,
     "y_range: expected two numbers (low, high) with low < high, got 1"),
    (lambda: plotting.contour(bowl, (0, 1), (0, 1), [[0, 0]]), TypeError,
     "paths: expected a mapping, got list"),
    (lambda: plotting.contour(bowl, (0, 1), (0, 1), {"sgd": [[0, 0, 0]]}), ValueError,
     "paths['sgd']: expected 2 features, got 3 (shape (1, 3))"),
    (lambda: plotting.contour(bowl, (0, 1), (0, 1), levels=0), ValueError,
     "levels: expected a positive integer, got 0"),
    (lambda: plotting.contour(lambda x, y: 1.0, (0, 1), (0, 1)), ValueError,
     "f(x, y): expected shape (201, 201), got ()"),
    (lambda: plotting.contour(lambda x, y: 0 * x, (0, 1), (0, 1)), ValueError,
     "f(x, y): expected finite numbers that differ, got no two"),
    (lambda: plotting.contour(lambda x, y: x * np.nan, (0, 1), (0, 1)), ValueError,
     "f(x, y): expected finite numbers that differ, got no two"),
    (lambda: plotting.decision_boundary(len, X, LABELS), TypeError,
     "model: expected an object with predict(x), got builtin_function_or_method"),
    (lambda: plotting.decision_boundary(Halves("labels"), np.ones((3, 3)), LABELS), ValueError,
     "x: expected 2 features, got 3 (shape (3, 3))"),
    (lambda: plotting.decision_boundary(Halves("labels"), X, [0]), ValueError,
     "y: expected 3 labels, got shape (1,)"),
    (lambda: plotting.decision_boundary(Halves("single"), X, [0, 1, 2]), ValueError,
     "y: expected labels in [0, 2), got 2 at row 2"),
    (lambda: plotting.decision_boundary(Halves("labels"), X + np.inf, LABELS), ValueError,
     "x: expected finite numbers, got NaN or an infinity"),
    (lambda: plotting.confusion_matrix(np.ones((2, 3))), ValueError,
     "matrix: expected as many rows as columns, got shape (2, 3)"),
    (lambda: plotting.confusion_matrix([[1, -1], [0, 1]]), ValueError,
     "matrix: expected counts of at least 0, got others"),
    (lambda: plotting.confusion_matrix(COUNTS, ["cat"]), ValueError,
     "labels: expected 3 names, got 1"),
    (lambda: plotting.confusion_matrix(COUNTS, 3), TypeError, "labels: expected names, got 3"),
    (lambda: plotting.confusion_matrix(([0, 1], [0])), ValueError,
     "y_true: expected 1 label, got shape (2,)"),
    (lambda: plotting.confusion_matrix(([0, 5], [0, 1]), ["cat", "dog"]), ValueError,
     "y_true: expected labels in [0, 2), got 5 at row 1"),
    (lambda: plotting.saliency(np.ones(5)), ValueError,
     "shape: expected (height, width) for 5 pixels, got None"),
    (lambda: plotting.saliency(np.ones(5), (2, 2)), ValueError,
     "maps: expected 2 * 2 pixels, got 5 (shape (1, 5))"),
    (lambda: plotting.saliency(np.ones(4), 4), TypeError,
     "shape: expected (height, width), got 4"),
    (lambda: plotting.saliency(np.ones(4), (4, 0)), ValueError,
     "shape: expected a positive integer, got 0"),
    (lambda: plotting.saliency(np.ones(4), images=np.ones((2, 4))), ValueError,
     "images: expected shape (1, 2, 2), got (2, 2, 2)"),
    (lambda: plotting.weights(np.ones(4)), ValueError,
     "kernel: expected 2 axes (n, features), got 1 (shape (4,))"),
    (lambda: plotting.weights(fn.BernoulliRBM(3)), ValueError,
     "model: expected a trained machine; call fit(X) first"),
    (lambda: plotting.weights(layers.Dense(3)), ValueError,
     "model: expected a layer with a kernel, got none; call build(features), fit or predict"),
    (lambda: plotting.weights(fn.Sequential([layers.Dense(3)])), ValueError,
     "model: expected a layer with a kernel, got none; call build(features), fit or predict"),
]  # fmt: skip


@pytest.mark.parametrize("call, error, text", ERRORS, ids=[text for *_, text in ERRORS])
def test_errors(call, error, text):
    # The fixture above sees to it that no figure was made.
    with pytest.raises(error) as caught:
        call()
    if text.endswith(", "):  # the list of what there is grows
        assert str(caught.value).startswith(text)
        assert str(caught.value).endswith("got 'rellu' (did you mean 'relu' or 'relu6' or 'elu'?)")
    else:
        assert str(caught.value) == text
