"""Models on disk: one safetensors file with the weights, the configuration and the optimizer.

The arrays are ``layers/0/kernel`` and so on, for each layer with weights, and
``optimizer/0/kernel/velocity`` for an optimizer's slots; any reader of safetensors finds them. The
metadata has one key, ``fastnn``, with a JSON text: the file's format, and the configurations that
make the model again. Nothing in a file is ever executed.

A layer of your own that keeps something else from pass to pass names it in a class attribute:
``lasting = ("count",)`` saves its attribute ``count``, a number, string or list.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn import _random
from fastnn import _validate as check
from fastnn._config import __version__
from fastnn._configuration import serialize
from fastnn._parts import is_built_in
from fastnn.model import Sequential
from fastnn.optimizers import LBFGS

__all__ = ["load_model", "load_weights", "save_model", "save_weights"]

# Raise it with every change that an older fastnn would misread.
FORMAT = 1

Path = str | os.PathLike[str]


def save_model(model: Sequential, path: Path) -> None:
    """Write a model to a file; also `Sequential.save`.

    Parameters
    ----------
    model : Sequential
        Built or not, compiled or not.
    path : str or PathLike
        By custom ``….safetensors``. An existing file is replaced at once and only by a whole one.

    Raises
    ------
    TypeError
        If a part of a user's own has no name, or has attributes and no ``get_config``.
    OSError
        If the file cannot be written; an older one is as it was.
    """
    header: dict[str, Any] = {
        "model": model.get_config(),
        "lasting": [
            {name: serialize(getattr(layer, name), name) for name in layer.lasting}
            for layer in model.layers
        ],
    }
    arrays = _weights(model)
    if model.optimizer is not None:
        header["compile"] = model.get_compile_config()
        header["iterations"] = model.optimizer.iterations
        places = model.optimizer_slots()
        for i, layer in enumerate(_weighted(model)):
            for weight in layer.weights:
                for slot, value in places.get((layer, weight), {}).items():
                    arrays[_key("optimizer", i, weight, slot)] = value
    _write(path, arrays, header)


def load_model(path: Path, custom_objects: Mapping[str, Any] | None = None) -> Sequential:
    """Read a model that `Sequential.save` wrote.

    It predicts to the bit what the saved one did, and its training goes on to the bit as that one's
    would have, given the same order of rows: the state of `fastnn.set_random_seed` is not in the
    file, and reading leaves it as it is.

    Parameters
    ----------
    path : str or PathLike
    custom_objects : mapping of str to class or function, optional
        Layers, losses, activations and so on of your own, by the names they were saved with: those
        of their classes and functions.

    Returns
    -------
    Sequential
        Compiled if the saved one was.

    Raises
    ------
    TypeError
        If `path` or `custom_objects` is none.
    OSError
        If there is no such file, or it cannot be read.
    ValueError
        If it is not a whole file of fastnn's, or one of a newer format, or holds a part that is
        neither known nor in `custom_objects`.
    """
    if custom_objects is not None and not isinstance(custom_objects, Mapping):
        raise TypeError(
            f"custom_objects: expected a mapping of names, got {type(custom_objects).__name__}"
        )
    header, arrays = _read(path)
    if "model" not in header:
        raise ValueError(
            f"{os.fspath(path)}: expected a model saved by save, got weights alone "
            f"(Sequential.load_weights reads them)"
        )
    try:
        return _revived(header, arrays, path, custom_objects)
    except (AttributeError, IndexError, KeyError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(
            f"{os.fspath(path)}: expected a header as save writes it, got one with {error!r}"
        ) from error


def _revived(
    header: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    path: Path,
    custom_objects: Mapping[str, Any] | None,
) -> Sequential:
    _expect_weights(header["model"], arrays, path)
    with _random.undisturbed():
        model = Sequential.from_config(header["model"], custom_objects)
    _set_weights(model, arrays, path)
    if len(header["lasting"]) != len(model.layers):
        expected = check.plural(len(model.layers), "layer")
        raise ValueError(
            f"{os.fspath(path)}: expected what lasts of {expected}, "
            f"got that of {len(header['lasting'])}"
        )
    for layer, lasting in zip(model.layers, header["lasting"], strict=True):
        for name in layer.lasting:
            value = lasting[name]
            if is_built_in(layer):  # the seed and the number of a draw
                value = check.counter(value, f"{os.fspath(path)}: {layer.name}.{name}")
            setattr(layer, name, value)
    if "compile" in header:
        model.compile_from_config(header["compile"], custom_objects)
        assert model.optimizer is not None
        slots = _slots(model, arrays, path)
        if slots:
            model.restore_optimizer_slots(slots)
        name = f"{os.fspath(path)}: iterations"
        model.optimizer.iterations = check.non_negative_int(header["iterations"], name)
        if model.optimizer.iterations >= 1 << 53:
            raise ValueError(f"{name}: expected an integer below 2**53, got {header['iterations']}")
    return model


def _expect_weights(
    config: Mapping[str, Any], arrays: Mapping[str, np.ndarray], path: Path
) -> None:
    """Raise if a layer is larger than the file: no memory may hold what is not there."""
    found = sum(array.size for key, array in arrays.items() if key.startswith("layers/"))
    features = config["features"]
    for i, data in enumerate(config["layers"]):
        name, settings = data["class_name"], data["config"]
        if data.get("custom"):  # nobody knows how many features it has
            features = None
        elif settings.keys() & {"input_shape", "input_dim"}:  # would build it; never saved
            raise KeyError("input_shape or input_dim")
        elif name == "Input":
            shape = settings["shape"]
            features = shape if isinstance(shape, int) else math.prod(shape)
        if features is None:
            continue
        columns = {
            "Dense": settings.get("units"),
            "BatchNormalization": 2,
            "LayerNormalization": settings.get("center", 0) + settings.get("scale", 0),
            "PReLU": 1,
        }.get(name, 0)  # of as many weights as there are features
        if features * columns > found:
            raise ValueError(
                f"{os.fspath(path)}: layers[{i}]: expected at most {found} weights, "
                f"got {features} * {columns}"
            )
        if name == "Dense":
            features = columns


def save_weights(model: Sequential, path: Path) -> None:
    """Write a model's weights to a file; also `Sequential.save_weights`.

    Parameters
    ----------
    model : Sequential
        Built.
    path : str or PathLike
        As in `save_model`.

    Raises
    ------
    OSError
        If the file cannot be written; an older one is as it was.
    """
    _write(path, _weights(model), {})


def load_weights(model: Sequential, path: Path) -> None:
    """Read a model's weights from a file of either kind; also `Sequential.load_weights`.

    Parameters
    ----------
    model : Sequential
        Built, with weights of the shapes of those in the file; of either type.
    path : str or PathLike

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    ValueError
        If it is not a whole file of fastnn's, or its weights are not those of the model, which
        are as they were.
    """
    _, arrays = _read(path)
    _set_weights(model, arrays, path)


# ---- arrays by name --------------------------------------------------------------------------


def _weighted(model: Sequential) -> list[Any]:
    """The layers that count in an array's name."""
    return [layer for layer in model.layers if layer.weights]


