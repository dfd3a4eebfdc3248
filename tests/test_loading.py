import contextlib
import gc
import sys

from jaxbq.cli.arguments import unswept


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
