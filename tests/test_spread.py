import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from jaxbq.evaluation import spread
from jaxbq.evaluation.spread import _groups


def test_groups_of_alike_images_are_counted(rng):
    two = rng.random((2, 50))
    # Brightness and contrast make no other optimum.
    images = np.stack([two[0], 0.5 * two[0] + 0.1, two[1], two[1] + 1e-3 * rng.random(50)])[None]
    found = spread(images)
    assert found.distinct.tolist() == [2]
    table = np.corrcoef(images[0])
    assert np.isclose(found.mean_correlation[0], table[np.triu_indices(4, 1)].mean())


def test_groups_are_those_of_the_graph(rng):
    for links in (0.0, 0.01, 0.02, 0.05, 0.5):
        linked = rng.random((60, 60)) < links
        linked |= linked.T
        expected = connected_components(csr_matrix(linked.astype(np.int8)), directed=False)[0]
        assert _groups(linked) == expected
    chain = np.eye(40, k=1, dtype=bool)
    assert _groups(chain | chain.T) == 1


def test_one_sample_is_one_optimum(rng):
    found = spread(rng.random((3, 1, 50)))
    assert found.distinct.tolist() == [1, 1, 1]
    assert found.mean_correlation.tolist() == [1, 1, 1]


def test_targets_are_apart(rng):
    same = np.tile(rng.random(50), (5, 1))
    found = spread(np.stack([same, rng.random((5, 50))]))
    assert found.distinct.tolist() == [1, 5]
