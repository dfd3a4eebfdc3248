"""Matrix products with many rows, in the form that XLA computes fastest.

For CPUs XLA gives a product `a @ b` to one library (YNNPACK) and everything else to another
(Eigen): a product with a transposed matrix, and a convolution without a window, which is the same
product. Which is faster depends on the shapes; the numbers below are of two cores of an AMD EPYC
(AVX-512) and jaxlib 0.10.2. All forms give the same sums up to rounding. On accelerators, and with
mixed types or such as Eigen has no fast kernels for, a product is a product.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# From so many rows on a convolution takes 0.7 to 1.0 of the time of `a @ b`.
_MANY_ROWS = 128
# Half of them suffice for a matrix of so many entries: 0.5 to 0.7 of the time from 64 rows on.
_FEW_ENTRIES = 2**16
# From so many rows on the product whose result has the rows as columns is the fastest of the three
# forward, by up to a third; back, the convolution stays so, by a tenth at 640 rows.
_VERY_MANY_ROWS = 256


def times(a: Float[Array, "rows k"], b: Float[Array, "k n"]) -> Float[Array, "rows n"]:
    """Multiply; the product is not meant to be differentiated."""
    enough = _MANY_ROWS if b.size > _FEW_ENTRIES else _MANY_ROWS // 2
    if not _on_cpu(a, b) or len(a) < enough:
        return a @ b
    return jax.lax.conv_general_dilated(a, b, (), "VALID", dimension_numbers=("NC", "IO", "NC"))


@jax.custom_vjp
def fixed_rows_product(
    rows: Float[Array, "rows k"], weight: Float[Array, "k n"]
) -> Float[Array, "rows n"]:
    """Multiply data with weights that are being learned: only these have a gradient."""
    return times(rows, weight)


def _rows_fixed_forward(rows: Array, weight: Array) -> tuple[Array, Array]:
    return times(rows, weight), rows


def _rows_fixed_back(rows: Array, cotangent: Array) -> tuple[None, Array]:
    return None, rows.T @ cotangent


fixed_rows_product.defvjp(_rows_fixed_forward, _rows_fixed_back)


@jax.custom_vjp
def fixed_weight_product(
    rows: Float[Array, "rows k"], weight: Float[Array, "k n"], transpose: Float[Array, "n k"]
) -> Float[Array, "rows n"]:
    """Multiply rows with weights that stay as they are: only the rows have a gradient.

    Args:
        rows: what the gradient is for.
        weight: the matrix.
        transpose: the same, stored transposed. Products with a transposed view are slow on CPUs at
            small batches (ten images: 1.6 times faster with a stored transpose).
    """
    return _columns_if_many(rows, weight, transpose)


def _columns_if_many(rows: Array, weight: Array, transpose: Array) -> Array:
    if not _on_cpu(rows, weight) or len(rows) < _VERY_MANY_ROWS:
        return times(rows, weight)
    columns = jax.lax.dot_general(transpose, rows, (((1,), (1,)), ((), ())))
    # Without leave for XLA to turn the product round again.
    return jax.lax.optimization_barrier(columns).T


def _weight_fixed_forward(rows: Array, weight: Array, transpose: Array) -> tuple[Array, Array]:
    # Not the decorated one, which has no forward mode; whoever bends gradients needs it.
    return _columns_if_many(rows, weight, transpose), transpose


def _weight_fixed_back(transpose: Array, cotangent: Array) -> tuple[Array, None, None]:
    return times(cotangent, transpose), None, None


fixed_weight_product.defvjp(_weight_fixed_forward, _weight_fixed_back)


def _on_cpu(a: Array, b: Array) -> bool:
    plain = a.dtype == b.dtype and a.dtype in (jnp.float32, jnp.float64)
    return plain and jax.default_backend() == "cpu"
