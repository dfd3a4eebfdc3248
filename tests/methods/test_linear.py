import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest
from sklearn.linear_model import LogisticRegression

from jaxbq.errors import JaxbqError
from jaxbq.methods import LinearDiscriminant, Logistic, invert, preset
from jaxbq.network.mlp import MLP
from jaxbq.network.targets import Codes


@pytest.mark.usefixtures("x64")
def test_a_discriminant_solves_the_normal_equations(tiny):
    """By NumPy's solve, class by class."""
    model, params = problems.random_network((30, 3), np.random.default_rng(1))
    found = invert(LinearDiscriminant(), model, params, Codes().matrix(3), reference=tiny)
    images = tiny.train_images.astype(np.float64)
    covariance = np.cov(images.T, bias=True)
    variance = np.trace(covariance) / 30
    shrunk = 0.99 * covariance + 0.01 * variance * np.eye(30)
    for label in range(3):
        mean = images[tiny.train_labels == label].mean(axis=0)
        weights = np.linalg.solve(shrunk, mean - images.mean(axis=0))
        expected = 0.5 + 0.5 * weights / np.abs(weights).max()
        np.testing.assert_allclose(found.images[label, 0], expected, atol=1e-4)


def test_a_logistic_regression_reads_as_scikit_learns(tiny):
    model, params = problems.random_network((30, 8, 3), np.random.default_rng(1), "tanh", "softmax")
    method = Logistic(epochs=200, batch_size=40)
    state = method.prepare(model, params, tiny.reference, jax.random.key(0))
    ours = MLP((30, 3), output="softmax").apply(state.params, tiny.test_images)
    theirs = LogisticRegression(C=np.inf, max_iter=2000).fit(tiny.train_images, tiny.train_labels)
    assert (np.asarray(ours).argmax(axis=1) == theirs.predict(tiny.test_images)).mean() > 0.95
    assert float(jnp.max(ours, axis=1).mean()) > 0.9


def test_the_network_has_no_part_in_either(tiny):
    targets = Codes().matrix(3)
    quick = Logistic(method=preset("whitened", steps=20), epochs=2, batch_size=40)
    for method in (LinearDiscriminant(), quick):
        one, other = (
            invert(
                method,
                *problems.random_network((30, hidden, 3), np.random.default_rng(hidden)),
                targets,
                reference=tiny,
            )
            for hidden in (5, 9)
        )
        np.testing.assert_array_equal(one.images, other.images)
        assert not np.allclose(one.outputs, other.outputs)


@pytest.mark.parametrize("method", [LinearDiscriminant(), Logistic()], ids=lambda m: m.kind)
def test_they_need_labels(method, tiny):
    model, params = problems.random_network((30, 3), np.random.default_rng(1))
    unlabelled = type(tiny.reference)(tiny.space, tiny.train_images)
    with pytest.raises(JaxbqError, match=f"{method.kind} needs the labels"):
        invert(method, model, params, Codes().matrix(3), reference=unlabelled)
