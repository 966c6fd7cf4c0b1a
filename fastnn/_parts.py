"""What every exchangeable part has in common: activations, layers, losses, optimizers and so on.

A part is found by name, keeps the arguments of its constructor as attributes of the same names
(its configuration), and may name the compiled kernel that computes it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from fastnn import _validate as check


class Part:
    """A configurable part of a network or of its training."""

    # The compiled kernel of a built-in part, and the methods which that kernel stands for.
    _kernel: str | None = None
    _formula: ClassVar[tuple[str, ...]] = ()
    _rewritten: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "_kernel" in vars(cls):
            cls._rewritten = False
        elif any(method in vars(cls) for method in cls._formula):
            # A subclass with a formula of its own must not be computed by its parent's kernel.
            cls._rewritten = True

    @property
    def kernel_name(self) -> str | None:
        """Name of the compiled kernel that computes this part; None if Python code does."""
        return None if self._rewritten else self._kernel

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this part again.

        Built-in parts among them become names or dicts; a user's own stays as it is, since no
        table knows its name.

        Returns
        -------
        dict
        """
        return {name: as_identifier(getattr(self, name)) for name in _arguments(type(self))}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Make a part from what `get_config` returned.

        Parameters
        ----------
        config : mapping

        Raises
        ------
        TypeError, ValueError
            As by the constructor.
        """
        return cls(**config)

    def identifier(self) -> Any:
        """Return what the `get` of this part's module accepts in its place.

        Returns
        -------
        dict
            ``{"class_name": …, "config": …}``
        """
        return {"class_name": type(self).__name__, "config": self.get_config()}

    def __repr__(self) -> str:
        values = {
            name: getattr(self, name) for name in _arguments(type(self)) if hasattr(self, name)
        }
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in values.items())})"


def find(
    identifier: Any, table: Mapping[str, Callable[..., Any]], base: type[Part], argument: str
) -> Any:
    """Return the part that `identifier` stands for.

    Parameters
    ----------
    identifier : str, dict, subclass or instance of `base`
        A name (``"glorot_uniform"`` or ``"GlorotUniform"``), ``{"class_name": …, "config": …}``,
        or the part itself.
    table : mapping
        What makes the part of each name.
    argument : str
        What the error text calls `identifier`.

    Raises
    ------
    ValueError
        If no part has this name; near matches are named.
    TypeError
        If `identifier` is of another kind.
    """
    if isinstance(identifier, str):
        return table[key_of(identifier, table, argument)]()
    if isinstance(identifier, Mapping) and {"class_name", "config"} <= identifier.keys():
        key = key_of(identifier["class_name"], table, argument)
        return table[key](**identifier["config"])
    if isinstance(identifier, type) and issubclass(identifier, base):
        return identifier()
    if isinstance(identifier, base):
        return identifier
    raise TypeError(
        f"{argument}: expected a name or an instance of {base.__name__}, "
        f"got {type(identifier).__name__}"
    )


def snake_case(name: str) -> str:
    """Return ``mean_squared_error`` for ``MeanSquaredError``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def key_of(name: str, table: Mapping[str, Any], argument: str) -> str:
    """Return the key of `table` that spells `name`, whatever its capitals and underscores."""
    folded = {key.replace("_", ""): key for key in table}
    same = folded.get(str(name).replace("_", "").lower(), name)
    return check.choice(same, argument, table)


def _arguments(cls: type[Part]) -> dict[str, Any]:
    """Return the arguments of the constructor and their defaults."""
    return {
        name: argument.default
        for name, argument in inspect.signature(cls).parameters.items()
        if argument.kind not in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD)
    }


def as_identifier(value: Any) -> Any:
    """Return what stands for a built-in part in a configuration; anything else as it is."""
    return value.identifier() if isinstance(value, Part) and is_built_in(value) else value


def is_built_in(part: Part) -> bool:
    """Whether the part's class is one of fastnn's own."""
    return type(part).__module__.partition(".")[0] == __package__
