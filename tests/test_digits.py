import sys

import numpy as np
import pytest

from jaxbq.data import Digits
from jaxbq.errors import JaxbqError


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
