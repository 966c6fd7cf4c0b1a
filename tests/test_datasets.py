"""fastnn.datasets: the digits that ship with the package, and the reader of MNIST's files."""

import gzip
import hashlib
import re

import numpy as np
import pytest

from fastnn import datasets

TRAIN_IMAGES = "train-images-idx3-ubyte"
TRAIN_LABELS = "train-labels-idx1-ubyte"
TEST_IMAGES = "t10k-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"


def idx(array, magic=None):
    """The bytes of an IDX file of unsigned bytes."""
    array = np.asarray(array, dtype=np.uint8)
    numbers = [0x0800 + array.ndim if magic is None else magic, *array.shape]
    return b"".join(number.to_bytes(4, "big") for number in numbers) + array.tobytes()


@pytest.fixture
def mnist(tmp_path):
    """A folder with a small MNIST: 20 training and 7 test images. Returns folder and arrays."""
    rng = np.random.default_rng(0)
    arrays = {
        TRAIN_IMAGES: rng.integers(0, 256, (20, 28, 28), dtype=np.uint8),
        TRAIN_LABELS: rng.integers(0, 10, 20, dtype=np.uint8),
        TEST_IMAGES: rng.integers(0, 256, (7, 28, 28), dtype=np.uint8),
        TEST_LABELS: rng.integers(0, 10, 7, dtype=np.uint8),
    }
    arrays[TRAIN_IMAGES][0, 0, :2] = [0, 255]
    arrays[TRAIN_LABELS][:2] = [0, 9]
    for name, array in arrays.items():
        (tmp_path / name).write_bytes(idx(array))
    return tmp_path, arrays


def check_mnist(loaded, arrays):
    (x_train, y_train), (x_test, y_test) = loaded
    for x, images in ((x_train, arrays[TRAIN_IMAGES]), (x_test, arrays[TEST_IMAGES])):
        assert x.dtype == np.float32 and x.flags.c_contiguous and x.flags.writeable
        # The quotient in float64, rounded once, is the nearest float32.
        expected = (images.reshape(len(images), 784) / 255.0).astype(np.float32)
        np.testing.assert_array_equal(x, expected)
    for y, labels in ((y_train, arrays[TRAIN_LABELS]), (y_test, arrays[TEST_LABELS])):
        assert y.dtype == np.int64
        np.testing.assert_array_equal(y, labels)


def test_digits_shapes_and_range():
    (x_train, y_train), (x_test, y_test) = datasets.load_digits()
    assert x_train.shape == (1437, 64) and y_train.shape == (1437,)
    assert x_test.shape == (360, 64) and y_test.shape == (360,)
    for x, y in ((x_train, y_train), (x_test, y_test)):
        assert x.dtype == np.float32 and x.flags.c_contiguous and x.flags.writeable
        assert y.dtype == np.int64
        assert x.min() == 0.0 and x.max() == 1.0
        np.testing.assert_array_equal(np.unique(y), np.arange(10))


def test_digits_hash():
    # Everybody's digits are the same, in the same order: results may be compared across machines.
    digest = hashlib.sha256()
    for x, y in datasets.load_digits():
        digest.update((x * 16).astype(np.uint8).tobytes())
        digest.update(y.astype(np.uint8).tobytes())
    assert digest.hexdigest() == "28d636f2f47ec885bab6c1d883c883cd3f85cb5f6d0f1457558c6b672cc71adf"


def test_digits_are_stratified():
    (_, y_train), (_, y_test) = datasets.load_digits()
    train, test = np.bincount(y_train), np.bincount(y_test)
    np.testing.assert_allclose(test, (train + test) * 360 / 1797, rtol=0, atol=1)


def test_digits_calls_are_independent():
    (first, _), _ = datasets.load_digits()
    first[:] = -1
    (second, _), _ = datasets.load_digits()
    assert second.min() == 0.0


def test_digits_equal_sklearn():
    original = pytest.importorskip("sklearn.datasets").load_digits()
    (x_train, y_train), (x_test, y_test) = datasets.load_digits()
    ours = np.column_stack([np.vstack([x_train, x_test]) * 16, np.append(y_train, y_test)])
    theirs = np.column_stack([original.data, original.target])
    # The same rows, each as often; the order is ours.
    np.testing.assert_array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])


def test_mnist(mnist):
    folder, arrays = mnist
    check_mnist(datasets.load_mnist(folder), arrays)
    check_mnist(datasets.load_mnist(str(folder)), arrays)


