import numpy as np
import problems
import pytest
from PIL import Image

from jaxbq.data import ImageSpace
from jaxbq.errors import JaxbqError
from jaxbq.methods import Ascent, Transpose, invert
from jaxbq.network.targets import Codes
from jaxbq.report import default_path, path_strip, save_animation

NAMES = ("row", "column", "block")


@pytest.fixture
def result(rng, tiny):
    model, params = problems.random_network((30, 12, 3), rng, scale=6.0)
    method = Ascent(steps=20, path=(0, 1, 5, 20))
    return invert(method, model, params, Codes().matrix(3), reference=tiny)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_an_animation_has_a_frame_a_step_and_shows_the_images(result, tmp_path, suffix):
    path = tmp_path / f"way{suffix}"
    save_animation(result, path, NAMES)
    with Image.open(path) as film:
        assert film.n_frames == 4
        assert film.info.get("loop", 0) == 0
        film.seek(3)
        last = np.asarray(film.convert("L"), float)
    # The first image, 6 × 5 enlarged 22 times, below its name.
    drawn = last[22 : 22 + 6 * 22, 8 : 8 + 5 * 22].reshape(6, 22, 5, 22)[:, 11, :, 11]
    expected = 255 * (1 - result.diagnostics["path"][0, 0, 3].reshape(6, 5))
    np.testing.assert_allclose(drawn, expected, atol=3)
    assert not [file for file in tmp_path.iterdir() if file != path]


def test_a_strip_has_a_row_a_target_and_a_column_a_step(result):
    figure = path_strip(result, NAMES)
    images = [axis.images[0].get_array() for axis in figure.axes]
    assert len(images) == 3 * 4
    np.testing.assert_allclose(
        images[4 + 2], result.diagnostics["path"][1, 0, 2].reshape(6, 5), atol=1e-6
    )
    assert [axis.get_title() for axis in figure.axes[:4]] == ["step 0", "1", "5", "20"]
    assert [axis.get_ylabel() for axis in figure.axes[::4]] == list(NAMES)


def test_the_default_steps_go_from_start_to_end():
    for steps in (1, 2, 30, 500):
        path = default_path(steps)
        assert (path[0], path[-1]) == (0, steps)
        assert list(path) == sorted(set(path))


def test_without_a_path_there_is_nothing_to_draw(rng, tmp_path):
    model, params = problems.random_network((30, 12, 3), rng)
    targets, space = Codes().matrix(3), ImageSpace((6, 5))
    for method in (Ascent(steps=2), Transpose()):
        result = invert(method, model, params, targets, reference=space)
        with pytest.raises(JaxbqError, match="no path was kept"):
            save_animation(result, tmp_path / "way.gif", NAMES)
