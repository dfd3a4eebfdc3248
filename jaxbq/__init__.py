"""Ask a neural network what a 0 is to it: run it backwards, by every route, and compare."""

import lazy_loader

# Names are declared in __init__.pyi and imported when they are first used, so that the command
# line answers before JAX is loaded.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