@pytest.mark.parametrize("rename", [lambda name: name, lambda name: name.replace("-idx", ".idx")])
@pytest.mark.parametrize("compressed", [False, True])
def test_mnist_names(mnist, rename, compressed):
    folder, arrays = mnist
    for name in arrays:
        data = (folder / name).read_bytes()
        (folder / name).unlink()
        if compressed:
            (folder / f"{rename(name)}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / rename(name)).write_bytes(data)
    check_mnist(datasets.load_mnist(folder), arrays)


def test_mnist_compression_is_told_by_content(mnist):
    # Browsers unpack a download and keep its name, or the other way round.
    folder, arrays = mnist
    (folder / TRAIN_IMAGES).rename(folder / f"{TRAIN_IMAGES}.gz")
    labels = folder / TRAIN_LABELS
    labels.write_bytes(gzip.compress(labels.read_bytes()))
    check_mnist(datasets.load_mnist(folder), arrays)


def test_mnist_skips_folders_of_the_same_name(mnist):
    folder, arrays = mnist
    (folder / TRAIN_IMAGES).rename(folder / TRAIN_IMAGES.replace("-idx", ".idx"))
    (folder / TRAIN_IMAGES).mkdir()
    check_mnist(datasets.load_mnist(folder), arrays)


def test_mnist_missing_file(mnist):
    folder, _ = mnist
    (folder / TEST_LABELS).unlink()
    with pytest.raises(FileNotFoundError) as caught:
        datasets.load_mnist(folder)
    assert str(caught.value) == (
        f"path: expected the four MNIST files in {str(folder)!r}, missing"
        " t10k-labels-idx1-ubyte or t10k-labels.idx1-ubyte"
        " or t10k-labels-idx1-ubyte.gz or t10k-labels.idx1-ubyte.gz"
    )


def test_mnist_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing train-images.*train-labels.*t10k-images"):
        datasets.load_mnist(tmp_path / "nowhere")


@pytest.mark.parametrize("path", [None, 3, ["data"]])
def test_mnist_path_type(path):
    with pytest.raises(TypeError, match=r"^path: expected a str or a path-like, got "):
        datasets.load_mnist(path)


IMAGES = np.zeros((3, 28, 28))
LABELS = np.zeros(3)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (TEST_IMAGES, idx(LABELS), "expected magic number 2051, got 2049"),
        (TEST_LABELS, idx(IMAGES), "expected magic number 2049, got 2051"),
        (TEST_IMAGES, b"<!DOCTYPE html>", "expected magic number 2051, got 1008813135"),
        (TEST_IMAGES, idx(IMAGES, magic=0x0D03), "expected magic number 2051, got 3331"),
        (TEST_IMAGES, b"", "expected a header of 16 bytes, got 0 in all"),
        (TEST_IMAGES, idx(IMAGES)[:15], "expected a header of 16 bytes, got 15 in all"),
        (TEST_LABELS, idx(LABELS)[:7], "expected a header of 8 bytes, got 7 in all"),
        (TEST_IMAGES, idx(IMAGES)[:-1], "expected 2368 bytes for shape (3, 28, 28), got 2367"),
        (TEST_IMAGES, idx(IMAGES) + b"\0", "expected 2368 bytes for shape (3, 28, 28), got 2369"),
        (TEST_LABELS, idx(LABELS)[:-1], "expected 11 bytes for shape (3,), got 10"),
        (TEST_LABELS, idx(LABELS) + b"\0", "expected 11 bytes for shape (3,), got 12"),
        (
            TEST_IMAGES,
            b"\0\0\x08\x03" + b"\xff" * 12,
            "expected images of shape (28, 28), got (4294967295, 4294967295)",
        ),
        (
            TEST_IMAGES,
            idx(IMAGES)[:4] + b"\xff" * 4 + idx(IMAGES)[8:],
            "expected 3367254359296 bytes for shape (4294967295, 28, 28), got 2368",
        ),
        (
            TEST_IMAGES,
            idx(np.zeros((7, 14, 56))),
            "expected images of shape (28, 28), got (14, 56)",
        ),
        (TEST_IMAGES, idx(np.zeros((0, 28, 28))), "expected at least one image, got none"),
        (
            TEST_LABELS,
            idx(np.zeros(6)),
            "expected 7 labels, one for each image of t10k-images-idx3-ubyte, got 6",
        ),
        (
            TEST_LABELS,
            idx([0, 1, 9, 10, 255, 3, 4]),
            "expected labels in [0, 10), got 10 at row 3",
        ),
    ],
    ids=lambda value: "data" if isinstance(value, bytes) else value,
)
def test_mnist_damaged_file(mnist, name, data, message):
    folder, _ = mnist
    (folder / name).write_bytes(data)
    with pytest.raises(ValueError) as caught:
        datasets.load_mnist(folder)
    assert str(caught.value) == f"{folder / name}: {message}"


def flip(data, position):
    return data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[:5], id="cut in its header"),
        pytest.param(lambda data: data[: len(data) // 2], id="cut in its body"),
        pytest.param(lambda data: data[:-4], id="cut in its checksum"),
        pytest.param(lambda data: flip(data, 10), id="wrong body"),
        pytest.param(lambda data: flip(data, -5), id="wrong checksum"),
        pytest.param(lambda data: data + b"junk", id="bytes after the end"),
    ],
)
def test_mnist_damaged_gzip(mnist, damage):
    folder, arrays = mnist
    (folder / TEST_IMAGES).unlink()
    file = folder / f"{TEST_IMAGES}.gz"
    file.write_bytes(damage(gzip.compress(idx(arrays[TEST_IMAGES]))))
    with pytest.raises(ValueError, match=f"^{re.escape(str(file))}: expected a complete gzip file"):
        datasets.load_mnist(folder)
