"""Build of the compiled core: one source, once for each instruction level and precision.

Environment variables, read here only:
FASTNN_DEBUG=1   bounds checks, assertions, no optimisation
FASTNN_OPENMP=0  without OpenMP (also chosen by itself where the compiler has none): one thread
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DEBUG = os.environ.get("FASTNN_DEBUG", "") not in ("", "0")
MSVC = sys.platform == "win32" and not os.environ.get("CC")

# x86-64-v2 is the floor; -mprefer-vector-width keeps GCC from halving the 512-bit code it is given.
LEVELS = {
    "v2": ["-march=x86-64-v2"],
    "v3": ["-march=x86-64-v3"],
    "v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
}
PRECISIONS = {"float32": [], "float64": ["-DFASTNN_DOUBLE"]}
# Never -ffast-math (its start-up code sets flush-to-zero for the whole process). No contraction:
# the core writes its fused multiply-adds itself, so that each level rounds alike.
OPTIMISE = [
    "-O3",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fvisibility=hidden",
    "-g0",
]
# GCC only: unroll the register tile whole (14 rows x 2 vectors), else it lives in memory.
UNROLL = ["--param=max-completely-peeled-insns=2000", "--param=max-completely-peel-times=64"]


def compiles(flags, source="int main(void) { return 0; }", link=False):
    """Whether the C compiler takes these flags for this source."""
    compiler = os.environ.get("CC", "cc").split()
    if MSVC or shutil.which(compiler[0]) is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "probe.c")
        path.write_text(source)
        command = [*compiler, *flags, str(path), "-o", str(Path(folder, "probe"))]
        if not link:
            command.append("-c")
        return subprocess.run(command, capture_output=True).returncode == 0


def openmp_flags():
    """(compile, link) flags for OpenMP; empty where there is none or none is wanted."""
    if os.environ.get("FASTNN_OPENMP") == "0":
        return [], []
    if MSVC:
        return ["/openmp"], []
    source = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }"
    if compiles(["-Werror", "-fopenmp"], source, link=True):
        return ["-fopenmp"], ["-fopenmp"]
    return [], []


def extensions():
    """The CPUID probe and the core at each level, in float32 and float64."""
    compile_openmp, link_openmp = openmp_flags()
    if MSVC:
        base = ["/O2", "/fp:precise"]
    elif DEBUG:
        base = ["-O1", "-g", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
    else:
        base = ["-DCYTHON_WITHOUT_ASSERTIONS", *OPTIMISE] + [
            flag for flag in UNROLL if compiles(["-Werror", flag])
        ]
    # Symbols would be two thirds of the wheel.
    link = ["-Wl,--strip-all"] if sys.platform == "linux" and not DEBUG else []
    levels = {"portable": []}
    if platform.machine().lower() in ("x86_64", "amd64") and compiles(LEVELS["v4"]):
        levels = LEVELS
    directives = {
        "language_level": 3,
        "cdivision": True,
        "initializedcheck": False,
        "wraparound": False,
        "boundscheck": DEBUG,
    }
    yield from cythonize(
        [Extension("fastnn._cpu", ["fastnn/_cpu.pyx"], extra_link_args=link)],
        build_dir="build/cython",
    )
    for level, flags in levels.items():
        for precision in PRECISIONS:
            name = f"_core_{level}" + ("" if precision == "float32" else "_float64")
            (extension,) = cythonize(
                [Extension(f"fastnn.{name}", ["fastnn/_core.pyx"])],
                build_dir=f"build/cython/{name}",
                compiler_directives=directives,
            )
            # Set afterwards: cythonize merges the flags of extensions that share a source.
            extension.extra_compile_args = base + flags + PRECISIONS[precision] + compile_openmp
            extension.extra_link_args = link + link_openmp
            extension.depends += [str(path) for path in Path("fastnn/core").glob("*.pxi")]
            yield extension


class ParallelBuild(build_ext):
    """The default build, with as many compilers at once as there are processors."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()


setup(ext_modules=list(extensions()), cmdclass={"build_ext": ParallelBuild})
