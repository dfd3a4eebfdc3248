"""What the machine can do at most: the rate of large matrix products, and of memory."""

import contextlib
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..runtime.devices import full_precision, rounds_products, tf32
from .timing import Contender, Timing, alternate

_SIDE = 2048
_TRIAD = 2**24  # numbers; three arrays of them fit no cache


class Peak:
    """Measures the machine, alternating with what is compared with it.

    Args:
        precision: of the numbers.
        side: of the square matrices.
        length: of the vectors that memory is measured with.
    """

    def __init__(self, precision: str = "float32", side: int = _SIDE, length: int = _TRIAD) -> None:
        self._dtype = np.dtype(precision)
        self._side, self._length = side, length
        self._seconds: list[float] = []
        self._bandwidth = 0.0

    @property
    def flops(self) -> float:
        """Operations of one product."""
        return 2.0 * self._side**3

    @cached_property
    def products(self) -> tuple[Contender, ...]:
        """Large products by every library that is here, to be timed along with a case."""
        shape = (self._side, self._side)
        values = np.random.default_rng(0).random(shape).astype(self._dtype)
        matrix = jnp.asarray(values)
        product = jax.jit(jnp.matmul)

        def by_jax() -> Any:
            with tf32() if rounds_products() else full_precision():
                return product(matrix, matrix)

        found = [
            Contender("matrix peak, JAX", by_jax),
            Contender("matrix peak, NumPy", partial(np.matmul, values, values)),
        ]
        with contextlib.suppress(ImportError):
            from .peers.pytorch import load, tensor

            torch = load()
            other = tensor(torch, values)
            found.append(Contender("matrix peak, PyTorch", partial(torch.matmul, other, other)))
        return tuple(found)

    def gflops(self, timings: Mapping[str, Timing]) -> float:
        """Find the peak while a case ran: the fastest library's median; remember all rounds."""
        rounds = [timings[c.name].seconds for c in self.products if timings[c.name].seconds]
        self._seconds += [second for each in rounds for second in each]
        return self.flops / min(float(np.median(each)) for each in rounds) / 1e9

    def measure_memory(self, rounds: int = 5) -> float:
        """Measure what memory can move: a ← b + s·c over arrays that fit no cache, in GB/s."""
        timings = alternate(self._triads(), rounds, hush=0.0)
        least = min(min(t.seconds) for t in timings.values() if t.seconds)
        moved = 3 * self._length * self._dtype.itemsize
        self._bandwidth = max(self._bandwidth, moved / least / 1e9)
        return self._bandwidth

    def _triads(self) -> list[Contender]:
        values = np.ones(self._length, self._dtype)
        b, c = jnp.asarray(values), jnp.asarray(values)
        # Into memory that is there already: new pages cost more than the numbers.
        triad = jax.jit(lambda a, b, c: b + 3 * c, donate_argnums=0, keep_unused=True)
        place = [jnp.zeros_like(b)]

        def by_jax() -> Any:
            place[0] = triad(place[0], b, c)
            return place[0]

        found = [Contender("triad, JAX", by_jax)]
        with contextlib.suppress(ImportError):
            from .peers.pytorch import load, tensor

            torch = load()
            left, right = tensor(torch, values), tensor(torch, values)
            out = torch.empty_like(left)
            add: Callable[[], Any] = partial(torch.add, left, right, alpha=3, out=out)
            found.append(Contender("triad, PyTorch", add))
        return found

    def summary(self) -> dict[str, Any]:
        """Say the largest rates that were measured, and every second of every product."""
        best = self.flops / min(self._seconds) / 1e9 if self._seconds else None
        return {
            "matrix_gflops": best,
            "bandwidth_gb_s": self._bandwidth or None,
            "seconds": self._seconds,
            "side": self._side,
        }
