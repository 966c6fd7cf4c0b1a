"""The typed seam of every build of the compiled core (`_dispatch.core`).

`real` is float32 or float64, as the build. A function takes plain arrays only (see seam.pxi); given
others, it returns None with nothing changed. `threads` is an upper limit. The arrays of a plan are
padded, their rows may lie apart, and it trusts its caller.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_Real = NDArray[np.float32] | NDArray[np.float64]
_Labels = NDArray[np.int64]

level: str  # "v2", "v3", "v4" or "portable"
precision: str  # "float32" or "float64"
openmp: bool
compiler: str
lanes: int  # numbers of `real` in a whole logical vector

# The elementwise ones; `numbers` are the parameters of one. Several names may share a code.
ACTIVATIONS: dict[str, int]
FROM_INPUT: frozenset[str]  # those whose gradient is computed from their input, not their output
ROW_ACTIVATIONS: dict[str, int]  # those over rows; for the functions here, not for a plan
LOSSES: dict[str, int]
UPDATES: dict[str, int]
UPDATE_SLOTS: dict[str, int]  # how many slots each update keeps
hypers: int  # length of a row of numbers for an update
hyper_places: dict[str, int]  # where in it the numbers stand that all updates have in common
TRAIN: int  # modes of Plan.run; those of an operation are or'ed
TEST: int
PREDICT: int

def matmul(
    a: Any, b: Any, transpose_a: Any, transpose_b: Any, out: Any, threads: int
) -> _Real | None: ...
def dense_forward(
    x: Any,
    kernel: Any,
    bias: Any,
    activation: int,
    numbers: tuple[float, ...],
    out: Any,
    threads: int,
) -> _Real | None: ...
def activate(
    code: int, numbers: tuple[float, ...], x: Any, out: Any, threads: int
) -> _Real | None: ...
def activate_gradient(
    code: int, numbers: tuple[float, ...], saved: Any, dy: Any, out: Any, threads: int
) -> _Real | None: ...
def column_sum(x: Any, out: Any, threads: int) -> _Real | None: ...
def loss(
    code: int,
    numbers: tuple[float, ...],
    y_pred: Any,
    y_true: Any,
    weights: Any,
    scale: float | None,
    threads: int,
) -> tuple[_Real, _Real] | None: ...
def update(
    code: int, hyper: tuple[float, ...], w: Any, g: Any, slots: tuple[Any, ...], threads: int
) -> _Real | None: ...
def add_penalty(g: Any, w: Any, l1: float, l2: float, threads: int) -> _Real | None: ...
def sum_of_squares(x: Any, threads: int) -> float | None: ...
def affine(x: Any, scale: Any, shift: Any, center: Any, out: Any, threads: int) -> _Real | None: ...
def prelu(x: Any, alpha: Any, out: Any, threads: int) -> _Real | None: ...
def prelu_gradient(x: Any, alpha: Any, dy: Any, threads: int) -> tuple[_Real, _Real] | None: ...
def batch_normalization(
    x: Any, gamma: Any, beta: Any, epsilon: float, threads: int
) -> tuple[_Real, _Real, _Real] | None: ...
def batch_normalization_gradient(
    x: Any,
    mean: Any,
    variance: Any,
    gamma: Any,
    dy: Any,
    epsilon: float,
    constant: bool,
    threads: int,
) -> tuple[_Real, _Real, _Real] | None: ...
def layer_normalization(
    x: Any, gamma: Any, beta: Any, epsilon: float, threads: int
) -> tuple[_Real, _Real, _Real] | None: ...
def layer_normalization_gradient(
    x: Any, mean: Any, inverse: Any, gamma: Any, dy: Any, threads: int
) -> tuple[_Real, _Real, _Real] | None: ...
def multiply(x: Any, y: Any, out: Any, threads: int) -> _Real | None: ...
def dropout(
    x: Any, rate: float, seed: int, number: int, threads: int
) -> tuple[_Real, _Real] | None: ...
def gaussian_noise(x: Any, stddev: float, seed: int, number: int, threads: int) -> _Real | None: ...
def permutation(n: int, seed: int) -> np.ndarray: ...
def fma_burn(n: int, threads: int) -> float: ...

class Plan:
    """A list of kernels over padded arrays of `batch` rows."""

    def __init__(self, batch: int) -> None: ...
    def gather(
        self,
        x: _Real,
        labels: _Labels | None,
        y: _Real | None,
        weights: _Real | None,
        only_products: bool = False,
    ) -> None: ...
    def dense_forward(
        self,
        x: _Real,
        k: int,
        kernel: _Real,
        bias: _Real | None,
        activation: int,
        numbers: tuple[float, ...],
        y: _Real,
        z: _Real | None,
        sync: bool = True,
    ) -> None: ...
    def dense_backward_input(
        self,
        dz: _Real,
        m: int,
        kernel: _Real,
        k: int,
        saved: _Real,
        activation: int,
        numbers: tuple[float, ...],
        dx: _Real,
        sync: bool = True,
    ) -> None: ...
    def dense_update(
        self,
        x: _Real,
        k: int,
        dz: _Real,
        kernel: _Real,
        kernel_slots: tuple[_Real, ...],
        bias: _Real | None,
        bias_slots: tuple[_Real, ...],
        optimizer: int,
        kernel_penalty: tuple[float, float] = ...,
        bias_penalty: tuple[float, float] = ...,
        sync: bool = True,
    ) -> None: ...
    def add_penalty(
        self, g: _Real, w: _Real, cols: int, l1: float, l2: float, sync: bool = True
    ) -> None: ...
    def square_sum(
        self, x: _Real, cols: int, partial: NDArray[np.float64], sync: bool = True
    ) -> None: ...
    def clip_factor(
        self,
        partials: tuple[NDArray[np.float64], ...],
        together: bool,
        factors: _Real,
        sync: bool = True,
    ) -> None: ...
    def update(
        self,
        g: _Real,
        cols: int,
        w: _Real,
        slots: tuple[_Real, ...],
        optimizer: int,
        factor: _Real | None,
        penalty: tuple[float, float],
        sync: bool = True,
    ) -> None: ...
    def dense_gradient(
        self,
        x: _Real,
        k: int,
        dz: _Real,
        kernel: _Real,
        bias: _Real | None,
        sync: bool = True,
    ) -> None: ...
    def penalty(
        self,
        x: _Real,
        cols: int,
        l1: float,
        l2: float,
        partial: NDArray[np.float64],
        counts_rows: bool,
    ) -> None: ...
    def penalty_total(self, partial: NDArray[np.float64], of_rows: bool) -> None: ...
    def activity_gradient(
        self,
        y: _Real,
        dy: _Real,
        cols: int,
        l1: float,
        l2: float,
        dx: _Real,
        sync: bool = True,
    ) -> None: ...
    def activate(
        self,
        code: int,
        numbers: tuple[float, ...],
        x: _Real,
        y: _Real,
        modes: int,
        sync: bool = True,
    ) -> None: ...
    def activate_gradient(
        self,
        code: int,
        numbers: tuple[float, ...],
        saved: _Real,
        dy: _Real,
        cols: int,
        dx: _Real,
        sync: bool = True,
    ) -> None: ...
    def softmax(
        self, x: _Real, cols: int, y: _Real, log: bool, modes: int, sync: bool = True
    ) -> None: ...
    def softmax_gradient(
        self, y: _Real, dy: _Real, cols: int, dx: _Real, log: bool, sync: bool = True
    ) -> None: ...
    def column_scale(
        self,
        gamma: _Real | None,
        variance: _Real,
        cols: int,
        epsilon: float,
        at_least: bool,
        scale: _Real,
        modes: int,
    ) -> None: ...
    def affine(
        self,
        x: _Real,
        cols: int,
        scale: _Real,
        shift: _Real | None,
        center: _Real | None,
        y: _Real,
        modes: int,
        sync: bool = True,
    ) -> None: ...
    def finish_affine(
        self,
        y: _Real,
        scale: _Real,
        shift: _Real | None,
        center: _Real | None,
        activation: int,
        activation_numbers: tuple[float, ...],
    ) -> bool: ...
    def prelu(
        self, x: _Real, cols: int, alpha: _Real, y: _Real, modes: int, sync: bool = True
    ) -> None: ...
    def prelu_gradient(
        self,
        x: _Real,
        cols: int,
        alpha: _Real,
        dy: _Real,
        dx: _Real | None,
        dalpha: _Real | None,
        sync: bool = True,
    ) -> None: ...
    def batch_norm(
        self,
        x: _Real,
        cols: int,
        gamma: _Real | None,
        beta: _Real | None,
        epsilon: float,
        mean: _Real,
        variance: _Real,
        moving_mean: _Real,
        moving_variance: _Real,
        momentum: float,
        activation: int,
        activation_numbers: tuple[float, ...],
        y: _Real,
        sync: bool = True,
    ) -> None: ...
    def batch_norm_gradient(
        self,
        x: _Real,
        cols: int,
        mean: _Real,
        variance: _Real,
        gamma: _Real | None,
        epsilon: float,
        constant: bool,
        dy: _Real,
        dx: _Real | None,
        dgamma: _Real | None,
        dbeta: _Real | None,
        sync: bool = True,
    ) -> None: ...
    def layer_norm(
        self,
        x: _Real,
        cols: int,
        gamma: _Real | None,
        beta: _Real | None,
        epsilon: float,
        mean: _Real,
        inverse: _Real,
        y: _Real,
        modes: int,
        sync: bool = True,
    ) -> None: ...
    def layer_norm_gradient(
        self,
        x: _Real,
        cols: int,
        mean: _Real,
        inverse: _Real,
        gamma: _Real | None,
        dy: _Real,
        dx: _Real | None,
        dgamma: _Real | None,
        dbeta: _Real | None,
        sync: bool = True,
    ) -> None: ...
    def dropout(
        self,
        x: _Real,
        cols: int,
        rate: float,
        seed: int,
        mask: _Real,
        y: _Real,
        sync: bool = True,
    ) -> int: ...
    def gaussian_noise(
        self, x: _Real, cols: int, stddev: float, seed: int, y: _Real, sync: bool = True
    ) -> int: ...
    def start_draws(self, place: int, number: int) -> None: ...
    def multiply(self, x: _Real, y: _Real, cols: int, out: _Real, sync: bool = True) -> None: ...
    def output(self, y: _Real, cols: int, sync: bool = False) -> None: ...
    def loss(
        self,
        code: int,
        numbers: tuple[float, ...],
        summed: bool,
        y_pred: _Real,
        cols: int,
        labels: _Labels | None,
        y_true: _Real | None,
        weights: _Real | None,
        values: _Real,
        hits: _Real | None,
        gradient: _Real | None,
    ) -> None: ...
    def stand_for(
        self,
        features: int,
        work: float,
        work_per_thread: float,
        network: tuple[list[Any], tuple[Any, ...]],
        watched: tuple[tuple[dict[str, Any], str, Any], ...],
    ) -> None: ...
    def stands(self) -> bool: ...
    def predict(self, x: Any, out: Any, limit: int) -> _Real | None: ...
    def run(
        self,
        mode: int,
        x: _Real,
        labels: _Labels | None,
        y: _Real | None,
        weights: _Real | None,
        order: _Labels | None,
        start: int,
        stop: int,
        hyper: _Real | None,
        predictions: _Real | None,
        threads: int,
        loss: float = 0.0,
    ) -> tuple[float, float]: ...
