import os

import numpy as np
import problems
import pytest
from PIL import Image

from jaxbq.data import Images, image_folder
from jaxbq.errors import JaxbqError
from jaxbq.options import validate


@pytest.fixture
def folder(tmp_path):
    return problems.write_image_folder(tmp_path / "own", per_class=5)


def load(folder, **options):
    return Images(path=str(folder), **options).load()


def test_folders_are_classes_in_natural_order(folder):
    data = load(folder)
    assert data.class_names == ("2", "9", "10", "arch")
    assert data.image_shape == (9, 6)
    assert data.pixel_range == (0.0, 1.0)
    assert np.bincount(data.train_labels).tolist() == [4, 4, 4, 4]
    assert np.bincount(data.test_labels).tolist() == [1, 1, 1, 1]
    # The labels are those of the images: class k has row 2k bright.
    for rows, labels in (
        (data.train_images, data.train_labels),
        (data.test_images, data.test_labels),
    ):
        brightest = rows.reshape(-1, 9, 6).mean(axis=2).argmax(axis=1)
        assert brightest.tolist() == (2 * labels).tolist()


def test_pixels_are_those_of_the_files(folder):
    data = load(folder, book_scaling=True)
    files = [np.asarray(Image.open(path)) for path in folder.glob("*/*.png")]
    known = {(f / 255 * 0.99 + 0.01).astype(np.float32).tobytes() for f in files}
    assert {row.tobytes() for row in [*data.train_images, *data.test_images]} == known
    assert data.pixel_range == (0.01, 1.0)


def test_the_order_of_the_file_system_makes_no_difference(folder, monkeypatch):
    one = load(folder)
    listing = os.scandir

    class Reversed:
        def __init__(self, place):
            self.found = listing(place)

        def __enter__(self):
            return reversed(list(self.found))

        def __exit__(self, *_):
            self.found.close()

    monkeypatch.setattr(image_folder.os, "scandir", Reversed)
    two = load(folder)
    np.testing.assert_array_equal(one.train_images, two.train_images)
    np.testing.assert_array_equal(one.test_labels, two.test_labels)
    three = load(folder, split_seed=1)
    assert not np.array_equal(one.test_images, three.test_images)


def test_training_and_test_in_folders_of_their_own(tmp_path):
    problems.write_image_folder(tmp_path / "own" / "train", per_class=3)
    problems.write_image_folder(tmp_path / "own" / "test", per_class=2)
    (tmp_path / "own" / "README").write_text("")
    for file in (tmp_path / "own" / "test" / "arch").iterdir():
        file.unlink()
    (tmp_path / "own" / "test" / "arch").rmdir()
    data = load(tmp_path / "own")
    assert data.classes == 4
    assert np.bincount(data.train_labels).tolist() == [3, 3, 3, 3]
    assert np.bincount(data.test_labels).tolist() == [2, 2, 2]
    assert len(set(data.train_labels[:6])) > 2  # in mixed order


def test_ones_own_order_of_classes(folder):
    names = ("arch", "none", "10", "9", "2")
    data = load(folder, class_names=names)
    assert data.class_names == names
    assert set(data.train_labels) == {0, 2, 3, 4}
    with pytest.raises(JaxbqError, match="folder 'arch' is none of the classes 2, 9, 10; rename"):
        load(folder, class_names=("2", "9", "10"))


def test_colour_size_and_ink(folder):
    assert load(folder, grey=False).image_shape == (9, 6, 3)
    assert load(folder, size=(4, 3)).image_shape == (4, 3)
    plain, dark = load(folder), load(folder, ink="dark")
    np.testing.assert_allclose(dark.train_images, 1 - plain.train_images, atol=1e-6)


def test_what_is_hidden_and_links_within_are_no_matter(folder):
    before = load(folder)
    (folder / ".DS_Store").write_bytes(b"")
    (folder / "2" / ".DS_Store").write_bytes(b"")
    (folder / ".git").mkdir()
    (folder / "labels.csv").write_text("")
    np.testing.assert_array_equal(load(folder).train_images, before.train_images)
    (folder / "2" / "again.png").symlink_to(folder / "2" / "0.png")
    assert np.bincount(load(folder).train_labels).tolist() == [5, 4, 4, 4]


def link_out(folder):
    (folder.parent / "secret.png").write_bytes((folder / "2" / "0.png").read_bytes())
    (folder / "2" / "x.png").symlink_to(folder.parent / "secret.png")


def link_folder_out(folder):
    (folder.parent / "elsewhere").mkdir()
    (folder / "3").symlink_to(folder.parent / "elsewhere")


