import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from jaxbq.data import ImageSpace
from jaxbq.data.picture import read_picture, read_row
from jaxbq.errors import JaxbqError


@pytest.fixture
def values(rng):
    return rng.integers(0, 256, (6, 5), dtype=np.uint8)


def saved(path, values, **options):
    Image.fromarray(values).save(path, **options)
    return path


def test_a_grey_png_is_read_as_it_is(tmp_path, values):
    path = saved(tmp_path / "a.png", values)
    np.testing.assert_array_equal(read_picture(path), values)
    np.testing.assert_array_equal(read_picture(path, ink="dark"), 255 - values)
    colour = read_picture(path, grey=False)
    np.testing.assert_array_equal(colour, np.repeat(values[..., None], 3, axis=2))


def test_colour_becomes_grey_only_if_asked(tmp_path, rng):
    values = rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)
    path = saved(tmp_path / "a.png", values)
    np.testing.assert_array_equal(read_picture(path, grey=False), values)
    # Weights of ITU-R 601-2, to within rounding.
    np.testing.assert_allclose(read_picture(path), values @ [0.299, 0.587, 0.114], atol=0.51)


def test_what_is_transparent_shows_the_paper(tmp_path):
    values = np.zeros((2, 2, 4), np.uint8)
    values[0, 0] = 255, 255, 255, 255
    values[0, 1] = 200, 200, 200, 255
    path = saved(tmp_path / "a.png", values)
    assert read_picture(path).tolist() == [[255, 200], [0, 0]]
    assert read_picture(path, ink="dark").tolist() == [[0, 55], [0, 0]]


def test_sixteen_bits_a_pixel_are_not_cut_off(tmp_path):
    path = saved(tmp_path / "a.png", np.array([[0, 257, 32896, 65535]], np.uint16))
    assert read_picture(path).tolist() == [[0, 1, 128, 255]]


def test_a_palette_and_black_and_white(tmp_path, values):
    one_bit = Image.fromarray((values > 127).astype(np.uint8) * 255).convert("1")
    one_bit.save(tmp_path / "a.png")
    assert set(np.unique(read_picture(tmp_path / "a.png"))) == {0, 255}
    Image.fromarray(values).convert("P").save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "b.png"), values)


def test_a_jpeg_is_turned_as_its_camera_was(tmp_path):
    values = np.zeros((8, 16), np.uint8)
    values[:, 8:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise, to be upright
    path = saved(tmp_path / "a.jpg", values, exif=exif, quality=95)
    turned = read_picture(path)
    assert turned.shape == (16, 8)
    assert turned[:7].max() < 30
    assert turned[9:].min() > 225


def test_resizing_is_by_area_and_only_if_asked(tmp_path):
    values = np.zeros((4, 8), np.uint8)
    values[:, 4:] = 200
    path = saved(tmp_path / "a.png", values)
    assert read_picture(path, size=(2, 4)).shape == (2, 4)
    small = read_picture(path, size=(2, 2))
    assert small[:, 0].max() < 60
    assert small[:, 1].min() > 140
    np.testing.assert_array_equal(read_picture(path, size=(4, 8)), values)


def chunk(kind, content):
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def bomb(width, height):
    """A PNG of a hundred bytes that claims to be huge."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    content = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + header + content + chunk(b"IEND", b"")


def gif():
    stream = io.BytesIO()
    Image.new("L", (3, 3)).save(stream, "GIF")
    return stream.getvalue()


def png(size=(40, 40)):
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    Image.fromarray(noise).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "neither PNG nor JPEG"),
        (b"not an image", "neither PNG nor JPEG"),
        (gif(), "neither PNG nor JPEG"),
        (png()[:600], "damaged"),
        (png()[:60], "damaged"),
        (png().replace(b"IDAT", b"IDAX"), "damaged|neither"),
        (png()[:900] + b"\0" * 300 + png()[1200:], "damaged"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 50, "damaged|neither"),
        (bomb(9000, 9000), "more pixels than jaxbq reads"),
        (bomb(50000, 50000), "more pixels than jaxbq reads"),
        (bomb(2**31 - 1, 2**31 - 1), "more pixels than jaxbq reads"),
        (bomb(0, 5), "damaged|neither"),
        (bomb(400, 400), "damaged"),
    ],
)
def test_files_that_are_no_images(tmp_path, content, message):
    path = tmp_path / "bad\n.png"
    path.write_bytes(content)
    with pytest.raises(JaxbqError, match=rf"bad\\n.png: .*({message})") as caught:
        read_picture(path)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(JaxbqError, match=r"a.png: not a file"):
        read_picture(tmp_path / "a.png")
    with pytest.raises(JaxbqError, match=r"b.png: cannot be read \(No such file"):
        read_picture(tmp_path / "b.png")
    (tmp_path / "c.png").mkdir()
    with pytest.raises(JaxbqError, match=r"c.png: is a folder; name an image file"):
        read_picture(tmp_path / "c.png")


def row(path, *, shape=(6, 5), ink=None):
    said = []
    return read_row(path, ImageSpace(shape, -1.0, 3.0), ink, said.append), said


def test_a_row_of_a_picture_goes_over_the_pixel_range(tmp_path, values):
    path = saved(tmp_path / "a.png", values // 2)
    wanted = -1 + (values // 2).reshape(-1) / 255 * 4
    found, said = row(path)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)
    assert said == []
    negative, said = row(path, ink="dark")
    np.testing.assert_allclose(negative, 2 - wanted, rtol=0, atol=1e-12)
    assert "mostly bright" in said[0]
    colour, _ = row(path, shape=(6, 5, 3))
    np.testing.assert_array_equal(colour, found.repeat(3))
    small, said = row(path, shape=(3, 5))
    assert small.shape == (15,)
    assert said == ["resized from 6 × 5 to 3 × 5 pixels"]


def test_a_row_of_numbers_is_taken_as_it_is_and_bytes_over_the_range(tmp_path, rng, values):
    path = tmp_path / "a.npy"
    numbers = rng.uniform(-1, 3, 30)
    np.save(path, numbers)
    np.testing.assert_array_equal(row(path)[0], numbers)
    np.save(path, values)
    np.testing.assert_allclose(row(path)[0], -1 + values.reshape(-1) / 255 * 4, atol=1e-12)


@pytest.mark.parametrize(
    ("numbers", "shape", "said"),
    [
        (np.zeros(29), (6, 5), "has 29 values of type float64, but the network takes 30"),
        (np.zeros(30, complex), (6, 5), "of type complex128"),
        (np.full(30, 3.5), (6, 5), r"beyond the network's range \[-1, 3\]; rescale"),
        (np.full(30, np.nan), (6, 5), "beyond the network's range"),
    ],
)
def test_a_row_that_the_network_does_not_take_is_refused(tmp_path, numbers, shape, said):
    np.save(tmp_path / "a.npy", numbers)
    with pytest.raises(JaxbqError, match=said):
        row(tmp_path / "a.npy", shape=shape)


def test_a_picture_for_a_network_of_plain_numbers_is_refused(tmp_path, values):
    with pytest.raises(JaxbqError, match="takes no pictures; give the numbers"):
        row(saved(tmp_path / "a.png", values), shape=(30,))
