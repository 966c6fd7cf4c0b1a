"""Every script of examples/ runs as it is, draws its picture, and finds what it says it finds."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastnn as fn

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("[0-9]*.py"))
NUMBER = r"\s*([-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)"

# What comes before a figure in the output, and where the figure must lie.
FIGURES = [
    # 01: differences, algebra and formulas agree; back-propagation too.
    ("01", r"forward: the error falls as h\^", 0.9, 1.1),
    ("01", r"central: the error falls as h\^", 1.9, 2.1),
    ("01", r"central: .* is least at h =", 1e-6, 1e-4),
    ("01", r"simplified:", 0, 0),
    ("01", r"gelu +largest difference", 0, 1e-9),
    ("01", r"softmax:  largest difference", 0, 1e-9),
    ("01", r"logistic: largest difference", 0, 1e-9),
    ("01", r"\nx +\(5, 4\) +20 +0 +", 0, 1e-8),
    # 02: three ways to one optimum.
    ("02", r"Brute force misses the optimum by", 0, 0.02),
    ("02", r"Gradient descent misses it by", 0, 1e-9),
    ("02", r"the network by", 0, 1e-9),
    ("02", r"\nfrom .* to", 100, 1e6),
    # 03: what a line separates is learned, XOR is not.
    ("03", r"accuracy", 1, 1),
    ("03", r"accuracy 1.000 after", 1, 700),
    ("03", r"AND ", 4, 4),
    ("03", r"XOR ", 0, 3),
    ("03", r"XOR with a hidden layer of 4 units:", 4, 4),
    # 04: the same as scikit-learn.
    ("04", r"largest difference", 0, 1e-6),
    ("04", r"  accuracy", 0.87, 0.95),
    ("04", r"test accuracy", 0.94, 1),
    ("04", r"scikit-learn gives", 99, 100),
    ("04", r"differ by at most", 0, 2e-3),
    # 05: more units, less error, down to the noise; boundaries that are no lines.
    ("05", r"\n +1 +4 ", 0.4, 0.7),
    ("05", r"\n +20 +61 ", 0.13, 0.16),
    ("05", r"moons    a line .* units", 0.97, 1),
    ("05", r"spirals  a line", 0.4, 0.7),
    ("05", r"spirals  a line .* units", 0.97, 1),
    # 06: the beginner's network, by hand and by fit.
    ("06", r"the same weights but for", 0, 0),
    ("06", r"\n +2 +[.\d]+ +[.\d]+ ", 0.6, 0.9),
    ("06", r"\n +30 +[.\d]+ +[.\d]+ ", 0.95, 1),
    # 07: new digits read by a network that learned by heart, and with remedies.
    ("07", r"none .* 60 +", 0.97, 1),
    ("07", r"none .* 60 +[.\d]+ ", 0.7, 0.85),
    ("07", r"L1 .* 60 +[.\d]+ ", 0.86, 0.95),
    ("07", r"L2 .* 60 +[.\d]+ ", 0.86, 0.95),
    ("07", r"dropout .* 60 +[.\d]+ ", 0.86, 0.96),
    ("07", r"noise .* 60 +[.\d]+ ", 0.88, 0.97),
    ("07", r"smaller network .* 60 +[.\d]+ ", 0.82, 0.93),
    ("07", r"early stopping +\d+ +\d+ +[.\d]+ ", 0.86, 0.95),
    # 08: what a valley, a ravine and a saddle are to each optimizer.
    ("08", r"\nSGD", 0.1, 2),
    ("08", r"\nSGD +\S+ \(\S+\)", 0.1, 1),
    ("08", r"\nmomentum +\S+ \(\S+\)", 0, 1e-4),
    ("08", r"\nL-BFGS", 0, 1e-12),
    ("08", r"\nL-BFGS +\S+ +\S+", 0.25, 0.25),
    ("08", r"is left .*\nSGD", 40, 60),
    ("08", r"is left (?:.*\n)+Adam", 2, 10),
    # 09: gradients that vanish, networks that learn nothing; three cures.
    ("09", r"sigmoid, Glorot ", 0, 1e-5),
    ("09", r"sigmoid, small weights.* ", 5, 25),
    ("09", r"relu, He ", 0.1, 10),
    ("09", r"relu, He .* ", 90, 100),
    ("09", r"sigmoid, Glorot, batch norm.* ", 90, 100),
    # 10: completeness; maps that point at what matters.
    ("10", r"Test accuracy:", 96, 100),
    ("10", r"\n +1 ", 1, 20),
    ("10", r"\n +100 ", 0, 0.3),
    ("10", r"integrated gradients +\S+ +\S+", 0, 10),
    ("10", r"ink at random +\S+ +\S+", 60, 95),
    # 11: the best of many trials, on digits that had no say; what matters.
    ("11", r"validation\n.* ", 95, 100),
    ("11", r"The best reads", 98, 99.9),
    ("11", r"that chose it, but", 95, 98),
    ("11", r"Trained anew on all 1437 training digits, it reads", 96, 100),
    ("11", r"learning_rate", 50, 95),
    # 12: features without labels are worth labels.
    ("12", r"noise", 0, 40),
    ("12", r"its own samples", -45, -15),
    ("12", r"test digits", -45, -15),
    ("12", r"\n +20 ", 50, 65),
    ("12", r"\n +20 +\S+", 70, 85),
    # 13: pixels do little better than chance (50), an embedding does.
    ("13", r"\nmean", 58, 64),
    ("13", r"\nmean +\S+", 70, 80),
    # 14: a linear autoencoder is principal components, a deep one is better.
    ("14", r"\n +8 ", 0.0246, 0.0247),
    ("14", r"\n +8 +\S+", 0.0246, 0.0248),
    ("14", r"\n +8 +\S+ +\S+", 0.01, 0.016),
]


def run(folder, *command):
    """Run Python as a user would, in an empty folder, and return what it printed."""
    environment = os.environ | {
        "MPLBACKEND": "Agg",
        "PYTHONPATH": str(Path(fn.__file__).parents[1]),
        "PYTHONIOENCODING": "utf-8",
        # Small networks; threads that wait for a busy core would take longer than one alone.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-W", "error::UserWarning", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_finds_what_it_says(script, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("sympy")
    pytest.importorskip("sklearn")
    picture = tmp_path / "picture.png"
    printed = run(tmp_path, script, "--picture", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]
    figures = [figure for figure in FIGURES if figure[0] == script.name[:2]]
    assert figures, f"expected a row for {script.name} in FIGURES"
    for _, before, low, high in figures:
        found = re.search(before + NUMBER, printed)
        assert found, f"expected {before!r}, got {printed}"
        assert low <= float(found[1]) <= high, f"{found[0]!r}: expected {low} to {high}"


@pytest.mark.parametrize(
    "number, skipped",
    [
        ("01", "2. skipped: SymPy"),
        ("04", "scikit-learn is not installed"),
        ("11", "scikit-learn is not installed"),
    ],
)
def test_scripts_do_without_what_is_optional(number, skipped, tmp_path):
    script = next(script for script in SCRIPTS if script.name.startswith(number))
    hide = (
        "import runpy, sys; sys.modules.update(dict.fromkeys(['matplotlib', 'sympy', 'sklearn'])); "
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    printed = run(tmp_path, "-c", hide, script, "--picture", "picture.png")
    assert skipped in printed
    assert "No picture: matplotlib is not installed" in printed
    assert not list(tmp_path.iterdir())


def test_every_script_is_in_the_table_with_its_picture():
    table = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for script in SCRIPTS:
        picture = EXAMPLES / "pictures" / f"{script.stem}.png"
        assert f"({script.name})" in table
        assert f"(pictures/{picture.name})" in table
        assert picture.stat().st_size < 60_000
