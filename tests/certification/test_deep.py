"""Several hidden layers, other objectives and ellipsoids, against brute force."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import norm
from small_networks import (
    ACTIVATIONS,
    BENT,
    deep_weights,
    largest_on_grid,
    network_of,
    values,
    weights_of,
)

from jaxbq import JaxbqError, certify, verify
from jaxbq.certification.certificate import _digest
from jaxbq.certification.verifier import (
    Claim,
    Region,
    Tree,
    Weights,
    asked,
    contains,
    distance,
    proof_form,
    proven,
    reached,
    root_intervals,
)

SIZES = (2, 4, 5, 3)  # one shape, so that few programs are compiled
NONE = np.zeros(0)
LOGIT = Claim("logit", 1, -1, 0.0, 1.0, "", 0.0, NONE)
FACTOR = np.array([[0.2, 0.1], [0.1, 0.3]])
VECTOR = np.array([0.3, -2.0, 0.7])
CLAIMS = {
    "logit": LOGIT,
    "margin": LOGIT._replace(objective="margin"),
    "first unit": LOGIT._replace(objective="unit", layer=1, target=3),
    "second unit": LOGIT._replace(objective="unit", layer=2, target=4),
    "direction": LOGIT._replace(objective="direction", target=-1, vector=VECTOR),
    "error": LOGIT._replace(objective="error", target=-1, vector=9 * VECTOR),
    "ball": LOGIT._replace(norm="l2", radius=0.3, centre=np.array([0.2, 0.9])),
    "ellipsoid": LOGIT._replace(
        norm="mahalanobis", radius=1.1, centre=np.array([0.2, 0.9]), factor=FACTOR
    ),
}


@pytest.fixture(autouse=True)
def _in_float64(x64):
    """Weights of tests stay what they are."""


def random_tree(weights: Weights, claim: Claim, rng: np.random.Generator) -> Tree:
    """Any multipliers, with a split in each of two layers."""
    weights, claim = asked(weights, claim)
    sizes = [len(layer.bias) for layer in proof_form(weights, claim).hidden]
    rivals = rng.uniform(0.3, 1, (3, len(weights.constants)))
    if claim.objective == "margin":
        rivals[:, claim.target] = 0
    if claim.objective == "error":
        rivals *= rng.choice([-1, 1], rivals.shape)
    ends = rng.normal(size=(2 * sum(sizes[1:]), sum(sizes) + 1)) * 0.3
    return Tree(
        np.array([0, -1, sum(sizes) - 1, -1, -1], np.int32),
        np.array([0.2, 0, 0.1, 0, 0]),
        rng.normal(size=(3, sum(sizes))),
        np.abs(rng.normal(size=3)),
        rivals,
        ends=np.abs(ends) if sizes[1:] else np.zeros((0, 0)),
    )


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_any_multipliers_bound_the_objective(claim):
    rng = np.random.default_rng(1)
    for activation in ACTIVATIONS + BENT:
        weights = deep_weights(SIZES, rng, (activation, str(rng.choice(ACTIVATIONS + BENT))))
        best = largest_on_grid(weights, claim, 101)
        for _ in range(4):
            assert proven(weights, claim, random_tree(weights, claim, rng)) >= best


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_what_an_image_reaches_is_its_objective(claim):
    rng = np.random.default_rng(2)
    for image in rng.uniform(size=(10, 2)):
        weights = deep_weights(SIZES, rng, ("silu", "gelu"))
        truth = values(weights, claim, image[None])[0]
        assert truth - 1e-9 <= reached(weights, claim, image) <= truth


def test_intervals_of_all_layers_hold_whatever_their_multipliers():
    rng = np.random.default_rng(3)
    for claim in (LOGIT, CLAIMS["ball"], CLAIMS["ellipsoid"]):
        weights = deep_weights(SIZES, rng, ("gelu", "sigmoid"))
        form, images = proof_form(weights, claim), rng.uniform(size=(1000, 2))
        images = images[[contains(claim, image) for image in images]]
        z = images @ weights.inner + weights.bias
        a = z * norm.cdf(z)
        every = np.hstack([z, a @ weights.between[0].weight + weights.between[0].bias])
        if claim.norm == "mahalanobis":
            every = np.hstack([images, every])
        region = Region.of(claim, len(form.inner))
        for ends in (None, random_tree(weights, claim, rng).ends):
            low, high = root_intervals(form, region, ends)
            assert (every >= low).all()
            assert (every <= high).all()


def ask(weights: Weights, claim: Claim, images: np.ndarray | None = None):
    """Certify as the claim says."""
    unit = claim.objective == "unit"
    vectors = {"direction": claim.vector, "error": 1 / (1 + np.exp(-claim.vector))}
    return certify(
        *network_of(weights),
        None if unit or claim.target < 0 else claim.target,
        objective=claim.objective,
        layer=claim.layer if unit else None,
        unit=claim.target if unit else None,
        vector=vectors.get(claim.objective),
        around=claim.centre if claim.norm else None,
        radius=claim.radius if claim.norm else None,
        norm=claim.norm or "linf",
        images=images,
        seconds=1000,
        nodes=200,
        gap=1e-3,
    )


@pytest.mark.parametrize(
    "name",
    ["logit", *(pytest.param(n, marks=pytest.mark.slow) for n in CLAIMS if n != "logit")],
)
def test_searches_are_true_and_better_than_intervals(name):
    claim, rng = CLAIMS[name], np.random.default_rng(4)
    for _ in range(2):
        weights = deep_weights(SIZES, rng, ("silu", "tanh"))
        found = ask(weights, claim, rng.uniform(size=(50, 2)))
        claim = found.claim
        best = largest_on_grid(weights, claim, 301)
        assert best <= found.proven
        # The grid misses the best picture by half a step.
        assert best - 0.05 * abs(best) <= found.found <= found.proven
        zero = found.tree._replace(multipliers=0 * found.tree.multipliers)
        assert found.proven <= proven(weights, claim, zero) + 1e-3 * abs(best)
        if name == "first unit":
            assert found.proven == pytest.approx(found.found, abs=1e-9)


def test_a_target_that_cannot_be_reached_is_proven_so():
    """A shallow network by branching, a deep one at the root."""
    rng = np.random.default_rng(5)
    for weights in (
        weights_of((2, 5, 3), rng, "sigmoid"),
        deep_weights(SIZES, rng, ("sigmoid", "silu")),
    ):
        found = certify(*network_of(weights), 1, objective="error", seconds=1000, nodes=200)
        np.testing.assert_allclose(found.claim.vector, np.log([1 / 99, 99, 1 / 99]))
        best = largest_on_grid(weights, found.claim, 301)
        assert best <= found.proven < 0
        assert best - 0.1 <= found.found <= found.proven
        assert "this target cannot be reached" in found.sentence


def test_a_target_that_an_image_gives_is_not_proven_out_of_reach():
    weights = deep_weights(SIZES, np.random.default_rng(9), ("sigmoid", "silu"))
    all_logits = LOGIT._replace(objective="direction", vector=np.eye(3))
    (logits,) = values(weights, all_logits, np.full((1, 2), 0.5))
    found = certify(*network_of(weights), objective="error", vector=1 / (1 + np.exp(-logits)))
    assert found.proven >= -1e-9
    assert found.found > -1e-2
    assert found.sentence.endswith("is not proven.")


def test_ellipsoids(tmp_path):
    rng = np.random.default_rng(6)
    images = np.clip(rng.normal(size=(200, 2)) @ FACTOR + 0.5, 0, 1)
    weights = weights_of((2, 5, 3), rng, "sigmoid")
    found = ask(weights, CLAIMS["ellipsoid"], images)
    claim = found.claim
    # The covariance of the images, but for what shrinks it.
    np.testing.assert_allclose(claim.factor @ claim.factor.T, np.cov(images.T, ddof=0), rtol=0.02)
    best = largest_on_grid(weights, claim, 301)
    assert best <= found.proven < proven(weights, claim._replace(radius=1.2), found.tree)
    assert best - 0.05 * abs(best) <= found.found
    length = np.linalg.norm(np.linalg.solve(claim.factor, found.image - claim.centre))
    assert length <= distance(claim, found.image) <= claim.radius
    assert distance(claim, found.image) == pytest.approx(length, rel=1e-9)
    found.save(tmp_path / "c.npz")
    model, params = network_of(weights)
    assert verify(tmp_path / "c.npz", model, params, images).proven == found.proven
    with pytest.raises(JaxbqError, match="other images"):
        verify(tmp_path / "c.npz", model, params, images[:100])


@pytest.mark.parametrize("name", ["error", "ellipsoid"])
def test_one_changed_number_proves_nothing_false(name, tmp_path):
    rng, path = np.random.default_rng(7), tmp_path / "c.npz"
    weights = deep_weights(SIZES, rng, ("sigmoid", "gelu"))
    images = np.clip(rng.normal(size=(200, 2)) @ FACTOR + 0.5, 0, 1)
    if name == "error":
        made = certify(*network_of(weights), 2, objective="error", seconds=1000)
    else:
        made = ask(weights, CLAIMS["ellipsoid"], images)
    refused = 0
    for _ in range(50):
        made.save(path)
        with np.load(path) as file:
            arrays = {key: file[key].copy() for key in file.files if key != "digest"}
        changed = rng.choice([key for key in arrays if arrays[key].size and key != "about"])
        flat = arrays[changed].reshape(-1)
        number = rng.choice([rng.normal(), 0.0, -1.0, 1e30])
        flat[rng.integers(flat.size)] = number if flat.dtype == np.float64 else 7
        np.savez(path, **arrays, digest=_digest(arrays))
        try:
            found = verify(path, *network_of(weights))
        except JaxbqError:
            refused += 1
            continue
        # It may be of another set or target now, of which it is true.
        best = largest_on_grid(weights, found.claim, 101)
        assert best <= found.proven
        assert found.found <= found.proven
        assert contains(found.claim, found.image)
    assert 0 < refused < 50


@pytest.mark.parametrize("size", [0.0, 1e6])
def test_dead_and_saturated_layers_are_bounded(size):
    """Slopes that are no numbers, and intervals of units that are one number."""
    weights = deep_weights(SIZES, np.random.default_rng(9), ("sigmoid", "silu"))
    weights = weights._replace(inner=size * weights.inner)
    ball = {"around": np.array([0.2, 0.3]), "radius": 0.1, "norm": "l2"}
    for options in ({}, ball):
        found = certify(*network_of(weights), 0, seconds=1, **options)
        assert largest_on_grid(weights, found.claim, 101) <= found.proven < 100


def test_a_target_that_is_not_of_its_class_is_refused(tmp_path):
    weights = deep_weights(SIZES, np.random.default_rng(9), ("sigmoid", "silu"))
    made = certify(*network_of(weights), 1, objective="error", seconds=0)
    for target, vector in ((2, made.claim.vector), (1, made.claim.vector + 0.1)):
        claim = made.claim._replace(target=target, vector=vector)
        dataclasses.replace(made, claim=claim).save(tmp_path / "c.npz")
        with pytest.raises(JaxbqError, match="not that of the class"):
            verify(tmp_path / "c.npz", *network_of(weights))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "say of which class"),
        ({"objective": "unit"}, "needs a layer and a unit"),
        ({"objective": "unit", "layer": 1}, "needs a layer and a unit"),
        ({"target": 0, "layer": 0}, "needs a layer and a unit"),
        ({"objective": "unit", "unit": 0, "layer": 3}, "hidden layers are 1 to 2"),
        ({"objective": "unit", "unit": 5, "layer": 2}, "has 0 to 4"),
        ({"target": 0, "unit": 3}, "needs a layer and a unit"),
        ({"objective": "direction"}, "one number for each output"),
        ({"objective": "direction", "vector": np.zeros(2)}, "be 3 finite"),
        ({"objective": "direction", "vector": np.array(["a", "b", "c"])}, "be 3 finite"),
        ({"objective": "error", "target": 0, "vector": np.full(3, 0.5)}, "leave the target out"),
        ({"objective": "error", "vector": np.full(3, 1.5)}, "outside"),
        ({"objective": "error", "target": 3}, "one number for each output"),
        ({"target": 0, "vector": np.zeros(3)}, "for a direction or an error"),
        ({"target": 0, "norm": "mahalanobis", "radius": 1.0}, "give images"),
        ({"target": 0, "norm": "mahalanobis", "images": np.eye(3)}, "takes 2"),
        ({"target": 0, "norm": "mahalanobis", "images": np.eye(2)}, "radius above 0"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(options, said):
    weights = deep_weights(SIZES, np.random.default_rng(8), ("relu", "relu"))
    with pytest.raises(JaxbqError, match=said):
        certify(*network_of(weights), **options)
