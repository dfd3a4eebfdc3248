import sys

import numpy as np
import problems
import pytest

from jaxbq.data import Arrays, Dataset, Digits, arrays
from jaxbq.errors import JaxbqError


@pytest.fixture
def parts():
    return problems.striped_bytes(8, 1), problems.striped_bytes(3, 2)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "own.npz"


def load(path, **options):
    return Arrays(path=str(path), **options).load()


@pytest.mark.parametrize("keys", [keys for keys in arrays._KEYS if len(keys) == 4])
def test_parts_that_are_given_are_kept_in_their_order(path, parts, keys):
    (images, labels), (test_images, test_labels) = parts
    content = dict(zip(keys, (images, labels, test_images, test_labels), strict=True))
    np.savez(path, val_images=images[:2], **content)
    found, expected = load(path), Dataset.from_bytes(*parts)
    np.testing.assert_array_equal(found.train_images, expected.train_images)
    np.testing.assert_array_equal(found.test_images, expected.test_images)
    assert found.train_labels.tolist() == labels.tolist()
    assert found.test_labels.tolist() == test_labels.tolist()
    assert (found.space, found.class_names) == (expected.space, expected.class_names)


@pytest.mark.parametrize("keys", [keys for keys in arrays._KEYS if len(keys) == 2])
def test_images_in_one_piece_are_split(path, parts, keys):
    images, labels = parts[0]
    np.savez_compressed(path, **{keys[0]: images.reshape(24, 30), keys[1]: labels})
    data = load(path, shape=(6, 5), test_share=0.25, split_seed=3)
    assert data.image_shape == (6, 5)
    assert np.bincount(data.test_labels).tolist() == [2, 2, 2]
    place = {row.tobytes(): n for n, row in enumerate((images.reshape(24, 30) / 255).astype("f4"))}
    for rows, found in (
        (data.train_images, data.train_labels),
        (data.test_images, data.test_labels),
    ):
        assert [labels[place[row.tobytes()]] for row in rows] == found.tolist()
    again = load(path, shape=(6, 5), test_share=0.25, split_seed=3)
    np.testing.assert_array_equal(again.test_images, data.test_images)


def test_the_options_reach_the_data(path, parts):
    images, labels = parts[0]
    np.savez(path, X=images.reshape(24, 30) / 255.0, y=np.array(["c", "a", "b"])[labels])
    data = load(path, pixel_range=(-1.0, 2.0), class_names=("b", "a", "c"))
    assert data.image_shape == (1, 30)
    assert data.pixel_range == (-1.0, 2.0)
    assert data.class_names == ("b", "a", "c")
    assert load(path, book_scaling=True).pixel_range == (0.01, 1.0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a\n": np.zeros(3)}, r"holds arrays called a\\n; call them images and labels"),
        ({}, "holds arrays called nothing"),
        ({"images": np.zeros((4, 3, 3)), "labels": [0, 1]}, "4 images but 2 labels"),
        ({"images": np.zeros((2, 3, 3)), "labels": [0, 1]}, "no class has two images"),
        ({"images": np.zeros((2, 3, 3)), "labels": [[0], [1.5]]}, "labels must be whole numbers"),
        ({"images": np.zeros((0, 3, 3)), "labels": []}, "there are no images"),
        ({"images": np.array(3.0), "labels": [0, 1]}, "images must be of shape"),
        ({"images": np.zeros((2, 3)), "labels": np.array([{}, {}], object)}, "Python objects"),
        ({"images": np.zeros((4, 3, 3)), "labels": ["a", "b\r", "a", "a"]}, "cannot be printed"),
    ],
)
def test_mistakes_in_a_file(path, content, message):
    np.savez(path, **content)
    with pytest.raises(JaxbqError, match=rf"own.npz: .*{message}") as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).count("own.npz") == 1


