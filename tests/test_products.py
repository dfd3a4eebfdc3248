import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxbq.products import fixed_rows_product, fixed_weight_product, times

# On both sides of every number of rows, and of the number of entries, at which the form changes.
SHAPES = [
    *((rows, 7, 5) for rows in (1, 63, 64, 255, 256)),
    *((rows, 400, 200) for rows in (127, 128, 256)),
]


def drawn(rng, *shapes):
    return [jnp.asarray(rng.normal(size=shape)) for shape in shapes]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("rows", "k", "n"), SHAPES)
def test_every_form_is_the_product_and_has_its_gradient(rng, rows, k, n):
    a, w, toward = drawn(rng, (rows, k), (k, n), (rows, n))
    close = {"rtol": 1e-11, "atol": 1e-11}
    np.testing.assert_allclose(times(a, w), a @ w, **close)
    product, back = jax.vjp(lambda a: fixed_weight_product(a, w, w.T), a)
    np.testing.assert_allclose(product, a @ w, **close)
    np.testing.assert_allclose(back(toward)[0], toward @ w.T, **close)
    product, back = jax.vjp(lambda w: fixed_rows_product(a, w), w)
    np.testing.assert_allclose(product, a @ w, **close)
    np.testing.assert_allclose(back(toward)[0], a.T @ toward, **close)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("of_rows_", "of_weight", "of_product"),
    [
        ("float32", "float32", "float32"),
        ("bfloat16", "bfloat16", "bfloat16"),
        ("float64", "float32", "float64"),
    ],
)
@pytest.mark.parametrize("number", [10, 150, 300])
def test_products_have_the_type_of_their_factors(rng, number, of_rows_, of_weight, of_product):
    # Small whole numbers, whose sums every type holds exactly.
    a, w = rng.integers(-2, 3, (number, 6)), rng.integers(-2, 3, (6, 4))
    weight = jnp.asarray(w, of_weight)
    product = fixed_weight_product(jnp.asarray(a, of_rows_), weight, weight.T)
    assert product.dtype == of_product
    np.testing.assert_array_equal(np.asarray(product, np.int64), a @ w)


@pytest.mark.usefixtures("x64")
def test_pull_backs_of_several_cotangents_at_once(rng):
    # As Gauss-Newton forms a Jacobian.
    a, w, toward = drawn(rng, (130, 6), (6, 4), (3, 130, 4))
    _, back = jax.vjp(lambda a: fixed_weight_product(a, w, w.T), a)
    (found,) = jax.vmap(back)(toward)
    np.testing.assert_allclose(found, toward @ w.T, rtol=1e-11, atol=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("rows", [10, 130, 260])
def test_a_gradient_can_be_bent_along_a_direction(rng, rows):
    # As Gauss-Newton does, forward over reverse.
    a, w, along = drawn(rng, (rows, 6), (6, 4), (rows, 6))

    def gradient(a, product):
        return jax.grad(lambda a: jnp.sin(product(a)).sum())(a)

    bent, plain = (
        jax.jvp(lambda a, f=product: gradient(a, f), (a,), (along,))[1]
        for product in (lambda a: fixed_weight_product(a, w, w.T), lambda a: a @ w)
    )
    np.testing.assert_allclose(bent, plain, rtol=1e-11, atol=1e-12)
