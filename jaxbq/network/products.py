"""Matrix products with many rows, in the form that XLA computes fastest on this machine.

For CPUs XLA gives a product `a @ b` to one library (YNNPACK) and everything else to another
(Eigen): a product with a transposed matrix, and a convolution without a window, which is the same
product. A third form has the rows as columns of its result. Which is fastest depends on the shapes
and the processor, so it is measured once per machine. All forms give the same sums up to rounding.
On accelerators, and with mixed types or such as Eigen has no fast kernels for, a product is a
product.
"""

import functools
import threading
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..runtime.compiled import Compiled
from ..runtime.measured import measured

# The form forward where a transpose is stored, and that of all other products. Chosen together: a
# program that goes from one library to the other and back can be slower than with either alone.
_PLAIN, _CONVOLUTION, _COLUMNS = "plain", "convolution", "columns-convolution"
_FORMS = (_PLAIN, _CONVOLUTION, "columns-plain", _COLUMNS)
# From so many rows on: the number of rows that is measured for them.
_ROWS = {64: 64, 128: 128, 256: 640}
# Matrices of more entries are measured as the larger of these.
_FEW_ENTRIES = 2**16
_FEW, _MANY = (200, 200), (784, 200)
# What is fastest on two cores of an AMD EPYC (AVX-512) with jaxlib 0.10.2: where nothing is
# measured, and in float64.
_USUAL = {
    "64 x 200 x 200": _CONVOLUTION,
    "64 x 784 x 200": _PLAIN,
    "128 x 200 x 200": _CONVOLUTION,
    "128 x 784 x 200": _CONVOLUTION,
    "640 x 200 x 200": _COLUMNS,
    "640 x 784 x 200": _COLUMNS,
}
_ONE_AT_A_TIME = threading.Lock()


def times(a: Float[Array, "rows k"], b: Float[Array, "k n"]) -> Float[Array, "rows n"]:
    """Multiply; the product is not meant to be differentiated."""
    return _multiply(_others(_form(a, b)), a, b)


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
    return _with_transpose(rows, weight, transpose)


def _with_transpose(rows: Array, weight: Array, transpose: Array) -> Array:
    return _forward(_form(rows, weight), rows, weight, transpose)


def _weight_fixed_forward(rows: Array, weight: Array, transpose: Array) -> tuple[Array, Array]:
    # Not the decorated one, which has no forward mode; whoever bends gradients needs it.
    return _with_transpose(rows, weight, transpose), transpose


def _weight_fixed_back(transpose: Array, cotangent: Array) -> tuple[Array, None, None]:
    return times(cotangent, transpose), None, None


fixed_weight_product.defvjp(_weight_fixed_forward, _weight_fixed_back)


def _others(form: str) -> str:
    """Return the form of products without a transpose."""
    return form.rpartition("-")[2]


def _multiply(form: str, a: Array, b: Array) -> Array:
    if form == _PLAIN:
        return a @ b
    return jax.lax.conv_general_dilated(a, b, (), "VALID", dimension_numbers=("NC", "IO", "NC"))


def _forward(form: str, rows: Array, weight: Array, transpose: Array) -> Array:
    if not form.startswith("columns"):
        return _multiply(form, rows, weight)
    columns = jax.lax.dot_general(transpose, rows, (((1,), (1,)), ((), ())))
    # Without leave for XLA to turn the product round again.
    return jax.lax.optimization_barrier(columns).T


def _form(a: Array, b: Array) -> str:
    plain = a.dtype == b.dtype and a.dtype in (jnp.float32, jnp.float64)
    if not plain or len(a) < min(_ROWS) or jax.default_backend() != "cpu":
        return _PLAIN
    rows = max(least for least in _ROWS if least <= len(a))
    k, n = _FEW if b.size <= _FEW_ENTRIES else _MANY
    case = f"{_ROWS[rows]} x {k} x {n}"
    if a.dtype == jnp.float64:
        return _USUAL[case]
    return _chosen()[case]


def choose_forms() -> None:
    """Measure which forms are fastest here, before other work disturbs it; once per machine."""
    if jax.default_backend() == "cpu":
        _chosen()


def _chosen() -> Mapping[str, str]:
    with _ONE_AT_A_TIME:
        return _choices()


@functools.cache
def _choices() -> Mapping[str, str]:
    return measured("products", _USUAL, _FORMS, _prepared)


def _prepared(case: str, form: str) -> Callable[[], object]:
    """Compile products forward and back among others, as ascents and trainings have them.

    One alone tells less: its result is copied to the outside, and no other library works before it.
    """
    rows, k, n = map(int, case.split(" x "))
    weight = jnp.full((k, n), 0.01, jnp.float32)
    given = jnp.full((rows, k), 0.1, jnp.float32), weight, jnp.array(weight.T)
    compute = Compiled(functools.partial(_steps, form)).quick
    jax.block_until_ready(compute(*given))
    return lambda: jax.block_until_ready(compute(*given))


def _steps(form: str, rows: Array, weight: Array, transpose: Array) -> Array:
    for _ in range(2):
        forward = _forward(form, rows, weight, transpose)
        rows = jax.nn.relu(_multiply(_others(form), jax.nn.relu(forward), transpose))
    return rows