@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("header", [False, True])
def test_tables_with_a_row_for_each_image(tmp_path, parts, header, place):
    images, labels = parts[0]
    rows = np.concatenate([images.reshape(24, 30)], axis=1)
    names = [f"pixel{n}" for n in range(30)]
    table = np.insert(rows, 30 if place else 0, labels, axis=1)
    names.insert(30 if place else 0, "label")
    path = tmp_path / "own.csv"
    kind = {"header": ",".join(names), "comments": ""} if header else {}
    np.savetxt(path, table, fmt="%d", delimiter=",", **kind)
    if place and not header:
        return  # then the first column would be the labels
    data, expected = load(path, shape=(6, 5)), Dataset.from_arrays(images, labels)
    np.testing.assert_array_equal(data.train_images, expected.train_images)
    assert data.train_labels.tolist() == expected.train_labels.tolist()
    assert data.pixel_range == (0.0, 1.0)
    assert data.class_names == ("0", "1", "2")


def test_labels_of_a_table_may_be_words(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("label,a,b\ncat,0,255\ndog,255,0\ncat,0,254\ndog,250,3\n")
    assert load(path, shape=(1, 2)).class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as a table"),
        ("pixel0,pixel1\n0,1\n", "no column of labels"),
        (",".join("0" * 16) + "\n" + ",".join("0" * 16), "no column of labels"),
        ("label,a,b\n1,2,x\n0,3,4\n", "not numbers"),
        ("0,1,2\n1,2,3,4\n", "cannot be read as a table"),
        ("0,1,2\n1,,3\n0,1,1\n1,0,0\n", "not finite"),
        ("\x00\xff", "own.csv"),
    ],
)
def test_mistakes_in_a_table(tmp_path, text, message):
    path = tmp_path / "own.csv"
    path.write_text(text)
    with pytest.raises(JaxbqError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_no_file(path):
    with pytest.raises(JaxbqError, match=r"own.npz: no such file"):
        load(path)
    path.mkdir()
    with pytest.raises(JaxbqError, match=r"own.npz: no such file"):
        load(path)


def test_no_archive(path):
    path.write_bytes(b"damaged")
    with pytest.raises(JaxbqError, match=r"own.npz: cannot be read"):
        load(path)


def test_a_file_too_large_for_memory(path, parts, monkeypatch):
    images, labels = parts[0]
    np.savez(path, images=images, labels=labels)
    monkeypatch.setattr(arrays, "MOST_BYTES", 24 * 30 * 4 - 1)
    with pytest.raises(JaxbqError, match="2,880 bytes in float32, more than jaxbq reads"):
        load(path)
    monkeypatch.setattr(arrays, "MOST_BYTES", 700)
    with pytest.raises(JaxbqError, match=r"own.npz: .*more than jaxbq reads"):
        load(path)


def test_the_digits_are_scikit_learns():
    datasets = pytest.importorskip("sklearn.datasets")
    data, known = Digits().load(), datasets.load_digits()
    assert data.image_shape == (8, 8)
    assert data.pixel_range == (0.0, 1.0)
    assert data.class_names == tuple("0123456789")
    assert len(data.train_labels) + len(data.test_labels) == 1797
    assert len(data.test_labels) == pytest.approx(1797 / 5, abs=5)
    whole = np.concatenate([data.train_images, data.test_images])
    np.testing.assert_allclose(whole.sum(dtype=float), known.data.sum() / 16, rtol=1e-6)
    ones = known.data[known.target == 1].mean(axis=0) / 16
    labels = np.concatenate([data.train_labels, data.test_labels])
    np.testing.assert_allclose(whole[labels == 1].mean(axis=0), ones, atol=1e-5)


def test_without_scikit_learn_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(JaxbqError, match=r"pip install 'jaxbq\[sklearn\]'"):
        Digits().load()


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_the_numbers_that_pandas_gives_rows_are_no_pixels(tmp_path, mark):
    path = tmp_path / "own.csv"
    rows = [",label,a,b", "0,3,0,255", "1,4,255,0", "2,3,0,254", "3,4,250,3"]
    path.write_text("\n".join(rows).replace(",", mark))
    data = load(path, shape=(1, 2))
    assert data.class_names == ("3", "4")
    assert data.image_shape == (1, 2)


def test_a_first_column_that_never_changes_is_no_label(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("0,255,1\n0,3,2\n0,255,1\n")
    with pytest.raises(JaxbqError, match="first column is 0 in every row, so it is no label"):
        load(path)
