import numpy as np
import pytest

from jaxbq.data.labels import mixed, split
from jaxbq.errors import JaxbqError


def test_every_class_is_parted_and_no_image_is_lost(rng):
    refused = 0
    for _ in range(300):
        labels = rng.integers(0, 5, rng.integers(1, 40))
        share, seed = rng.uniform(0.01, 0.99), int(rng.integers(2**32))
        counts = np.bincount(labels)
        if counts.max() < 2:
            refused += 1
            with pytest.raises(JaxbqError, match="no class has two images"):
                split(labels, share, seed)
            continue
        train, test = split(labels, share, seed)
        assert sorted([*train, *test]) == list(range(len(labels)))
        tested = np.bincount(labels[test], minlength=len(counts))
        assert (tested[counts == 1] == 0).all()
        many = counts > 1
        assert ((tested >= 1) & (tested < counts))[many].all()
        assert (abs(tested - counts * share)[many] <= 1).all()
    assert 0 < refused < 50


def test_the_seed_alone_decides():
    labels = np.repeat(np.arange(3), 40)
    one, again, other = (split(labels, 0.25, seed) for seed in (3, 3, 4))
    assert one[1].tolist() == again[1].tolist() != other[1].tolist()
    assert np.bincount(labels[one[1]]).tolist() == [10, 10, 10]
    # Mixed: no class comes whole before another.
    for part in one:
        assert len(set(labels[part[:10]])) == 3


def test_an_order_stays_what_it_is():
    """Run folders know their data by a checksum: another version may not draw another order."""
    assert mixed(8, 0).tolist() == [3, 2, 1, 6, 0, 7, 4, 5]
    assert sorted(mixed(1000, 5)) == list(range(1000))


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_out_of_range(share):
    with pytest.raises(JaxbqError, match=r"test_share is .*: it must lie between 0 and 1"):
        split(np.zeros(4, int), share, 0)


def test_a_seed_out_of_range():
    with pytest.raises(JaxbqError, match="split_seed is -1"):
        mixed(3, -1)
