"""scikit-learn's networks after scalers, as objects and in files of skops."""

import warnings

import numpy as np
import pytest
import random_networks

from jaxbq.errors import JaxbqError
from jaxbq.network.files import import_network

pytest.importorskip("sklearn", reason="scikit-learn is not here")
skops = pytest.importorskip("skops.io", reason="skops is not here")
from sklearn.decomposition import PCA  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.neural_network import MLPClassifier, MLPRegressor  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import (  # noqa: E402
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    RobustScaler,
    StandardScaler,
)

STEPS = {
    "standard": [StandardScaler()],
    "mean alone": [StandardScaler(with_std=False)],
    "deviation alone": [StandardScaler(with_mean=False)],
    "range": [MinMaxScaler((-1, 2))],
    "largest": [MaxAbsScaler()],
    "robust": [RobustScaler(), "passthrough"],
    "components": [PCA(5)],
    "whitened": [StandardScaler(), PCA(5, whiten=True), MinMaxScaler()],
    "nested": [make_pipeline(StandardScaler(), MaxAbsScaler()), FunctionTransformer()],
}


def fitted(estimator, images, labels):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it need not converge
        return estimator.fit(images, labels)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("classes", [2, 3])
def test_scalers_fold(tmp_path, rng, steps, classes):
    images = rng.random((60, 12)) * rng.random(12) * 16
    labels = np.array(["one", "two", "three"])[rng.integers(0, classes, 60)]
    network = MLPClassifier((7, 5), activation=str(rng.choice(["relu", "tanh", "logistic"])))
    pipeline = fitted(make_pipeline(*STEPS[steps], network.set_params(max_iter=3)), images, labels)
    skops.dump(pipeline, tmp_path / "net.skops")
    for source in (pipeline, tmp_path / "net.skops"):
        if steps == "nested" and source is not pipeline:
            continue  # a function, even none, is not trusted in a file
        found = random_networks.assert_same(source, images, pipeline.predict_proba(images))
        assert found.class_names == tuple(sorted(set(labels.tolist())))
        assert all(note.endswith("folded in") for note in found.notes)
        assert found.notes


def test_the_best_of_a_search_and_a_regressor(rng):
    images, labels = rng.random((40, 12)), rng.integers(0, 2, 40)
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((4,), max_iter=2))
    search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [0.1, 0.2]}, cv=2)
    fitted(search, images, labels)
    random_networks.assert_same(search, images, search.predict_proba(images))
    regressor = make_pipeline(MinMaxScaler(), MLPRegressor(hidden_layer_sizes=(4,), max_iter=2))
    fitted(regressor, images, rng.random((40, 3)))
    random_networks.assert_same(regressor, images, regressor.predict(images))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Normalizer(), "step Normalizer .* is not affine"),
        (FunctionTransformer(np.sqrt), "step FunctionTransformer .* not known to be"),
        (MinMaxScaler(clip=True), "step MinMaxScaler .* clips"),
    ],
)
def test_what_does_not_fold_is_refused(rng, step, message):
    pipeline = make_pipeline(step, MLPClassifier((4,), max_iter=2))
    fitted(pipeline, rng.random((40, 12)), rng.integers(0, 2, 40))
    with pytest.raises(JaxbqError, match=message):
        import_network(pipeline)


def test_what_is_not_fitted_is_refused():
    for estimator in (make_pipeline(StandardScaler(), MLPClassifier()), MLPClassifier(), PCA()):
        with pytest.raises(JaxbqError, match=r"not fitted|no fitted"):
            import_network(estimator)


def test_a_search_in_a_file_is_refused_with_what_to_save(tmp_path, rng):
    search = GridSearchCV(MLPClassifier((3,), max_iter=2), {"alpha": [1e-4]}, cv=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged
        search.fit(rng.random((12, 4)), [0, 1] * 6)
    skops.dump(search, tmp_path / "net.skops")
    with pytest.raises(JaxbqError, match="of a search save its best_estimator_ alone"):
        import_network(tmp_path / "net.skops")
