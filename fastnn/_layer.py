"""The base of all layers, and the guards around what a layer computes."""

from __future__ import annotations

import functools
import inspect
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastnn import _validate as check
from fastnn import initializers, regularizers
from fastnn._parts import Part, snake_case

_names_given: Counter[str] = Counter()


# ---- the guards ------------------------------------------------------------------------------
# Every build, forward and backward, of a built-in layer or a user's, runs inside a guard that
# checks what goes in and what comes out, so that a layer's own code is its formula and no more.
# A call through super() passes: its caller has been checked.


def _guard_init(init: Callable[..., None]) -> Callable[..., None]:
    """Take what Keras scripts tell a first layer in place of an `Input`, and build it for that."""
    if inspect.signature(init).parameters.keys() & {"input_shape", "input_dim"}:
        return init  # the class has a use of its own for it

    @functools.wraps(init)
    def guarded(
        self: Layer, *arguments: Any, input_shape: Any = None, input_dim: Any = None, **named: Any
    ) -> None:
        init(self, *arguments, **named)
        if input_shape is None and input_dim is None:
            return
        if input_shape is not None and input_dim is not None:
            raise ValueError("input_shape, input_dim: expected one of them, got both")
        name = "input_dim" if input_shape is None else "input_shape"
        sides = (input_dim,) if input_shape is None else input_shape
        if not isinstance(sides, (tuple, list)) or not sides:
            raise ValueError(f"{name}: expected a shape as (features,), got {sides!r}")
        self.build(math.prod(check.positive_int(side, name) for side in sides))

    return guarded