def _key(*parts: Any) -> str:
    wrong = next((part for part in parts[2:] if "/" in part), None)
    if wrong is not None:
        raise ValueError(f"name of a weight or slot: expected one without '/', got {wrong!r}")
    return "/".join(map(str, parts))


def _weights(model: Sequential) -> dict[str, Any]:
    return {
        _key("layers", i, name): weight
        for i, layer in enumerate(_weighted(model))
        for name, weight in layer.weights.items()
    }


def _set_weights(model: Sequential, arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Set all weights, or none if any does not fit."""
    mine = _weights(model)
    found = {key: array for key, array in arrays.items() if key.startswith("layers/")}
    for key in (*mine, *found):
        if key not in found or key not in mine:
            expected, got = ("such weights", "none") if key in mine else ("no such weights", "some")
            raise ValueError(f"{os.fspath(path)}: {key}: expected {expected}, got {got}")
    checked = {}
    for key, weight in mine.items():
        name = f"{os.fspath(path)}: {key}"
        checked[key] = check.as_real(found[key], name, weight.dtype)
        check.expect_shape(checked[key], name, weight.shape)
    for key, weight in mine.items():
        weight[...] = checked[key]


def _slots(
    model: Sequential, arrays: Mapping[str, np.ndarray], path: Path
) -> dict[tuple[Any, str], dict[str, Any]]:
    """The optimizer's slots of each weight (layer, name)."""
    places = {
        _key("optimizer", i, weight): (layer, weight)
        for i, layer in enumerate(_weighted(model))
        for weight in layer.weights
    }
    slots: dict[tuple[Any, str], dict[str, Any]] = {}
    for key, value in arrays.items():
        if key.startswith("optimizer/"):
            place, _, slot = key.rpartition("/")
            if place not in places:
                raise ValueError(f"{os.fspath(path)}: {key}: expected a slot of a weight, got none")
            slots.setdefault(places[place], {})[slot] = value[()]
    optimizer = model.optimizer
    assert optimizer is not None
    if is_built_in(optimizer):  # the slots of others are their own affair
        history = ("differences", "steps") if isinstance(optimizer, LBFGS) else ()
        expected = sorted(history or optimizer.kernel_slots)
        for (layer, weight), found in slots.items():
            name = f"{os.fspath(path)}: {layer.name}/{weight}"
            if sorted(found) != expected:
                raise ValueError(
                    f"{name}: expected the slots {', '.join(expected) or 'none'}, "
                    f"got {', '.join(sorted(found))}"
                )
            like = layer.weights[weight]
            for slot, value in found.items():
                rows = value.shape[:1] if history else ()
                check.expect_shape(value, f"{name}/{slot}", (*rows, *like.shape))
                found[slot] = check.as_real(
                    value, f"{name}/{slot}", np.float64 if history else like.dtype
                )
    return slots


# ---- files -----------------------------------------------------------------------------------


def _write(path: Path, arrays: Mapping[str, Any], header: dict[str, Any]) -> None:
    from safetensors.numpy import save

    target = os.path.realpath(check.as_path(path, "path"))  # a link stays one
    plain = {}
    for key, value in arrays.items():
        # Whole arrays: safetensors reads memory, not strides.
        array = plain[key] = np.array(value, order="C")
        if array.dtype.kind not in "buif" or array.dtype.itemsize > 8:
            raise TypeError(f"{key}: expected real numbers of at most 64 bits, got {array.dtype}")
    # One key, for safetensors does not keep the order of several.
    text = json.dumps({"format": FORMAT, "version": __version__} | header)
    data = save(plain, {"fastnn": text})
    temporary = f"{target}.{os.urandom(6).hex()}.tmp"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and all arrays of a file."""
    from safetensors import SafetensorError, safe_open

    name = check.as_path(path, "path")
    with open(name, "rb"):
        pass  # whatever keeps it from being opened shows as Python's own error
    try:
        with safe_open(name, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {}
            for key in file.keys():  # noqa: SIM118
                try:
                    arrays[key] = file.get_tensor(key)
                except (AttributeError, TypeError):  # bfloat16 and others
                    kind = file.get_slice(key).get_dtype()
                    raise ValueError(
                        f"{name}: {key}: expected a type that NumPy has, got {kind}"
                    ) from None
    except SafetensorError as error:
        raise ValueError(f"{name}: expected a whole safetensors file, got: {error}") from None
    try:
        header = json.loads(metadata["fastnn"])
        written, version = int(header["format"]), header["version"]
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
        raise ValueError(
            f"{name}: expected a file saved by fastnn, got one without its metadata"
        ) from None
    if written > FORMAT:
        raise ValueError(
            f"{name}: expected format {FORMAT} or older, got {written} "
            f"(saved by fastnn {version}, this is {__version__})"
        )
    return header, arrays
