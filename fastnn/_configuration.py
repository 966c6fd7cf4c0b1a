"""Parts as plain data that JSON can hold, and back.

A part becomes ``{"class_name": …, "config": …}``, whatever is in its configuration likewise, and a
function ``{"function": name}``. What a user wrote is marked ``"custom": True``: it is looked up by
its name among the `custom_objects` of the one who reads, never imported from anywhere.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from fastnn._parts import Part

__all__ = ["deserialize", "serialize"]


def serialize(value: Any, where: str) -> Any:
    """Return plain data for a part, a function, an array or what a configuration holds.

    Parameters
    ----------
    value : object
    where : str
        What an error calls it.

    Raises
    ------
    TypeError
        If something in it has no name, or a state that it cannot tell of.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.generic, np.ndarray)) and value.dtype.kind in "buif":
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): serialize(entry, f"{where}.{key}") for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [serialize(entry, f"{where}[{i}]") for i, entry in enumerate(value)]
    if inspect.isroutine(value):
        if not value.__name__.isidentifier():
            raise TypeError(f"{where}: expected a function with a name, got {value.__name__}")
        return {"function": value.__name__}
    cls = type(value)
    built_in = cls.__module__.partition(".")[0] == __package__
    if built_in and isinstance(value, Part) and isinstance(value.identifier(), str):
        return value.identifier()
    if hasattr(value, "get_config"):
        config = value.get_config()
    elif getattr(value, "__dict__", None):
        raise TypeError(f"{where}: expected an object with get_config, got one of {cls.__name__}")
    else:
        config = {}
    data = {"class_name": cls.__name__, "config": serialize(config, where)}
    return data if built_in else data | {"custom": True}


def deserialize(
    data: Any, where: str, module: ModuleType, custom_objects: Mapping[str, Any] | None = None
) -> Any:
    """Return the part that `serialize` made `data` of.

    Parameters
    ----------
    data : dict
    where : str
        What an error calls it.
    module : module
        Where built-in parts of this kind are found.
    custom_objects : mapping of str to class or function, optional

    Raises
    ------
    ValueError
        If a name is not known (near matches are named), or a configuration is not what its class
        takes.
    """
    custom = {} if custom_objects is None else custom_objects
    if _is_custom(data):
        return _custom(data, where, custom)
    if not isinstance(data, Mapping) or not {"class_name", "config"} <= data.keys():
        raise ValueError(f"{where}: expected class_name and config, got {data!r}")
    known = {name: value for name, value in vars(module).items() if _is_part(value)}
    cls = _entry(data["class_name"], known, where, f"a class of {module.__name__}")
    return _make(cls, data, where, custom)


def _custom(data: Mapping[str, Any], where: str, custom: Mapping[str, Any]) -> Any:
    if "function" in data:
        return _entry(data["function"], custom, where, "a function in custom_objects")
    cls = _entry(data["class_name"], custom, where, "a class in custom_objects")
    if not isinstance(cls, type):
        raise ValueError(
            f"{where}: expected a class in custom_objects for {data['class_name']!r}, got {cls!r}"
        )
    return _make(cls, data, where, custom)


def _make(cls: type, data: Mapping[str, Any], where: str, custom: Mapping[str, Any]) -> Any:
    config = {
        name: _revive(value, f"{where}.{name}", custom) for name, value in data["config"].items()
    }
    try:
        return cls.from_config(config) if hasattr(cls, "from_config") else cls(**config)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where} ({cls.__name__}): {error}") from error


def _revive(value: Any, where: str, custom: Mapping[str, Any]) -> Any:
    """What a configuration holds, with a user's own parts in it; the built-in ones stay data."""
    if _is_custom(value):
        return _custom(value, where, custom)
    if isinstance(value, Mapping):
        return {key: _revive(entry, f"{where}.{key}", custom) for key, entry in value.items()}
    if isinstance(value, list):
        return [_revive(entry, f"{where}[{i}]", custom) for i, entry in enumerate(value)]
    return value


def _is_custom(data: Any) -> bool:
    return isinstance(data, Mapping) and (data.get("custom") is True or data.keys() == {"function"})


def _entry(name: Any, table: Mapping[str, Any], where: str, expected: str) -> Any:
    if name in table:
        return table[name]
    near = difflib.get_close_matches(str(name), table)
    hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
    raise ValueError(f"{where}: expected {expected}, got {name!r}{hint}")


def _is_part(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Part)
