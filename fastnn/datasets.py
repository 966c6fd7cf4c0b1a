"""Handwritten digits: a small set that ships with the package, and a reader of the MNIST files."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["load_digits", "load_mnist"]

Part = tuple[NDArray[np.float32], NDArray[np.int64]]  # x (n, features), y (n,)

_DIGITS = Path(__file__).parent / "data" / "digits.npz"
_DIGITS_TRAIN = 1437  # of 1797 rows; the other 360 are the test part

_IMAGE = (28, 28)
_CLASSES = 10


def load_digits() -> tuple[Part, Part]:
    """Load the UCI handwritten digits that ship with the package.

    1,797 images of 8×8 pixels, split into 1,437 for training and 360 for testing. The split is
    fixed, and stratified: each digit has the same share of both parts.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        ``x``: float32 (n, 64), pixels by row, scaled from 0..16 to [0, 1] (exact: the divisor is a
        power of two). ``y``: int64 (n,), the digits 0 to 9. New arrays at every call.

    Notes
    -----
    Source: E. Alpaydin and C. Kaynak (1998), *Optical Recognition of Handwritten Digits*, UCI
    Machine Learning Repository, https://doi.org/10.24432/C50P49, test part. Licence: CC BY 4.0.
    """
    with np.load(_DIGITS) as file:
        images, labels, order = file["images"], file["labels"], file["order"]
    train, test = order[:_DIGITS_TRAIN], order[_DIGITS_TRAIN:]
    return _digits_part(images[train], labels[train]), _digits_part(images[test], labels[test])


def load_mnist(path: str | os.PathLike[str]) -> tuple[Part, Part]:
    """Read MNIST, or a set in its format such as Fashion-MNIST, from its four IDX files.

    Parameters
    ----------
    path : str or path-like
        The folder that holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
        ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``. A dot in place of the dash before
        ``idx`` is accepted, and so is an added ``.gz``. Whether a file is compressed is told by its
        content, not by its name.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        ``x``: float32 (n, 784), pixels by row, scaled from 0..255 to [0, 1]. ``y``: int64 (n,),
        the classes 0 to 9. For MNIST n is 60,000 and 10,000.

    Raises
    ------
    TypeError
        If `path` is none.
    FileNotFoundError
        If a file is missing; the message lists the names that were looked for.
    ValueError
        If a file is no IDX file of 28×28 images or of labels, is shorter or longer than its header
        says, is damaged, or holds a label outside 0..9; or if images and labels differ in number.

    Notes
    -----
    The format: Y. LeCun, C. Cortes and C. J. C. Burges, *The MNIST database of handwritten digits*,
    section "File formats".
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path: expected a str or a path-like, got {type(path).__name__}")
    files = _find_mnist(Path(path))
    return (
        _mnist_part(files["train-images-idx3"], files["train-labels-idx1"]),
        _mnist_part(files["t10k-images-idx3"], files["t10k-labels-idx1"]),
    )


def _digits_part(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Part:
    x = images.astype(np.float32)
    x /= 16
    return x, labels.astype(np.int64)


def _find_mnist(folder: Path) -> dict[str, Path]:
    """Map the stem of each of the four files to its path."""
    found, missing = {}, []
    for stem in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        dashed = f"{stem}-ubyte"
        dotted = dashed.replace("-idx", ".idx")
        names = [dashed, dotted, f"{dashed}.gz", f"{dotted}.gz"]
        # is_file: some archives unpack to a folder of the file's own name beside the file.
        file = next((folder / name for name in names if (folder / name).is_file()), None)
        if file is None:
            missing.append(" or ".join(names))
        else:
            found[stem] = file
    if missing:
        raise FileNotFoundError(
            f"path: expected the four MNIST files in {str(folder)!r}, missing {'; '.join(missing)}"
        )
    return found


def _mnist_part(images_file: Path, labels_file: Path) -> Part:
    images = _read_idx(images_file, item=_IMAGE)
    labels = _read_idx(labels_file, item=())
    n = len(images)
    if n == 0:
        raise ValueError(f"{images_file}: expected at least one image, got none")
    if len(labels) != n:
        raise ValueError(
            f"{labels_file}: expected {n} labels, one for each image of {images_file.name},"
            f" got {len(labels)}"
        )
    outside = np.flatnonzero(labels >= _CLASSES)
    if len(outside):
        row = outside[0]
        raise ValueError(
            f"{labels_file}: expected labels in [0, {_CLASSES}), got {labels[row]} at row {row}"
        )
    x = images.reshape(n, math.prod(_IMAGE)).astype(np.float32)
    x /= 255
    return x, labels.astype(np.int64)


def _read_idx(file: Path, item: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, shape (n, *item), as a read-only view of its bytes."""
    data = file.read_bytes()
    if data[:2] == b"\x1f\x8b":  # gzip; an IDX file begins with two zero bytes
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{file}: expected a complete gzip file, got {error}") from error
    # Big-endian numbers: the magic one (0, 0, 8 for unsigned bytes, dimensions), then the sizes.
    magic = 0x0801 + len(item)
    if len(data) >= 4 and (found := int.from_bytes(data[:4], "big")) != magic:
        raise ValueError(f"{file}: expected magic number {magic}, got {found}")
    header = 8 + 4 * len(item)
    if len(data) < header:
        raise ValueError(f"{file}: expected a header of {header} bytes, got {len(data)} in all")
    n, *sizes = (int.from_bytes(data[i : i + 4], "big") for i in range(4, header, 4))
    if tuple(sizes) != item:
        raise ValueError(f"{file}: expected images of shape {item}, got {tuple(sizes)}")
    expected = header + n * math.prod(item)
    if len(data) != expected:
        raise ValueError(
            f"{file}: expected {expected} bytes for shape {(n, *item)}, got {len(data)}"
        )
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(n, *item)
