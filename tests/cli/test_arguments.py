import contextlib
import gc
import sys
from typing import get_args

import pytest

from jaxbq import methods
from jaxbq.cli.arguments import ALIASES, METHODS, PRESETS, read_method, unswept
from jaxbq.errors import JaxbqError


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
