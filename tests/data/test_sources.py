import hashlib
import http.server
import threading
from pathlib import Path

import numpy as np
import problems
import pytest

import jaxbq
from jaxbq.data import (
    Arrays,
    Digits,
    Idx,
    Images,
    ImageSpace,
    Mnist,
    Mnist10k,
    Source,
    load_named,
    mnist,
    source_of,
    sources,
)
from jaxbq.data.mnist import read_idx
from jaxbq.errors import JaxbqError
from jaxbq.options import validate

EMBEDDED = Path(jaxbq.__file__).parent / "data" / "mnist-10k"


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_folder_of_any_image_size_and_number_of_classes(tmp_path, suffix):
    data = Idx(path=str(problems.write_idx_folder(tmp_path, suffix))).load()
    assert data.image_shape == (6, 5)
    assert data.class_names == ("0", "1", "2")
    assert (len(data.train_labels), len(data.test_labels)) == (120, 30)
    np.testing.assert_array_equal(data.train_images, problems.striped_dataset().train_images)


def test_class_names_and_book_scaling(tmp_path):
    folder = problems.write_idx_folder(tmp_path)
    data = Idx(path=str(folder), class_names=("a", "b", "c"), book_scaling=True).load()
    assert data.class_names == ("a", "b", "c")
    assert data.pixel_range == (0.01, 1.0)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "train-labels-idx1-ubyte").unlink(), "no file with the training labels"),
        (
            lambda f: (f / "old-train-labels").write_bytes(b""),
            "several files with the training labels",
        ),
        (
            lambda f: problems.write_idx(f / "t10k-labels-idx1-ubyte", np.zeros(3, np.uint8)),
            "30 test images but 3 labels",
        ),
        (
            lambda f: (f / "t10k-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03"),
            "truncated in its header",
        ),
    ],
)
def test_mistakes_in_a_folder(tmp_path, spoil, message):
    folder = problems.write_idx_folder(tmp_path)
    spoil(folder)
    with pytest.raises(JaxbqError, match=message):
        Idx(path=str(folder)).load()


def test_missing_folder(tmp_path):
    with pytest.raises(JaxbqError, match="no such folder"):
        Idx(path=str(tmp_path / "none")).load()


def test_embedded_data_is_small_balanced_and_attributed(mnist_10k):
    assert sum(p.stat().st_size for p in EMBEDDED.iterdir()) < 2.1e6
    assert "Creative Commons" in (EMBEDDED / "LICENSE.md").read_text()
    assert (len(mnist_10k.train_labels), len(mnist_10k.test_labels)) == (10_000, 2_000)
    # Class counts of the full MNIST.
    train = np.array([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949])
    test = np.array([980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])
    assert np.abs(np.bincount(mnist_10k.train_labels) - train / 6).max() <= 1
    assert np.abs(np.bincount(mnist_10k.test_labels) - test / 5).max() <= 1


def test_embedded_images_are_mnists(full_mnist_folder):
    for name in ("train", "t10k"):
        images = read_idx(EMBEDDED / f"{name}-images-idx3-ubyte.gz")
        whole = read_idx(full_mnist_folder / f"{name}-images-idx3-ubyte.gz")
        known = {row.tobytes() for row in whole}
        assert all(row.tobytes() in known for row in images)


def test_full_mnist_is_verified_and_read(full_mnist):
    assert full_mnist.train_images.shape == (60_000, 784)
    assert full_mnist.test_images.shape == (10_000, 784)
    assert full_mnist.train_labels[:5].tolist() == [5, 0, 4, 1, 9]


def test_the_environment_variable_names_the_folder(full_mnist_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("JAXBQ_DATA", str(full_mnist_folder))
    assert len(Mnist().load().test_labels) == 10_000
    monkeypatch.setenv("JAXBQ_DATA", str(tmp_path / "none"))
    with pytest.raises(JaxbqError, match="no such folder"):
        Mnist().load()


def test_other_files_under_mnists_names_are_refused(tmp_path):
    problems.write_idx_folder(tmp_path)
    with pytest.raises(JaxbqError, match="checksum mismatch, not MNIST's train-images"):
        Mnist(path=str(tmp_path)).load()


class Mirror:
    """A mirror on loopback that holds some files and counts what it is asked."""

    def __init__(self, files: dict[str, bytes]):
        self.asked: list[str] = []
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.rsplit("/", 1)[1]
                mirror.asked.append(name)
                self.send_response(200 if name in files else 404)
                self.end_headers()
                self.wfile.write(files.get(name, b""))

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server.server_port}/mnist/"


@pytest.fixture
def small_mnist(tmp_path, monkeypatch):
    """Four small files published, under MNIST's names, with checksums of their own."""
    folder = problems.write_idx_folder(tmp_path / "published", ".gz")
    published = {}
    files = {}
    for role, (name, _) in mnist._FILES.items():
        content = (folder / f"{name}.gz").read_bytes()
        published[f"{name}.gz"] = content
        plain = sources.read_idx(folder / f"{name}.gz")
        header = b"\0\0\x08" + bytes([plain.ndim])
        header += b"".join(size.to_bytes(4, "big") for size in plain.shape)
        files[role] = (name, hashlib.sha256(header + plain.tobytes()).hexdigest())
    monkeypatch.setattr(mnist, "_FILES", files)
    monkeypatch.setenv("JAXBQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JAXBQ_DATA", raising=False)
    return published


