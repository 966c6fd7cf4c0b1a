"""Pictures of training: learning curves, functions, landscapes, decisions, images of weights.

Every function draws on the matplotlib `Axes` it is given, or on those of a new figure, and returns
them; nothing is shown or saved, and no setting of matplotlib is changed. matplotlib is imported
when a picture is drawn: ``python -m pip install 'fastnn[plot]'``. What comes in is checked first,
so that an error leaves no half-drawn axes and no empty figure behind.

>>> import fastnn as fn
>>> fn.plotting.function("tanh").figure.savefig("tanh.png")
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _validate as check
from fastnn import activations

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "confusion_matrix",
    "contour",
    "decision_boundary",
    "function",
    "gradient_flow",
    "history",
    "saliency",
    "weights",
]

MOST_CLASSES = 1000  # of a confusion matrix made from labels; more make no picture
MOST_NAMES = 12  # in the legend of gradient_flow


# ---- curves ----------------------------------------------------------------------------------


def history(history: Any, metrics: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """Draw what `fit` returned: one colour a metric, its validation dashed.

    Parameters
    ----------
    history : History, or mapping of str to list of float
        What `Sequential.fit` returned, or its ``history``. With a `validation_freq` it must be the
        former, which knows the epochs of each value.
    metrics : sequence of str, optional
        Which, without their ``val_``; by default all that are single numbers.
    ax : Axes, optional

    Returns
    -------
    Axes
        If the loss is drawn together with others, these have axes of their own on the right. The
        legend is where a title would be; `Figure.suptitle` is above it.

    Raises
    ------
    TypeError, ValueError
        If there is no epoch, not a number for every epoch, or no such metric.
    """
    logs = getattr(history, "history", history)
    if not isinstance(logs, Mapping):
        raise TypeError(f"history: expected a History or a mapping, got {type(history).__name__}")
    single = [name for name, values in logs.items() if _is_curve(values)]
    if not all(isinstance(name, str) for name in single):
        raise TypeError(f"history: expected the names of metrics, got {single}")
    known = list(dict.fromkeys(name.removeprefix("val_") for name in single))
    if not known:
        raise ValueError("history: expected at least one epoch, got none")
    if metrics is None:
        metrics = known
    else:
        if not isinstance(metrics, (str, list, tuple)):
            raise TypeError(f"metrics: expected names, got {metrics!r}")
        metrics = [metrics] if isinstance(metrics, str) else list(dict.fromkeys(metrics))
        if not metrics:
            raise ValueError("metrics: expected at least one name, got none")
        for metric in metrics:
            check.choice(metric, "metrics", known)
    chosen = [name for metric in metrics for name in (metric, f"val_{metric}") if name in single]
    every = getattr(history, "epoch", range(len(logs[chosen[0]])))
    some = getattr(history, "epochs_of", {})
    epochs = {name: np.asarray(some.get(name, every)) + 1 for name in chosen}
    curves = {
        name: check.as_vector(logs[name], f"history[{name!r}]", np.float64, len(epochs[name]))
        for name in chosen
    }

    ax = _axes(ax)
    left = [metric for metric in metrics if metric == "loss"]
    right = [metric for metric in metrics if metric != "loss"] if left else []
    left = left or list(metrics)
    axes = dict.fromkeys(left, ax)
    if right:
        axes |= dict.fromkeys(right, ax.twinx())
        axes[right[0]].set_ylabel(", ".join(right))
    lines = []
    for i, metric in enumerate(metrics):
        for name, style in ((metric, "-"), (f"val_{metric}", "--")):
            if name in curves:
                lines += axes[metric].plot(
                    epochs[name],
                    curves[name],
                    style,
                    color=f"C{i}",
                    marker=_marker(curves[name]),
                    label=name,
                )
    ax.set(xlabel="epoch", ylabel=", ".join(left))
    _whole_numbers(ax)
    ax.grid(alpha=0.3)
    _legend_above(ax, lines)
    return ax


def _is_curve(values: Any) -> bool:
    """Whether these are single numbers; a confusion matrix for every epoch is not."""
    return (
        isinstance(values, (Sequence, np.ndarray)) and len(values) > 0 and np.ndim(values[0]) == 0
    )


def function(
    f: str | Callable[..., Any],
    derivative: Callable[[np.ndarray], ArrayLike] | None = None,
    interval: tuple[float, float] = (-5.0, 5.0),
    ax: Axes | None = None,
) -> Axes:
    """Draw a function of one variable and its derivative.

    Parameters
    ----------
    f : str, activation or callable
        An activation, by name or not, is drawn with its gradient; anything else takes and returns
        a vector.
    derivative : callable, optional
        Takes and returns a vector.
    interval : (float, float)
        Where.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If `f` mixes the elements of the vector, as softmax does, or there is no such activation.
    """
    if isinstance(f, str) or f is None:
        f = activations.get(f, "f")
    if not callable(f):
        raise TypeError(f"f: expected a name or a function, got {f!r}")
    if derivative is not None and not callable(derivative):
        raise TypeError(f"derivative: expected a function, got {derivative!r}")
    x = np.linspace(*check.interval(interval, "interval"), 501)
    y = check.as_vector(f(x), "f(x)", np.float64, len(x))
    slope = None
    if derivative is not None:
        slope = check.as_vector(derivative(x), "derivative(x)", np.float64, len(x))
    elif isinstance(f, activations.Differentiable):
        if not np.allclose(np.ravel(f(x[:1])), y[:1], equal_nan=True):
            raise ValueError(f"f: expected a function of each element, got {f!r}")
        inputs = {"x": x} if getattr(f, "from_input", False) else {}
        slope = f.gradient(y, np.ones_like(x), **inputs)

    ax = _axes(ax)
    name = getattr(f, "name", None) or getattr(f, "__name__", type(f).__name__)
    name = "f" if name == "<lambda>" else name
    ax.axhline(0, color="0.6", linewidth=0.8)
    ax.axvline(0, color="0.6", linewidth=0.8)
    ax.plot(x, y, linewidth=2, label=name)
    if slope is not None:
        ax.plot(x, slope, "--", label=f"derivative of {name}")
    ax.set(xlabel="x", xlim=(x[0], x[-1]))
    ax.grid(alpha=0.3)
    ax.legend()
    return ax


def gradient_flow(monitor: Any, ax: Axes | None = None) -> Axes:
    """Draw the norms of each layer's gradients over the training, from the first layer to the last.

    Parameters
    ----------
    monitor : GradientMonitor, or mapping of str to list of float
        What `callbacks.GradientMonitor` kept: the norms by the layer's name.
    ax : Axes, optional

    Returns
    -------
    Axes
        Its vertical axis is logarithmic, where gradients that vanish or explode are straight lines.
        Of more layers than twelve the legend names some.

    Raises
    ------
    TypeError, ValueError
        If there is no layer, or something other than a vector of numbers for one.
    """
    norms = getattr(monitor, "history", monitor)
    if not isinstance(norms, Mapping):
        raise TypeError(
            f"monitor: expected a GradientMonitor or a mapping, got {type(monitor).__name__}"
        )
    if not norms:
        raise ValueError("monitor: expected at least one layer, got none")
    curves = {
        name: check.as_vector(values, f"monitor[{name!r}]", np.float64)
        for name, values in norms.items()
    }
    ax = _axes(ax)
    named = set(np.linspace(0, len(curves) - 1, MOST_NAMES).round()) | {0}  # of the legend
    for i, (name, values) in enumerate(curves.items()):
        ax.plot(
            np.arange(1, len(values) + 1),
            values,
            color=_shade(i, len(curves)),
            marker=_marker(values),
            label=name if i in named else f"_{name}",
        )
    if any((values > 0).any() for values in curves.values()):
        ax.set_yscale("log", nonpositive="mask")
    ax.set(xlabel="step", ylabel="norm of the gradient")
    _whole_numbers(ax)
    ax.grid(alpha=0.3)
    ax.legend()
    return ax


# ---- planes ----------------------------------------------------------------------------------


def contour(
    f: Callable[[np.ndarray, np.ndarray], ArrayLike],
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    paths: Mapping[str, ArrayLike] | None = None,
    levels: int = 20,
    ax: Axes | None = None,
) -> Axes:
    """Draw a function of two variables from above, and the paths that optimizers took on it.

    Parameters
    ----------
    f : callable
        ``f(x, y)`` of two arrays of one shape, and of that shape.
    x_range, y_range : (float, float)
    paths : mapping of str to array of shape (steps, 2), optional
        The positions of each optimizer, from the start; what left the ranges is not seen. The last
        one is a star.
    levels : int
        How many shades. Each covers the same area, so that narrow valleys are seen too.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    TypeError, ValueError
        If a range is none, a path has no two columns, or `f` has nowhere two finite values.
    """
    if not callable(f):
        raise TypeError(f"f: expected a function, got {f!r}")
    x_range, y_range = check.interval(x_range, "x_range"), check.interval(y_range, "y_range")
    levels = check.positive_int(levels, "levels")
    if paths is not None and not isinstance(paths, Mapping):
        raise TypeError(f"paths: expected a mapping, got {type(paths).__name__}")
    walked = {
        name: check.as_matrix(path, f"paths[{name!r}]", np.float64, 2)
        for name, path in (paths or {}).items()
    }
    x, y = np.meshgrid(np.linspace(*x_range, 201), np.linspace(*y_range, 201))
    z = check.as_real(f(x, y), "f(x, y)", np.float64)
    check.expect_shape(z, "f(x, y)", x.shape)
    z = np.where(np.isfinite(z), z, np.nan)
    if not np.nanmin(z, initial=np.inf) < np.nanmax(z, initial=-np.inf):
        raise ValueError("f(x, y): expected finite numbers that differ, got no two")
    bounds = np.unique(np.nanquantile(z, np.linspace(0, 1, levels + 1)))
    if len(bounds) == 2:  # nearly the whole area has one value: shades of the same height
        bounds = np.linspace(bounds[0], bounds[1], levels + 1)

    ax = _axes(ax)
    from matplotlib import colormaps

    # Greys, the lowest darkest, so that the colours are those of the paths.
    greys = colormaps["Greys_r"](np.linspace(0.45, 1, len(bounds) - 1))
    ax.contourf(x, y, z, bounds, colors=greys)
    for (name, path), color in zip(walked.items(), _colors(len(walked)), strict=True):
        ax.plot(*path.T, "o-", color=color, markersize=3, linewidth=1.2, label=name)
        ax.plot(*path[-1:].T, "*", color=color, markersize=13, markeredgecolor="black")
    ax.set(xlabel="x", ylabel="y", xlim=x_range, ylim=y_range)
    if walked:
        ax.legend()
    return ax


def decision_boundary(model: Any, x: ArrayLike, y: ArrayLike, ax: Axes | None = None) -> Axes:
    """Draw which class a classifier of two inputs gives to each point of the plane, and the data.

    Parameters
    ----------
    model
        Anything with ``predict(x)``, which returns a score for every class (n, classes), the score
        of class 1 (n, 1), or labels (n,). A single score is that of class 1 above 0 if the model's
        loss has ``from_logits=True``, else above 0.5.
    x : array of shape (n, 2)
    y : array of shape (n,)
        Labels, from 0.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    TypeError, ValueError
        If there is no ``predict``, `x` does not have two finite columns, or labels are no such
        whole numbers, or not as many.
    """
    if not callable(getattr(model, "predict", None)):
        raise TypeError(f"model: expected an object with predict(x), got {type(model).__name__}")
    x = check.as_matrix(x, "x", features=2)
    n = len(x)
    y = check.as_labels(y, "y", n, MOST_CLASSES)
    low, high = x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64)
    if not (np.isfinite(low) & np.isfinite(high)).all():
        raise ValueError("x: expected finite numbers, got NaN or an infinity")
    margin = np.where(high > low, 0.08 * (high - low), 1.0)
    low, high = low - margin, high + margin

    side = 300
    middles = low + (high - low) * (np.arange(side)[:, None] + 0.5) / side  # of the pixels
    points = np.stack(np.meshgrid(*middles.T), axis=-1).reshape(-1, 2)
    found = check.as_numbers(model.predict(points.astype(x.dtype)), "model.predict(x)")
    check.expect_rows(found, "model.predict(x)", len(points))
    if found.ndim == 1:
        found = check.as_labels(found, "model.predict(x)", len(points), MOST_CLASSES)
        classes = 1 + int(max(found.max(), y.max()))
    elif found.ndim == 2 and found.shape[1] == 1:
        logits = getattr(getattr(model, "loss", None), "from_logits", False)
        found, classes = (found[:, 0] > (0 if logits else 0.5)).astype(np.int64), 2
    else:
        scores = check.as_matrix(found, "model.predict(x)")
        found, classes = scores.argmax(axis=1), scores.shape[1]
    y = check.as_labels(y, "y", n, classes)

    ax = _axes(ax)
    from matplotlib.colors import ListedColormap

    colors = _colors(classes)
    ax.imshow(
        found.reshape(side, side),
        origin="lower",
        extent=(low[0], high[0], low[1], high[1]),
        aspect="auto",
        cmap=ListedColormap(colors),
        vmin=-0.5,
        vmax=classes - 0.5,
        alpha=0.3,
        interpolation="nearest",
    )
    for label in np.union1d(y, found):  # also a class that none of the data is of
        ax.scatter(
            x[y == label, 0],
            x[y == label, 1],
            color=colors[label],
            edgecolor="white",
            linewidth=0.5,
            s=24,
            label=f"class {label}",
        )
    ax.set(xlabel="input 0", ylabel="input 1")
    ax.legend()
    return ax


def confusion_matrix(
    matrix: ArrayLike | tuple[ArrayLike, ArrayLike],
    labels: Sequence[Any] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how many rows of each class were given to each class.

    Parameters
    ----------
    matrix : array of shape (classes, classes), or a tuple ``(y_true, y_pred)``
        Counts, true classes in rows and predicted ones in columns; or what to count: true labels
        (n,), and labels (n,) or a score for every class (n, classes).
    labels : sequence, optional
        Names of the classes; by default 0, 1, 2, …
    ax : Axes, optional

    Returns
    -------
    Axes
        Its image shows the share of each true class, so that rare classes are seen as well. Where
        the counts are too many to read they are left out, and so are most of the names.

    Raises
    ------
    TypeError, ValueError
        If the matrix is not square or holds negative numbers, labels are no whole numbers from 0
        (at most 999), or the names not as many as the classes.
    """
    if labels is not None and not (hasattr(labels, "__len__") and hasattr(labels, "__iter__")):
        raise TypeError(f"labels: expected names, got {labels!r}")
    if isinstance(matrix, tuple) and len(matrix) == 2:
        counts = _count(*matrix, None if labels is None else len(labels))
    else:
        counts = check.as_matrix(matrix, "matrix", np.float64)
        if counts.shape[0] != counts.shape[1]:
            raise ValueError(f"matrix: expected as many rows as columns, got shape {counts.shape}")
        if not (np.isfinite(counts) & (counts >= 0)).all():
            raise ValueError("matrix: expected counts of at least 0, got others")
    classes = len(counts)
    names = [str(label) for label in (range(classes) if labels is None else labels)]
    if len(names) != classes:
        raise ValueError(f"labels: expected {check.plural(classes, 'name')}, got {len(names)}")
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.where(totals > 0, totals, 1)

    ax = _axes(ax, (6.4, 5.6))
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    # Points: 300 are about the side of the picture, and 0.65 of its size the width of a digit.
    texts = {
        place: f"{count:.0f}" if count == np.floor(count) < 1e15 else f"{count:.6g}"
        for place, count in np.ndenumerate(counts)
        if count
    }
    size = min(10.0, 300 / classes / (0.65 * max(map(len, texts.values()), default=1)))
    if size >= 3:
        for (row, column), text in texts.items():
            ax.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                fontsize=size,
                color="white" if shares[row, column] > 0.5 else "black",
            )
    turned = 45 if max(map(len, names)) > 3 else 0
    shown = slice(None, None, -(-classes // 25))
    places = range(classes)[shown]
    ax.set_xticks(places, names[shown], rotation=turned, ha="right" if turned else "center")
    ax.set_yticks(places, names[shown])
    ax.set(xlabel="predicted", ylabel="true")
    return ax


def _count(y_true: Any, y_pred: Any, classes: int | None) -> np.ndarray:
    """Return the confusion matrix of these labels, or scores, as float64."""
    y_true, y_pred = check.as_numbers(y_true, "y_true"), check.as_numbers(y_pred, "y_pred")
    if y_pred.ndim == 2 and y_pred.shape[1] > 1:
        classes = y_pred.shape[1]
        y_pred = y_pred.argmax(axis=1)
    most = MOST_CLASSES if classes is None else classes
    y_true = check.as_labels(y_true, "y_true", len(y_pred), most)
    y_pred = check.as_labels(y_pred, "y_pred", len(y_pred), most)
    if classes is None:
        classes = 1 + int(max(y_true.max(), y_pred.max()))
    cells = np.bincount(y_true * classes + y_pred, minlength=classes**2)
    return cells.reshape(classes, classes).astype(np.float64)


# ---- images ----------------------------------------------------------------------------------


def saliency(
    maps: ArrayLike,
    shape: tuple[int, int] | None = None,
    images: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how much each pixel matters, one tile for each image.

    Parameters
    ----------
    maps : array of shape (n, features) or (features,)
        Saliency of each pixel. Where some are negative, they are blue and positive ones red, and
        white is 0.
    shape : (int, int), optional
        Height and width; by default those of a square.
    images : array of the shape of `maps`, optional
        The images themselves, drawn in grey below the maps.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    TypeError, ValueError
        If the pixels do not make images of this shape, or the images are not of that of the maps.
    """
    tiles = _tiles(maps, "maps", shape)
    below = None if images is None else _tiles(images, "images", shape)
    if below is not None:
        check.expect_shape(below, "images", tiles.shape)
    ax = _axes(ax)
    if below is not None:
        ax.imshow(_mosaic(below), cmap="gray_r")
    _draw_tiles(ax, tiles, alpha=1.0 if below is None else 0.6)
    return ax


def weights(model: Any, shape: tuple[int, int] | None = None, ax: Axes | None = None) -> Axes:
    """Draw the weights of each unit of the first layer as an image: what it looks for.

    Parameters
    ----------
    model : Sequential, Layer, BernoulliRBM or array of shape (features, units)
        The first kernel of a model, that of a layer, or a kernel.
    shape : (int, int), optional
        Height and width of the inputs; by default those of a square.
    ax : Axes, optional

    Returns
    -------
    Axes
        Negative weights are blue, positive ones red, and white is 0.

    Raises
    ------
    TypeError, ValueError
        If there is no kernel, such as before a model is built or a machine has learnt, or its
        features are not as many as the pixels of `shape`.
    """
    kernel: Any = model
    if hasattr(model, "components_"):
        kernel = np.transpose(model.components_)
    elif hasattr(model, "layers") or isinstance(getattr(model, "weights", None), Mapping):
        found = (layer.weights.get("kernel") for layer in getattr(model, "layers", [model]))
        kernel = next((weight for weight in found if weight is not None), None)
        if kernel is None:
            raise ValueError(
                "model: expected a layer with a kernel, got none; call build(features), fit or "
                "predict"
            )
    elif hasattr(model, "fit"):
        raise ValueError("model: expected a trained machine; call fit(X) first")
    kernel = check.as_matrix(kernel, "kernel")
    tiles = _tiles(kernel.T, "kernel", shape)
    ax = _axes(ax)
    _draw_tiles(ax, tiles, signed=True)
    return ax


def _tiles(values: Any, name: str, shape: tuple[int, int] | None) -> np.ndarray:
    """Return rows of pixels as float64 images (n, height, width)."""
    values = check.as_numbers(values, name)
    values = check.as_matrix(values[None] if values.ndim == 1 else values, name, np.float64)
    features = values.shape[1]
    if shape is None:
        side = math.isqrt(features)
        if side * side != features:
            raise ValueError(f"shape: expected (height, width) for {features} pixels, got None")
        shape = (side, side)
    if not isinstance(shape, (tuple, list)) or len(shape) != 2:
        raise TypeError(f"shape: expected (height, width), got {shape!r}")
    height, width = (check.positive_int(side, "shape") for side in shape)
    if height * width != features:
        raise ValueError(
            f"{name}: expected {height} * {width} pixels, got {features} (shape {values.shape})"
        )
    return values.reshape(-1, height, width)


def _mosaic(tiles: np.ndarray) -> np.ndarray:
    """Return the tiles beside and below one another, with lines of NaN between them."""
    n, height, width = tiles.shape
    columns = math.ceil(math.sqrt(n * height / width))
    rows = -(-n // columns)
    columns = min(columns, n)
    sheet = np.full((rows * columns, height + 1, width + 1), np.nan)
    sheet[:n, :height, :width] = tiles
    sheet = sheet.reshape(rows, columns, height + 1, width + 1).swapaxes(1, 2)
    return sheet.reshape(rows * (height + 1), columns * (width + 1))[:-1, :-1]


def _draw_tiles(ax: Axes, tiles: np.ndarray, signed: bool = False, alpha: float = 1.0) -> None:
    finite = tiles[np.isfinite(tiles)]
    most = float(np.abs(finite).max(initial=0)) or 1.0
    signed = signed or bool((finite < 0).any())
    ax.imshow(
        _mosaic(tiles),
        cmap="RdBu_r" if signed else "inferno",
        vmin=-most if signed else 0,
        vmax=most,
        alpha=alpha,
    )
    ax.set_axis_off()


# ---- axes ------------------------------------------------------------------------------------


def _marker(values: np.ndarray) -> str:
    """Return a marker where no two numbers that follow one another make a line to see."""
    finite = np.isfinite(values)
    return "" if (finite[1:] & finite[:-1]).any() else "o"


def _axes(ax: Axes | None, size: tuple[float, float] = (6.4, 4.8)) -> Axes:
    """Return `ax`, or the axes of a new figure, which pyplot knows and can show."""
    try:
        from matplotlib.axes import Axes
    except ModuleNotFoundError:
        raise ImportError(
            "plotting: expected matplotlib, got none; python -m pip install 'fastnn[plot]'"
        ) from None
    if ax is None:
        from matplotlib import pyplot

        return pyplot.subplots(figsize=size, layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise TypeError(f"ax: expected matplotlib Axes, got {type(ax).__name__}")
    return ax


def _whole_numbers(ax: Axes) -> None:
    """Number the horizontal axis by integers."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _legend_above(ax: Axes, lines: list[Any]) -> None:
    """Put the legend where it hides nothing, also not the lines of axes on the right."""
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties

    # As many columns as there is room for: a legend much wider than its axes would squeeze them.
    size = FontProperties(size=rcParams["legend.fontsize"]).get_size_in_points()
    room = 1.1 * ax.get_window_extent().width / (size * ax.figure.dpi / 72)
    lengths = [len(line.get_label()) for line in lines]
    columns = min(len(lines), 4)
    while columns > 1:
        longest = sum(part.max() for part in np.array_split(lengths, columns))
        if 0.58 * longest + 5 * columns <= room:  # text, and lines with their gaps
            break
        columns -= 1
    ax.legend(
        handles=lines,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=columns,
        frameon=False,
    )


def _colors(count: int) -> list[tuple[float, ...]]:
    """Return colours that differ: those of lines, if there are enough of them."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    if count <= 10:
        return [to_rgb(f"C{i}") for i in range(count)]
    return [tuple(color) for color in colormaps["turbo"](np.linspace(0.05, 0.95, count))]


def _shade(i: int, count: int) -> tuple[float, ...]:
    """Return colours in the order of what they stand for: that of number `i` of so many."""
    from matplotlib import colormaps

    return colormaps["viridis"](0.9 * i / max(count - 1, 1))
