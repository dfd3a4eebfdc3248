import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxbq.network import products
from jaxbq.network.products import fixed_rows_product, fixed_weight_product, times

# On both sides of every number of rows, and of the number of entries, at which the form changes.
SHAPES = [
    *((rows, 7, 5) for rows in (1, 63, 64, 255, 256)),
    *((rows, 400, 200) for rows in (127, 128, 256)),
]


def drawn(rng, *shapes):
    return [rng.normal(size=shape) for shape in shapes]


@jax.jit
def all_forms(a, w, toward):
    """Each product, and what its gradient pulls a cotangent back to, as one program."""
    by_weight = jax.vjp(lambda a: fixed_weight_product(a, w, w.T), a)
    by_rows = jax.vjp(lambda w: fixed_rows_product(a, w), w)
    pulled = [(product, back(toward)[0]) for product, back in (by_weight, by_rows)]
    return times(a, w), *pulled


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("rows", "k", "n"), SHAPES)
def test_every_form_is_the_product_and_has_its_gradient(rng, rows, k, n):
    a, w, toward = drawn(rng, (rows, k), (k, n), (rows, n))
    close = {"rtol": 1e-11, "atol": 1e-11}
    plain, by_weight, by_rows = all_forms(a, w, toward)
    for product in (plain, by_weight[0], by_rows[0]):
        np.testing.assert_allclose(product, a @ w, **close)
    np.testing.assert_allclose(by_weight[1], toward @ w.T, **close)
    np.testing.assert_allclose(by_rows[1], a.T @ toward, **close)


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
    product = jax.jit(lambda a, w: fixed_weight_product(a, w, w.T))(
        jnp.asarray(a, of_rows_), weight
    )
    assert product.dtype == of_product
    np.testing.assert_array_equal(np.asarray(product, np.int64), a @ w)


@pytest.mark.usefixtures("x64")
def test_pull_backs_of_several_cotangents_at_once(rng):
    # As Gauss-Newton forms a Jacobian.
    a, w, toward = drawn(rng, (130, 6), (6, 4), (3, 130, 4))

    @jax.jit
    def pulled(a, w, toward):
        _, back = jax.vjp(lambda a: fixed_weight_product(a, w, w.T), a)
        return jax.vmap(back)(toward)[0]

    found = pulled(a, w, toward)
    np.testing.assert_allclose(found, toward @ w.T, rtol=1e-11, atol=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("rows", [10, 130, 260])
def test_a_gradient_can_be_bent_along_a_direction(rng, rows):
    # As Gauss-Newton does, forward over reverse.
    a, w, along = drawn(rng, (rows, 6), (6, 4), (rows, 6))

    @jax.jit
    def bend(a, w, along):
        gradient = jax.grad(lambda a: jnp.sin(fixed_weight_product(a, w, w.T)).sum())
        return jax.jvp(gradient, (a,), (along,))[1]

    bent = bend(a, w, along)
    # The gradient of Σ sin(a w) is cos(a w) wᵀ; bent, −(sin(a w) · along w) wᵀ.
    expected = -(np.sin(a @ w) * (along @ w)) @ w.T
    np.testing.assert_allclose(bent, expected, rtol=1e-11, atol=1e-12)


@pytest.fixture(params=products._FORMS)
def measured_form(request, monkeypatch):
    """As if this form had been the fastest in all cases."""
    found = dict.fromkeys(products._USUAL, request.param)
    monkeypatch.setattr(products, "_choices", lambda: found)
    return request.param


@pytest.mark.parametrize(("rows", "k", "n"), [(10, 7, 5), (64, 7, 5), (130, 400, 200), (300, 7, 5)])
def test_whatever_was_measured_gives_the_product_and_its_gradient(rng, measured_form, rows, k, n):
    a, w, toward = (x / 8 for x in drawn(rng, (rows, k), (k, n), (rows, n)))
    given = [jnp.asarray(x, jnp.float32) for x in (a, w, toward)]

    @jax.jit
    def program(*given):  # a new function: JAX keeps what it has traced
        return all_forms.__wrapped__(*given)

    plain, by_weight, by_rows = program(*given)
    for found, expected in [
        *((product, a @ w) for product in (plain, by_weight[0], by_rows[0])),
        (by_weight[1], toward @ w.T),
        (by_rows[1], a.T @ toward),
    ]:
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    # The forms asked for are those that are computed: forward and back, and without a transpose.
    text = program.lower(*given).as_text()
    convolutions = {"plain": 0, "convolution": 4, "columns-plain": 0, "columns-convolution": 3}
    assert text.count("stablehlo.convolution") == (convolutions[measured_form] if rows >= 64 else 0)
    columns = rows >= 64 and measured_form.startswith("columns")
    assert text.count("optimization_barrier") == columns


def test_accelerators_few_rows_and_float64_ask_for_no_measurement(rng, monkeypatch):
    def never():
        raise AssertionError("measured")

    monkeypatch.setattr(products, "_choices", never)
    small, large, w = (jnp.zeros(shape, jnp.float32) for shape in ((63, 7), (64, 7), (7, 5)))
    times(small, w)
    with pytest.raises(AssertionError, match="measured"):
        times(large, w)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    times(large, w)
    monkeypatch.undo()
    monkeypatch.setattr(products, "_choices", never)
    with jax.enable_x64(True):
        times(jnp.zeros((64, 7)), jnp.zeros((7, 5)))


@pytest.mark.parametrize("form", products._FORMS)
def test_what_is_measured_is_a_chain_of_products(form):
    compute = products._prepared("3 x 5 x 4", form)
    # Forward 5 · 0.1 · 0.01, back 4 · 0.01, and once more.
    np.testing.assert_allclose(compute(), np.full((3, 5), 0.1 * (5 * 4 * 1e-4) ** 2), rtol=1e-6)


def test_every_case_that_is_measured_is_asked_for(monkeypatch):
    asked = set()

    class Choices(dict):
        def __getitem__(self, case):
            asked.add(case)
            return "plain"

    monkeypatch.setattr(products, "_choices", Choices)
    for rows in (64, 127, 128, 255, 256, 1000):
        for k in (7, 400):
            jax.eval_shape(
                times,
                jax.ShapeDtypeStruct((rows, k), jnp.float32),
                jax.ShapeDtypeStruct((k, 200), jnp.float32),
            )
    assert asked == set(products._USUAL)
