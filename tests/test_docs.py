"""The examples of the documentation run as they stand there."""

import re
from pathlib import Path

import numpy as np
import pytest

PAGE = (Path(__file__).parent.parent / "docs" / "own-models.md").read_text()
EXAMPLES = re.findall(r"^## ([^\n]*)\n.*?```python\n(.*?)```", PAGE, re.S | re.M)


def test_there_is_one_example_for_each_library():
    assert [title for title, _ in EXAMPLES] == ["Plain JAX", "Flax", "Equinox"]


@pytest.mark.parametrize(("title", "code"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
# Of the libraries' own, at import.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_example_finds_images_that_its_network_answers(title, code):
    names: dict = {}
    exec(code, names)
    result = names["result"]
    space = result.space
    assert result.images.shape[2] == space.pixels
    assert result.images.min() >= space.low
    assert result.images.max() <= space.high
    begun = result.diagnostics["curve"][..., 0]
    assert (result.diagnostics["objective"] > begun).all()
    assert np.isfinite(result.outputs).all()
