"""One regression, three ways to its minimum: brute force, closed form, gradient descent.

The line y = slope x + offset is fitted to noisy points by the mean squared error,
C(w) = |X w - y|² / n, with X = [x 1] and w = [slope offset].

1. Brute force computes C at every point of a grid: no knowledge of C needed, but k steps along each
   of m weights cost k^m evaluations.
2. Closed form: the gradient 2 Xᵀ(X w - y) / n is 0 where XᵀX w = Xᵀy, the normal equations. Exact,
   in about n m² + m³ / 3 operations, but only because C is quadratic.
3. Gradient descent, w <- w - rate * gradient, goes downhill from anywhere, step by step, and works
   as well for networks, whose C has no closed form. It needs a rate below 2 / (largest eigenvalue
   of the Hessian 2 XᵀX / n), and the ratio of the eigenvalues says how slow the end is.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

import numpy as np

import fastnn as fn
from fastnn import kernels, layers, losses, optimizers

script = Path(__file__)
parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--picture", default=script.parent / "pictures" / f"{script.stem}.png")
picture = parser.parse_args().picture

random = np.random.default_rng(0)
n = 200
x = np.sort(random.uniform(-1, 3, n))
y = 0.8 * x - 0.5 + random.normal(0, 0.4, n)
matrix = np.column_stack([x, np.ones(n)])


def cost(w):
    return np.mean((matrix @ w - y) ** 2)


def gradient(w):
    return 2 * matrix.T @ (matrix @ w - y) / n


# ---- 1. brute force --------------------------------------------------------------------------

start = perf_counter()
side = np.linspace(-2, 2, 401)  # one weight in steps of 0.01
grid = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
costs = np.concatenate(
    # All points of the grid that share a slope at once: (200, 2) @ (2, 401).
    [np.mean((kernels.matmul(matrix, w.T) - y[:, None]) ** 2, axis=0) for w in np.split(grid, 401)]
)
brute = grid[costs.argmin()]
brute_time = perf_counter() - start

# ---- 2. closed form --------------------------------------------------------------------------

start = perf_counter()
products = kernels.matmul(matrix, matrix, transpose_a=True)
exact = np.linalg.solve(products, matrix.T @ y)
exact_time = perf_counter() - start

# ---- 3. gradient descent ---------------------------------------------------------------------

eigenvalues = np.linalg.eigvalsh(2 * products / n)
limit = 2 / eigenvalues[-1]
rate = 0.4 * limit
start = perf_counter()
descent = fn.minimize(cost, gradient, [-1.5, 1.5], optimizers.SGD(rate), steps=300)
descent_time = perf_counter() - start
too_fast = fn.minimize(cost, gradient, [-1.5, 1.5], optimizers.SGD(1.1 * limit), steps=20)

# The same by a network of one unit: 300 epochs, each one batch of all rows.
model = fn.Sequential([fn.Input(1), layers.Dense(1, dtype="float64")])
model.compile(optimizers.SGD(rate), losses.MeanSquaredError())
model.set_weights([[[-1.5]], [1.5]])
start = perf_counter()
model.fit(x[:, None], y, batch_size=n, epochs=300)
network_time = perf_counter() - start
network = np.array([weight.item() for weight in model.weights])

# ---- the same optimum ------------------------------------------------------------------------

rows = [
    ("brute force", brute, f"{len(grid):,} costs", brute_time),
    ("closed form", exact, "2 equations", exact_time),
    ("gradient descent", descent.x, "300 gradients", descent_time),
    ("network of one unit", network, "300 gradients", network_time),
]
print("                         slope     offset       cost   work               time")
for name, w, work, seconds in rows:
    print(f"{name:20} {w[0]:9.6f}  {w[1]:9.6f}  {cost(w):9.7f}   {work:15} {1e3 * seconds:6.2f} ms")
print(f"\nBrute force misses the optimum by {np.abs(brute - exact).max():.4f}: its step is 0.01.")
print(f"Gradient descent misses it by {np.abs(descent.x - exact).max():.1e},")
print(f"the network by {np.abs(network - exact).max():.1e}.")
print(f"\nWith ten weights the same grid would take {brute_time * 401.0**8 / 3.15e7:.0e} years.")
print(f"Eigenvalues of the Hessian: {eigenvalues[0]:.3f} and {eigenvalues[1]:.3f}.")
print(f"So a rate above {limit:.3f} climbs: with 1.1 times that, 20 steps raise the cost")
print(f"from {too_fast.values[0]:.1f} to {too_fast.values[-1]:.1f}.")

# ---- picture ---------------------------------------------------------------------------------

if find_spec("matplotlib"):
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.plot(x, y, ".", color="grey")
    left.plot(x, matrix @ exact, color="C3", label="closed form")
    left.plot(x, matrix @ brute, "--", color="black", label="brute force")
    left.set(xlabel="x", ylabel="y", title="the line")
    left.legend()

    def landscape(slope, offset):
        return np.mean((slope[..., None] * x + offset[..., None] - y) ** 2, axis=-1)

    fn.plotting.contour(landscape, (-2, 2), (-2, 2), {"gradient descent": descent.path}, ax=right)
    right.set(xlabel="slope", ylabel="offset", title="the cost, and the way down")
    figure.savefig(picture, dpi=80)
    print(f"\nPicture: {picture}")
else:
    print("\nNo picture: matplotlib is not installed (python -m pip install 'fastnn[plot]')")