def put(name, content=b""):
    def write(folder):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)

    return write


def loop(folder):
    (folder / "2" / "x.png").symlink_to(folder / "2" / "x.png")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (put("2/0.png", b"damaged"), r"2/0.png: neither PNG nor JPEG"),
        (put("2/x.gif"), r"2/x.gif: not a PNG or JPEG file; convert"),
        (put("x.png"), "x.png: an image beside the class folders"),
        (lambda f: (f / "2" / "inner").mkdir(), "inner: a folder within a class"),
        (lambda f: (f / "empty").mkdir(), "empty: has no images; add some, or delete"),
        (lambda f: (f / "train").mkdir(), "train: has no images"),
        (
            lambda f: [(f / n).mkdir() for n in ("train", "test")],
            "beside train and test there is 2",
        ),
        (put("a\nb/x.png"), r"class 'a\\nb': its name holds a character"),
        (link_out, "x.png: a link that leads out of the data set"),
        (link_folder_out, "3: a link that leads out of the data set"),
        (loop, r"x.png: (a link|no PNG)"),
        (lambda f: os.mkfifo(f / "2" / "x.png"), "x.png: not a PNG or JPEG file"),
        (
            lambda f: Image.new("L", (6, 8)).save(f / "9" / "x.png"),
            r"9/x.png: is of shape \(8, 6\), .*2/0.png of \(9, 6\); size = \[height, width\]",
        ),
    ],
)
def test_mistakes_in_a_folder(folder, spoil, message):
    spoil(folder)
    with pytest.raises(JaxbqError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_folders_without_classes(tmp_path, folder):
    with pytest.raises(JaxbqError, match="none: no such folder"):
        load(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(JaxbqError, match="empty: has no folders"):
        load(tmp_path / "empty")
    for part in ("train", "test"):
        (tmp_path / "empty" / part).mkdir()
    with pytest.raises(JaxbqError, match="train: has no folders"):
        load(tmp_path / "empty")
    problems.write_image_folder(tmp_path / "empty" / "train", per_class=1)
    with pytest.raises(JaxbqError, match="test: has no folders"):
        load(tmp_path / "empty")
    os.rename(folder / "2", tmp_path / "empty" / "test" / "new")
    with pytest.raises(JaxbqError, match="class 'new' is in test, but not in train"):
        load(tmp_path / "empty")


def test_a_size_too_large_for_memory_is_refused_before_it_is_taken(folder, monkeypatch):
    monkeypatch.setattr(image_folder, "MOST_BYTES", 20 * 54 * 4)
    assert load(folder).classes == 4
    monkeypatch.setattr(image_folder, "MOST_BYTES", 20 * 54 * 4 - 1)
    with pytest.raises(JaxbqError, match=r"20 images of shape \(9, 6\) take 4,320 bytes, more"):
        load(folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_share": 1.5}, "test_share: input should be less than 1"),
        ({"size": [0, 3]}, "size.0: input should be greater"),
        ({"ink": "blue"}, "ink: 'blue' is none of"),
        ({"sise": [3, 3]}, "sise: unknown key; did you mean 'size'?"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(JaxbqError) as caught:
        validate(Images, {"kind": "images", "path": "x", **options})
    assert message in str(caught.value)


def test_options_made_in_python_are_checked_too(folder):
    with pytest.raises(JaxbqError, match="split_seed"):
        load(folder, split_seed=-1)


def test_black_strokes_on_clear_paper(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(2):
            pixels = np.zeros((4, 4, 4), np.uint8)
            pixels[number, :, 3] = 255
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    with pytest.raises(JaxbqError, match=r'every image is black .* ink = "dark"'):
        Images(path=str(tmp_path)).load()
    assert Images(path=str(tmp_path), ink="dark").load().train_images.max() == 1


@pytest.mark.parametrize("names", [("training", "testing"), ("Train", "Test")])
def test_parts_may_be_called_otherwise(tmp_path, rng, names):
    for part, number in zip(names, (3, 2), strict=True):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            for n in range(number):
                pixels = rng.integers(0, 256, (4, 4)).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / name / f"{n}.png")
    data = Images(path=str(tmp_path)).load()
    assert data.class_names == ("a", "b")
    assert (len(data.train_labels), len(data.test_labels)) == (6, 4)


def test_images_of_other_numbers_than_bytes_are_not_black(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for n in range(2):
            Image.fromarray(np.full((4, 4), 15 + n, np.uint8)).save(tmp_path / name / f"{n}.png")
    with pytest.raises(JaxbqError, match="no pixel is above 16 of 255; save them again with white"):
        Images(path=str(tmp_path)).load()
