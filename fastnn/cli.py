"""The command line: `fastnn demo`, `fastnn bench`, `fastnn info`."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import fastnn as fn
from fastnn._dispatch import MAX_THREADS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.

    Returns
    -------
    int
        The exit code: 0, or 1 where a result was not what it should be.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not every terminal has a µ
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return {"demo": _demo, "bench": _bench, "info": _info}[options.command](parser, options)
    except ConnectionError as error:  # a process of the benchmark died
        print(f"fastnn: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastnn", description="Dense neural networks on the CPU, at the speed of the machine."
    )
    parser.add_argument("--version", action="version", version=f"fastnn {fn.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    demo = commands.add_parser("demo", help="learn handwritten digits, and race NumPy")
    demo.add_argument("--epochs", type=_positive, default=60, metavar="N", help="default: 60")
    demo.add_argument("--seed", type=_seed, default=0, metavar="S", help="default: 0")
    demo.add_argument(
        "--output",
        type=_picture,
        default=Path("fastnn-demo.png"),
        metavar="PNG",
        help="where the picture goes; default: fastnn-demo.png",
    )
    demo.add_argument("--no-plot", action="store_true", help="save no picture")

    bench = commands.add_parser("bench", help="verify and time kernels and training steps")
    length = bench.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="a few rows, fewer rounds")
    length.add_argument("--full", action="store_true", help="large networks too: some minutes")
    bench.add_argument(
        "--only", default="", metavar="PATTERN", help="rows whose name holds this; * and ? match"
    )
    bench.add_argument(
        "--threads", type=_threads, metavar="N,N", help="default: 1, 2, 4 ... up to the limit"
    )
    bench.add_argument("--json", type=_path, metavar="FILE", help="write the report there")
    bench.add_argument("--plot", type=_picture, metavar="FILE.png", help="draw the products there")

    commands.add_parser("info", help="show the version, the build and the machine")
    return parser


def _whole(text: str, least: int, most: int | None = None) -> int:
    limits = f"of at least {least}" if most is None else f"from {least} to {most}"
    if not text.strip().isdecimal() or not least <= int(text) <= (most or int(text)):
        raise argparse.ArgumentTypeError(f"expected a whole number {limits}, got {text!r}")
    return int(text)


def _positive(text: str) -> int:
    return _whole(text, 1)


def _seed(text: str) -> int:
    return _whole(text, 0)


def _threads(text: str) -> list[int]:
    return [_whole(part, 1, MAX_THREADS) for part in text.split(",")]


def _path(text: str) -> Path:
    """Return a path for a new file; what keeps it from it is better told now than at the end."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"expected a file in an existing folder, got {text!r}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"expected a file that can be written, got {text!r}")
    return path


def _picture(text: str) -> Path:
    if Path(text).suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"expected a name that ends in .png, got {text!r}")
    return _path(text)


def _thread_counts(limit: int) -> list[int]:
    """Return 1, 2, 4 ... and the limit."""
    return sorted({limit, *(2**i for i in range(limit.bit_length()) if 2**i <= limit)})


def _demo(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    from fastnn import demo

    return demo.run(options.epochs, options.seed, None if options.no_plot else options.output)


def _bench(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    from fastnn import benchmark

    if options.plot and find_spec("matplotlib") is None:
        parser.error(f"--plot: matplotlib is needed: {benchmark.GET_MATPLOTLIB}")
    selected = benchmark.select(options.only, options.quick, options.full)
    if not selected:
        parser.error(f"--only: no row's name holds {options.only!r}")
    report = benchmark.run(
        selected,
        options.threads or _thread_counts(fn.get_num_threads()),
        benchmark.contestants(),
        rounds=5 if options.quick else 9,
    )
    print(f"\n{benchmark.closing(report)}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
        print(f"report: {options.json}")
    if options.plot:
        benchmark.plot(report, options.plot)
        print(f"picture: {options.plot}")
    return int(benchmark.failed(report))


def _info(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    config = fn.show_config()
    width = max(map(len, config))
    for key, value in config.items():
        print(f"{key.replace('_', ' '):{width}}  {_words(value)}")
    return 0


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
