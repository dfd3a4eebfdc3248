import contextlib
import gc
import sys
from typing import get_args

import numpy as np
import pytest

from jaxbq import methods
from jaxbq.cli.arguments import ALIASES, METHODS, PRESETS, load_named, read_method, unswept
from jaxbq.data import ImageSpace
from jaxbq.errors import JaxbqError
from jaxbq.network.files import NetworkFile
from jaxbq.network.mlp import MLP


def test_no_garbage_is_collected_meanwhile_and_then_it_is_again():
    assert gc.isenabled()
    kept = gc.get_freeze_count()
    try:
        with contextlib.suppress(ZeroDivisionError), unswept("no_such_module"):
            assert not gc.isenabled()
            1 / 0  # noqa: B018
        assert gc.isenabled()
        assert gc.get_freeze_count() > kept
    finally:
        gc.unfreeze()


def test_what_is_imported_already_is_left_alone():
    kept = gc.get_freeze_count()
    assert "gc" in sys.modules
    with unswept("gc"):
        assert gc.isenabled()
    assert gc.get_freeze_count() == kept


@pytest.fixture
def network():
    return NetworkFile(MLP((4, 2)), (), ImageSpace((2, 2), -0.5, 2.0), ("0", "1"))


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        # Bytes and shares of the usual ranges mean what they always do …
        (np.array([0, 255, 128, 7], np.uint8), (0.0, 1.0)),
        (np.array([0.0, 1.0, 0.5, 0.2]), (0.0, 1.0)),
        # … others lie in the range that the network was trained on, not in their own.
        (np.array([-0.4, 1.9, 0.0, 0.3]), (-0.5, 2.0)),
    ],
)
def test_the_range_of_arrays_is_the_usual_one_or_the_networks(tmp_path, network, pixels, expected):
    path = tmp_path / "own.npz"
    np.savez(path, images=np.stack([pixels] * 6).reshape(6, 2, 2), labels=np.arange(6) % 2)
    assert load_named(str(path), network=network).pixel_range == expected


def test_names_of_methods_in_the_help_are_those_there_are():
    assert set(METHODS) == {cls().kind for cls in get_args(get_args(methods.AnyMethod)[0])}
    assert set(PRESETS) == set(methods.PRESETS)
    assert not {*ALIASES} & {*METHODS, *PRESETS}


def test_an_alias_is_another_name_and_a_slip_lists_all():
    assert read_method("backquery", []) == methods.Transpose()
    assert read_method("pinv", ["rcond=0.5"]) == methods.PseudoInverse(rcond=0.5)
    assert read_method("autoencoder", []) == methods.preset("nguyen2016")
    with pytest.raises(JaxbqError) as fault:
        read_method("penrose", [])
    for name in (*METHODS, *PRESETS, *ALIASES):
        assert name in str(fault.value)
