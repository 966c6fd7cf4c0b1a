"""Derivatives three ways: by differences, by a computer's algebra, and by formula.

A network learns from derivatives, so everything that follows rests on them being right.

1. A difference quotient has two errors. With a step h, truncation is of order h (forward) or h²
   (central), and rounding is of order eps / h: too small a step is as bad as too large a one.
2. Algebra (SymPy) finds the derivative of the logistic function, s'(x) = s(x) (1 - s(x)).
3. An activation computes its gradient dx = dy * act'(x) from its output y, a few from x.
4. A function of many variables has a matrix of derivatives, its Jacobian. That of softmax is
   diag(p) - p pᵀ, of the logistic function diag(p (1 - p)).
5. Back-propagation through a whole network, checked the same way.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import fastnn as fn
from fastnn import activations, gradients, layers

script = Path(__file__)
parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--picture", default=script.parent / "pictures" / f"{script.stem}.png")
picture = parser.parse_args().picture

# ---- 1. difference quotients -----------------------------------------------------------------


def logistic(x):
    return 1 / (1 + np.exp(-x))


x = 1.0
exact = logistic(x) * (1 - logistic(x))
steps = 10.0 ** -np.arange(1, 14)
errors = {
    method: [abs(gradients.numerical_gradient(logistic, x, method, h) - exact) for h in steps]
    for method in ("forward", "central")
}
print(f"1. Derivative of the logistic function at {x:g}: {exact:.10f}")
print("   error by the step of the difference quotient")
print("        h   forward   central")
for h, forward, central in zip(steps, errors["forward"], errors["central"], strict=True):
    print(f"   {h:.0e}   {forward:.1e}   {central:.1e}")
for method, found in errors.items():
    order = np.log10(found[0] / found[1])  # of the first two steps, where truncation rules
    best = steps[np.argmin(found)]
    print(f"   {method}: the error falls as h^{order:.2f} at first, is least at h = {best:.0e}")

# ---- 2. algebra ------------------------------------------------------------------------------

if find_spec("sympy"):
    import sympy

    t = sympy.Symbol("t", real=True)
    s = 1 / (1 + sympy.exp(-t))
    slope = sympy.diff(s, t)
    print(f"\n2. SymPy: d/dt {s} = {slope}")
    print(f"   minus s (1 - s), simplified: {sympy.simplify(slope - s * (1 - s))}")
    z = sympy.symbols("z1:4", real=True)
    p = sympy.Matrix([sympy.exp(zi) for zi in z]) / sum(map(sympy.exp, z))
    rest = sympy.simplify(p.jacobian(z) - (sympy.diag(*p) - p * p.T))
    print(f"   Jacobian of softmax minus (diag(p) - p pT): {rest.tolist()}")
else:
    print("\n2. skipped: SymPy is not installed (python -m pip install sympy)")

# ---- 3. the gradient of an activation --------------------------------------------------------

points = np.linspace(-4, 4, 9)
print("\n3. Gradients of activations against central differences")
for name in ("sigmoid", "tanh", "softplus", "relu", "gelu"):
    activation = activations.get(name)
    at = points[points != 0] if name == "relu" else points  # relu has a kink at 0
    analytic = activation.gradient(activation(at), np.ones_like(at), x=at)
    numerical = np.diag(gradients.jacobian(activation, at))
    print(f"   {name:8} largest difference {np.abs(analytic - numerical).max():.1e}", end="")
    print(", from the input" if activation.from_input else "")

# ---- 4. Jacobians ----------------------------------------------------------------------------

scores = np.array([2.0, 1.0, -1.0])
p = activations.softmax(scores)
jacobian = gradients.softmax_jacobian(p)
numerical = gradients.jacobian(activations.softmax, scores)
print(f"\n4. softmax of {scores} is {p.round(4)}; its Jacobian:")
print("   " + str(jacobian.round(4)).replace("\n", "\n   "))
print(f"   softmax:  largest difference {np.abs(jacobian - numerical).max():.1e}")
columns = np.abs(jacobian.sum(axis=0)).max()
print(f"   its columns sum to {columns:.0e}: softmax sums to 1, whatever the scores")
difference = gradients.sigmoid_jacobian(activations.sigmoid(scores)) - gradients.jacobian(
    activations.sigmoid, scores
)
print(f"   logistic: largest difference {np.abs(difference).max():.1e}")
# Back-propagation needs J.T @ dy only, and gets it without a matrix: p * (dy - p @ dy).
dy = np.array([1.0, 0.0, 0.0])
product = activations.softmax.gradient(p, dy)
print(f"   gradient(p, dy) is the row of dy = {dy}: {np.allclose(product, jacobian.T @ dy)}")

# ---- 5. a network ----------------------------------------------------------------------------

fn.set_random_seed(0)
model = fn.Sequential([fn.Input(4), layers.Dense(8, "tanh"), layers.Dense(3, "softmax")])
model.compile(loss="sparse_categorical_crossentropy")
rows = np.random.default_rng(0).normal(size=(5, 4))
report = gradients.check_gradients(model, rows, [0, 1, 2, 0, 1])
print("\n5. Back-propagation against central differences\n")
print(report)

# ---- picture ---------------------------------------------------------------------------------

if find_spec("matplotlib"):
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    fn.plotting.function("sigmoid", ax=left)
    left.set_title("logistic function and derivative")
    for method, found in errors.items():
        right.loglog(steps, found, "o-", label=method)
    right.set(xlabel="step h", ylabel="error", title="difference quotients: truncation, rounding")
    right.legend()
    figure.savefig(picture, dpi=80)
    print(f"\nPicture: {picture}")
else:
    print("\nNo picture: matplotlib is not installed (python -m pip install 'fastnn[plot]')")
