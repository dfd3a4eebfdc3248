"""What a user would pick instead of jaxbq; every library is imported only when it is timed."""

from collections.abc import Callable

from ..timing import Contender

_NAMES = {"torch": "PyTorch", "lucent": "Lucent", "sklearn": "scikit-learn"}


def offer(name: str, make: Callable[[], Contender]) -> Contender:
    """Make a peer's contender, or one without a call whose note says why there is none."""
    try:
        return make()
    except ImportError as fault:
        package = (fault.name or "").partition(".")[0]
        if package in _NAMES:
            note = f"{_NAMES[package]} is not installed: pip install -e '.[bench]'"
        else:
            note = f"cannot be imported: {fault}"
    except Exception as fault:  # packages that do not fit together raise anything
        note = f"cannot be used: {str(fault).partition(chr(10))[0] or type(fault).__name__}"
    return Contender(name, None, note=note)
