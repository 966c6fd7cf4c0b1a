"""Optimizers in a valley and a ravine, at a saddle and among local minima.

Gradient descent, ``w -= rate * g``, needs a rate that suits the steepest direction, and then crawls
along the flat ones. Momentum remembers, ``v = 0.9 v - rate * g; w += v``; Nesterov's looks ahead.
AdaGrad, RMSprop and Adam divide each coordinate's step by the size of that coordinate's gradients,
so that they leave a saddle, where gradients are small, sooner. L-BFGS estimates the curvature and
searches along a line for how far to go: by far the fastest in a valley, but it takes a saddle for a
minimum where the gradient is nearly 0. Which of many minima is found is luck for all of them.

Each runs on each function at the learning rate that suits it best.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import fastnn as fn
from fastnn import optimizers

script = Path(__file__)
parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--picture", default=script.parent / "pictures" / f"{script.stem}.png")
picture = parser.parse_args().picture

STEPS = 150
RATES = [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0]
RACERS = {
    "SGD": optimizers.SGD,
    "momentum": optimizers.Momentum,
    "Nesterov": optimizers.Nesterov,
    "AdaGrad": optimizers.Adagrad,
    "RMSprop": optimizers.RMSprop,
    "Adam": optimizers.Adam,
    "L-BFGS": optimizers.LBFGS,
}


# ---- functions and their gradients, each with the least value 0 --------------------------------


def rosenbrock(x, y):
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def rosenbrock_gradient(x, y):
    return -2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)


def ravine(x, y):
    return (x**2 + 100 * y**2) / 2


def ravine_gradient(x, y):
    return x, 100 * y


def saddle(x, y):
    return x**2 + (y**2 - 1) ** 2 / 4


def saddle_gradient(x, y):
    return 2 * x, y**3 - y


def bumps(x, y):  # Rastrigin's function, its bumps a fifth as high
    return x**2 + y**2 + 2 * (2 - np.cos(2 * np.pi * x) - np.cos(2 * np.pi * y))


def bumps_gradient(x, y):
    return 2 * x + 4 * np.pi * np.sin(2 * np.pi * x), 2 * y + 4 * np.pi * np.sin(2 * np.pi * y)


# Function, gradient, start, and what is drawn: the ranges of x and y.
LANDSCAPES = {
    "valley (Rosenbrock)": (rosenbrock, rosenbrock_gradient, (-1.2, 1.0), (-2, 2), (-1, 3)),
    "ravine (condition 100)": (ravine, ravine_gradient, (-4.0, 1.0), (-5, 2), (-1.5, 1.5)),
    "saddle at (0, 0)": (saddle, saddle_gradient, (-1.0, 1e-6), (-1.2, 1.2), (-1.5, 1.5)),
    "local minima": (bumps, bumps_gradient, (-2.4, 1.7), (-3, 3), (-3, 3)),
}


# ---- the race --------------------------------------------------------------------------------


def best_run(kind, function, gradient, start):
    """The learning rate with the lowest values over the last third of the steps, and its run."""
    runs = {}
    for rate in [None] if kind is optimizers.LBFGS else RATES:  # L-BFGS has none
        optimizer = kind() if rate is None else kind(rate)
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                runs[rate] = fn.minimize(
                    lambda w: function(*w), lambda w: gradient(*w), start, optimizer, STEPS
                )
        except ValueError:  # it diverged
            continue
    return min(runs.items(), key=lambda run: run[1].values[-STEPS // 3 :].mean())


found = {
    name: {racer: best_run(kind, *landscape[:3]) for racer, kind in RACERS.items()}
    for name, landscape in LANDSCAPES.items()
}

print(f"Value after {STEPS} steps, at the best of {len(RATES)} learning rates (in brackets)")
print(" " * 9 + "".join(f"{name:^25}" for name in LANDSCAPES))
for racer in RACERS:
    line = f"{racer:9}"
    for runs in found.values():
        rate, run = runs[racer]
        line += f"{run.values[-1]:14.1e} {'' if rate is None else f'({rate:g})':10}"
    print(line.rstrip())

print("\nSteps until the saddle, of value 0.25, is left for a value below 0.125")
for racer, (_, run) in found["saddle at (0, 0)"].items():
    below = np.flatnonzero(run.values < 0.125)
    print(f"{racer:9}{below[0] if len(below) else 'never':>6}")

# ---- picture ---------------------------------------------------------------------------------

if find_spec("matplotlib"):
    from matplotlib import pyplot

    shown = ["SGD", "momentum", "Adam", "L-BFGS"]
    figure, axes = pyplot.subplots(1, 4, figsize=(11.5, 3.1), layout="constrained")
    for ax, (name, (function, _, _, *ranges)) in zip(axes, LANDSCAPES.items(), strict=True):
        paths = {racer: found[name][racer][1].path for racer in shown}
        fn.plotting.contour(function, *ranges, paths, levels=6, ax=ax)
        ax.set(title=name)
        ax.yaxis.labelpad = 0
        legend = ax.get_legend()
        handles = legend.legend_handles
        legend.remove()
    figure.legend(handles, shown, loc="outside lower center", ncols=4)
    figure.savefig(picture, dpi=72)
    print(f"\nPicture: {picture}")
else:
    print("\nNo picture: matplotlib is not installed (python -m pip install 'fastnn[plot]')")