def test_download_falls_back_verifies_and_caches(small_mnist, tmp_path):
    damaged = small_mnist | {"t10k-labels-idx1-ubyte.gz": b"damaged"}
    with Mirror({}) as empty, Mirror(damaged) as bad, Mirror(small_mnist) as good:
        source = Mnist(mirrors=(empty.address, bad.address, good.address))
        data = source.load()
        assert data.image_shape == (6, 5)
        assert good.asked == ["t10k-labels-idx1-ubyte.gz"]
        asked = len(empty.asked)
        source.load()
        assert len(empty.asked) == asked
    names = sorted(p.name for p in (tmp_path / "cache" / "mnist").iterdir())
    assert names == sorted(small_mnist)


def test_no_mirror_answers(small_mnist, tmp_path):
    with Mirror({}) as empty, pytest.raises(JaxbqError) as caught:
        Mnist(mirrors=(empty.address, "http://127.0.0.1:9/")).load()
    message = str(caught.value)
    assert "HTTPError" in message
    assert "ConnectionError" in message
    assert "mnist-10k" in message
    assert not list((tmp_path / "cache" / "mnist").iterdir())


def test_download_can_be_refused(small_mnist):
    with pytest.raises(JaxbqError, match="put MNIST's four files in a folder"):
        Mnist(download=False).load()


def test_embedded_data_needs_nothing_from_outside(monkeypatch):
    monkeypatch.delenv("JAXBQ_DATA", raising=False)
    monkeypatch.setattr(mnist, "cached_folder", None)
    assert Mnist10k().load().classes == 10


def test_a_name_or_a_path_says_what_source_is_meant(tmp_path):
    idx = str(problems.write_idx_folder(tmp_path / "idx"))
    own = str(problems.write_image_folder(tmp_path / "own", per_class=1))
    assert source_of("mnist-10k") == Mnist10k()
    assert source_of("mnist") == Mnist()
    assert source_of("digits") == Digits()
    assert source_of(idx) == Idx(path=idx)
    assert source_of(own) == Images(path=own)
    assert source_of("a.NPZ") == Arrays(path="a.NPZ")
    book = ImageSpace((9, 6, 3), 0.01, 1.0)
    assert source_of("mnist", space=book) == Mnist(book_scaling=True)
    assert source_of(own, space=book) == Images(path=own, grey=False, book_scaling=True)
    found = source_of("a.npz", space=ImageSpace((9, 6), -2.5, 3.0))
    assert found == Arrays(path="a.npz", shape=(9, 6))
    assert source_of("a.npz", space=ImageSpace((9,), -1, 1)) == Arrays(path="a.npz")


def test_names_that_mean_no_source(tmp_path):
    with pytest.raises(JaxbqError, match="nine: no such folder or file; name mnist-10k, mnist, di"):
        source_of("nine")
    with pytest.raises(JaxbqError, match="holds neither IDX files nor folders; name mnist-10k"):
        source_of(str(tmp_path))
    with pytest.raises(JaxbqError, match=r"a\\nb: no such"):
        source_of("a\nb")


def test_every_source_is_a_kind_of_a_config():
    table = {"kind": "arrays", "path": "x", "pixel_range": [0, 16], "shape": [8, 8]}
    assert validate(Source, table) == Arrays(path="x", pixel_range=(0.0, 16.0), shape=(8, 8))
    assert validate(Source, "digits") == Digits()
    with pytest.raises(JaxbqError, match="did you mean 'images'"):
        validate(Source, {"kind": "image", "path": "x"})


def test_labels_from_one_and_images_column_after_column(tmp_path):
    problems.write_idx_folder(tmp_path)
    upright = Idx(path=str(tmp_path)).load()
    for part in ("train", "t10k"):
        images = read_idx(tmp_path / f"{part}-images-idx3-ubyte")
        problems.write_idx(tmp_path / f"{part}-images-idx3-ubyte", images.swapaxes(1, 2))
        labels = read_idx(tmp_path / f"{part}-labels-idx1-ubyte")
        problems.write_idx(tmp_path / f"{part}-labels-idx1-ubyte", labels + 1)
    with pytest.raises(JaxbqError, match=r"class 0 would be empty; give first_label = 1"):
        Idx(path=str(tmp_path)).load()
    data = Idx(path=str(tmp_path), first_label=1, axes="columns").load()
    np.testing.assert_array_equal(data.train_images, upright.train_images)
    np.testing.assert_array_equal(data.train_labels, upright.train_labels)
    assert data.image_shape == upright.image_shape
    assert data.class_names == ("1", "2", "3")
    with pytest.raises(JaxbqError, match="labels count from 2"):
        Idx(path=str(tmp_path), first_label=2).load()


def test_a_file_of_another_kind_is_not_said_to_be_missing(tmp_path):
    (tmp_path / "images.xyz").write_text("here")
    with pytest.raises(JaxbqError, match="not a kind of file that images are read from"):
        source_of(str(tmp_path / "images.xyz"))
    assert source_of("own.csv") == Arrays(path="own.csv")


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        # Bytes and shares of the usual ranges mean what they always do …
        (np.array([0, 255, 128, 7], np.uint8), (0.0, 1.0)),
        (np.array([0.0, 1.0, 0.5, 0.2]), (0.0, 1.0)),
        # … others lie in the range that the network was trained on, not in their own.
        (np.array([-0.4, 1.9, 0.0, 0.3]), (-0.5, 2.0)),
    ],
)
def test_the_range_of_arrays_is_the_usual_one_or_the_networks(tmp_path, pixels, expected):
    path = tmp_path / "own.npz"
    np.savez(path, images=np.stack([pixels] * 6).reshape(6, 2, 2), labels=np.arange(6) % 2)
    space = ImageSpace((2, 2), -0.5, 2.0)
    assert load_named(str(path), space=space).pixel_range == expected