def _guard_build(build: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(build)
    def guarded(self: Layer, features: int) -> None:
        if type(self).build is not guarded:
            return build(self, features)
        features = check.positive_int(features, "features")
        if self.built:
            if features != self.features:
                raise ValueError(
                    f"features: expected {self.features}, as {self.name} is built, got {features}"
                )
            return
        try:
            build(self, features)
        except BaseException:
            self.weights.clear()
            self._constants.clear()
            self.regularizers.clear()
            raise
        self.features = features
        self.built = True

    return guarded


def _guard_forward(forward: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    @functools.wraps(forward)
    def guarded(self: Layer, x: Any, training: bool = False) -> np.ndarray:
        if type(self).forward is not guarded:
            return forward(self, x, training)
        shape = np.shape(x)
        x = check.as_rows(x, "x") if self.flattens else x
        x = check.as_matrix(x, "x", self.dtype, self.features)
        n, features = x.shape
        if not self.built:
            self.build(features)
        self._shapes = None
        y = check.as_matrix(
            forward(self, x, training),
            f"{self.name}: output of forward",
            self.dtype,
            self.output_features(features),
        )
        check.expect_shape(y, f"{self.name}: output of forward", (n, y.shape[1]))
        self._shapes, self._type, self._trains = (shape, y.shape), y.dtype, training
        self._outputs = None if self.activity_regularizer is None else y
        return y

    return guarded


def _guard_backward(backward: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    @functools.wraps(backward)
    def guarded(self: Layer, dy: Any) -> np.ndarray:
        if type(self).backward is not guarded:
            return backward(self, dy)
        if self._shapes is None:
            raise RuntimeError(f"{self.name}: backward needs a forward pass before it")
        x_shape, y_shape = self._shapes
        dy = check.as_matrix(dy, "dy", self._type)
        check.expect_shape(dy, "dy", y_shape)
        if self._trains and self._outputs is not None:
            dy = dy.copy()
            assert self.activity_regularizer is not None
            regularizers.add_gradient(self.activity_regularizer, dy, self._outputs, len(dy))
        dx = check.as_matrix(backward(self, dy), f"{self.name}: output of backward", self._type)
        dx = dx.reshape(x_shape) if self.flattens else dx
        check.expect_shape(dx, f"{self.name}: output of backward", x_shape)
        for name, weight in self.weights.items():
            if name in self._constants:
                continue
            got = self.gradients.get(name)
            if got is None or got.shape != weight.shape:
                raise ValueError(
                    f"{self.name}: expected backward to set gradients[{name!r}] of shape "
                    f"{weight.shape}, got {None if got is None else got.shape}"
                )
            if self._trains and self.trainable and name in self.regularizers:
                regularizers.add_gradient(self.regularizers[name], got, weight)
        return dx

    return guarded


# ---- the base --------------------------------------------------------------------------------


class Layer(Part):
    """Base of all layers.

    Parameters
    ----------
    name : str, optional
        By default the class's name in snake case, with a number from the second layer on.
    dtype : {"float32", "float64"}, optional
        Type of weights and of what is computed; by default float32. Inputs are converted to it.
        Layers that have no weights keep the type of their inputs, unless told.

    Attributes
    ----------
    weights : dict of str to ndarray
        Filled by `build`. Change them in place; to put them in memory of your own, use `bind`.
    gradients : dict of str to ndarray
        Filled by `backward`: gradients of the loss, for all weights but those that were added as
        not trainable. New arrays at every call.
    features : int or None
        Number of inputs, None before `build`.
    built, trainable : bool
    regularizers : dict of str to regularizer
        What weights cost (`add_weight`).
    activity_regularizer : regularizer or None
        What the outputs cost, divided by the rows of the mini-batch. The gradients of all this are
        in what `backward` gives after a training pass.
    elementwise : bool
        Whether each output depends on the one input at its place alone, so that rows may have
        several axes until a `Flatten`.
    flattens : bool
        Whether the layer takes rows of several axes, as one.
    follows : bool
        Whether it computes in the type of its inputs, if no `dtype` is given.

    Raises
    ------
    TypeError
        If `name` is not a string. Every layer raises TypeError for an argument of the wrong kind.
    ValueError
        If `dtype` is none of the two. Every layer raises ValueError for a value out of the range
        that it states, or a name of a part that is not known.

    Notes
    -----
    Every layer takes ``input_shape=(…)`` or ``input_dim=…`` too, for the sake of scripts, and is
    built for so many inputs at once; `Input` says the same.

    Between `forward` and `backward` a layer keeps references to its input and output, not copies:
    change neither in between.
    """

    _formula = ("build", "forward", "backward")

    # Attributes, numbers or strings, that last from pass to pass beside the weights: a file of the
    # model keeps them.
    lasting: ClassVar[tuple[str, ...]] = ()
    # Names of further attributes that the compiled plan of a network depends on.
    lowered_by: ClassVar[tuple[str, ...]] = ()
    elementwise = False
    flattens = False
    follows = False

    @_guard_init
    def __init__(self, name: str | None = None, dtype: DTypeLike | None = None) -> None:
        self._named = name is not None  # and not by itself
        self.name = check.as_name(name, "") if self._named else automatic_name(type(self))
        self.dtype: str | None = None
        if dtype is not None or not self.follows:
            self.dtype = check.as_dtype("float32" if dtype is None else dtype).name
        self.trainable = True
        self.built = False
        self.features: int | None = None
        self.weights: dict[str, np.ndarray] = {}
        self.gradients: dict[str, np.ndarray] = {}
        self._constants: set[str] = set()  # the weights that are not trainable
        self.regularizers: dict[str, regularizers.Penalty] = {}
        self.activity_regularizer: regularizers.Penalty | None = None
        self._shapes: tuple[tuple[int, ...], tuple[int, ...]] | None = None
        self._outputs: np.ndarray | None = None  # of the last forward, where they cost something
        self._type: np.dtype | None = None  # of them
        self._trains = False  # whether that was a step of training

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for method, guard in (
            ("__init__", _guard_init),
            ("build", _guard_build),
            ("forward", _guard_forward),
            ("backward", _guard_backward),
        ):
            if method in vars(cls):
                setattr(cls, method, guard(vars(cls)[method]))

    @_guard_build
    def build(self, features: int) -> None:
        """Create the weights for this number of inputs; the first `forward` does it too.

        A layer that is built for as many already stays as it is.

        Parameters
        ----------
        features : int
            K, at least 1.

        Raises
        ------
        TypeError
            If `features` is not an integer.
        ValueError
            If it is below 1, or the layer is built for another number. If `build` fails, the layer
            is not built.
        """

    def forward(self, x: Any, training: bool = False) -> np.ndarray:
        """Compute the outputs.

        Parameters
        ----------
        x : array_like of shape (N, K)
            Or (N, a, b, …) for a layer that `flattens`. A layer that is not built is built for it.
        training : bool
            Whether this is a step of training, which some layers compute differently.

        Returns
        -------
        ndarray of shape (N, M)
            In the layer's `dtype`, or for None that of `x`: float64 if `x` is, else float32.

        Raises
        ------
        TypeError
            If `x` is not of real numbers of at most 64 bits.
        ValueError
            If `x` is empty, has other axes or another number of features, or holds numbers that the
            layer's type does not; or if what a layer of one's own returns is of another shape.
        NotImplementedError
            If a subclass does not define it.
        """
        raise NotImplementedError(f"{type(self).__name__}: a layer defines forward")

    def backward(self, dy: Any) -> np.ndarray:
        """Carry a gradient back through the last `forward`, and fill `gradients`.

        Parameters
        ----------
        dy : array_like of shape (N, M)
            Gradient of the loss with respect to the outputs.

        Returns
        -------
        dx : ndarray of shape (N, K)
            In the type of the outputs; the shape is that of `x`.

        Raises
        ------
        RuntimeError
            If there was no `forward` before.
        TypeError
            If `dy` is not of real numbers.
        ValueError
            If `dy` is of another shape; or if a layer of one's own returns another shape than that
            of `x`, or does not set a gradient for each weight added as trainable.
        NotImplementedError
            If a subclass does not define it.
        """
        raise NotImplementedError(f"{type(self).__name__}: a layer defines backward")

    def __call__(self, x: Any, training: bool = False) -> np.ndarray:
        """Compute the outputs: arguments, result and what raises are those of `forward`."""
        return self.forward(x, training)

    @property
    def moving(self) -> dict[str, np.ndarray]:
        """Those of `weights` that an optimizer changes, by name; none if not `trainable`."""
        if not self.trainable:
            return {}
        return {name: w for name, w in self.weights.items() if name not in self._constants}

    @property
    def trainable_weights(self) -> list[np.ndarray]:
        """The weights that an optimizer changes."""
        return list(self.moving.values())

    @property
    def non_trainable_weights(self) -> list[np.ndarray]:
        """The other weights."""
        moving = self.moving
        return [weight for name, weight in self.weights.items() if name not in moving]

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of all weights, in the order of `weights`.

        Returns
        -------
        list of ndarray
            Empty before `build`.
        """
        return [np.array(weight) for weight in self.weights.values()]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Set all weights, in the order of the attribute `weights`.

        Parameters
        ----------
        weights : list of array_like
            As many, and of the same shapes.

        Raises
        ------
        ValueError
            Before the layer is built, or if a count or shape differs; no weight is changed then.
        TypeError
            If it is no list of real arrays.
        """
        if not self.built:
            raise ValueError(f"{self.name}: expected a built layer; call build(features) first")
        check.assign(list(self.weights.values()), weights, "weights")

    def add_weight(
        self,
        name: str,
        shape: Sequence[int],
        initializer: Any = "glorot_uniform",
        trainable: bool = True,
        regularizer: Any = None,
    ) -> np.ndarray:
        """Create ``weights[name]``; for use in `build`.

        Parameters
        ----------
        name : str
        shape : sequence of int
            Each at least 1; ``()`` for a single number.
        initializer : str or callable
            See `fastnn.initializers.get`.
        trainable : bool
            If not, no optimizer changes it, and `backward` makes no gradient of it.
        regularizer : str or object, optional
            See `fastnn.regularizers.get`. What the weight costs is part of the loss, and of its
            gradient after a training pass.

        Returns
        -------
        ndarray
            ``weights[name]``, in the layer's `dtype`.

        Raises
        ------
        TypeError, ValueError
            If the initializer or regularizer is not known, or gives something of another shape or
            kind.
        """
        shape = tuple(shape)
        value = initializers.get(initializer)(shape, self.dtype)
        weight = check.as_real(value, f"initializer of {name}", self.dtype).copy()
        check.expect_shape(weight, f"initializer of {name}", shape)
        self.weights[name] = weight
        if not trainable:
            self._constants.add(name)
        penalty = regularizers.get(regularizer)
        if penalty is not None:
            self.regularizers[name] = penalty
        return weight

    def penalty(self) -> float:
        """Return what the weights that move cost, by their regularizers.

        Returns
        -------
        float
        """
        costs = (
            float(self.regularizers[name](weight))
            for name, weight in self.moving.items()
            if name in self.regularizers
        )
        return sum(costs, 0.0)

    def activity_penalty(self) -> float:
        """Return what the outputs of the last `forward` cost, by the activity regularizer.

        Returns
        -------
        float
            Divided by the rows of the batch.
        """
        if self.activity_regularizer is None or self._outputs is None:
            return 0.0
        return float(self.activity_regularizer(self._outputs)) / len(self._outputs)

    def bind(self, name: str, array: np.ndarray) -> None:
        """Move ``weights[name]`` into `array`: copy its value there, and use that memory from now.

        Parameters
        ----------
        name : str
        array : ndarray
            Of the weight's shape and type, writeable; the rows of a matrix may lie apart.

        Raises
        ------
        KeyError
            If there is no such weight.
        TypeError, ValueError
            If `array` is not such an array; the weight is where it was.

        Notes
        -----
        A model that runs as a compiled plan binds the weights of its layers to memory of its own,
        at the next call.
        """
        weight = self.weights[name]
        check.expect_updatable(array, name, weight)
        if array.dtype != weight.dtype:  # as wide, but in the other byte order
            raise TypeError(f"{name}: expected {weight.dtype}, got {array.dtype}")
        array[...] = weight
        self.weights[name] = array

    def output_features(self, features: int) -> int:
        """Return the number of outputs; a layer of one's own with other than K defines it.

        Parameters
        ----------
        features : int
            K, the number of inputs.

        Returns
        -------
        int
            M.
        """
        return features

    def count_params(self) -> int:
        """Return the number of weights.

        Returns
        -------
        int

        Raises
        ------
        ValueError
            Before the layer is built.
        """
        if not self.built:
            raise ValueError(f"{self.name}: expected a built layer; call build(features) first")
        return sum(weight.size for weight in self.weights.values())


def automatic_name(cls: type) -> str:
    """Return ``dense``, then ``dense_1``, ``dense_2`` and so on."""
    base = snake_case(cls.__name__)
    _names_given[base] += 1
    count = _names_given[base] - 1
    return f"{base}_{count}" if count else base
