import jax.numpy as jnp
import numpy as np
import problems
import pytest
from jaxtyping import TypeCheckError

from jaxbq.data import ImageSpace
from jaxbq.diagnosis import Measurements, Way, alignment, alignments, findings
from jaxbq.errors import JaxbqError
from jaxbq.evaluation import score
from jaxbq.methods import Ascent, PseudoInverse, Transpose, invert
from jaxbq.network.activations import activation
from jaxbq.network.mlp import MLP, Layer
from jaxbq.network.targets import Codes


def orthogonal(rng, size):
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


def verdicts(model, params, targets, **options):
    return {f.topic: f for f in findings(Measurements(model, params, targets, **options))}


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_the_verdict_changes_with_the_network(rng, standard):
    codes = Codes().matrix(5)
    model = MLP((5, 5, 5), "sigmoid", "sigmoid")
    turned = tuple(Layer(jnp.asarray(2 * orthogonal(rng, 5)), jnp.zeros(5)) for _ in range(2))
    rotation = verdicts(model, turned, codes)
    assert rotation["transpose"].verdict == "transpose is the inverse up to scale"
    assert rotation["layer 1"].verdict == "well-conditioned"
    # Square, well-conditioned, asked for what an image in range gives: the inverse answers.
    scales = np.diag(np.linspace(1.0, 6.0, 5))
    square = tuple(
        Layer(jnp.asarray(orthogonal(rng, 5) @ scales @ orthogonal(rng, 5)), jnp.zeros(5))
        for _ in range(2)
    )
    inside = rng.uniform(0.3, 0.7, (4, 5))
    answers = np.asarray(model.apply(square, jnp.asarray(inside)))
    known = verdicts(model, square, answers)
    assert known["transpose"].verdict == "transpose is no inverse"
    assert known["pseudo-inverse"].verdict == "inverse in range"
    assert known["clipping"].verdict == "clipping costs nothing"
    assert known["trust"].verdict == "pseudo-inverse"
    trained = verdicts(*standard, Codes().matrix(10))
    assert trained["transpose"].verdict == "transpose is no inverse"
    assert trained["template"].verdict == "a matched filter"
    assert trained["pseudo-inverse"].verdict == "inverse out of range"
    assert trained["clipping"].verdict == "clipping loses the answer"
    assert trained["preimage"].verdict == "reachable"
    assert trained["trust"].verdict == "preimage"
    for finding in (*rotation.values(), *known.values(), *trained.values()):
        assert finding.sentence.endswith(".")
        assert any(letter.isdigit() for letter in finding.sentence)


@pytest.mark.slow
def test_numbers_of_the_verdict_are_measured(standard):
    found = verdicts(*standard, Codes().matrix(10))
    result = invert(Transpose(), *standard, Codes().matrix(10))
    right = (result.outputs[:, 0].argmax(axis=1) == np.arange(10)).sum()
    assert f"its images: {right} of 10 read as intended" in found["transpose"].sentence
    aligned = alignment(result, *standard)
    assert f"{aligned['matched filter'].mean():.2f}" in found["template"].sentence


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_an_inverse_that_had_to_be_clipped_inside_is_not_to_be_trusted():
    """Square, well-conditioned, pixels in range; yet hidden values of 4 are asked of a sigmoid."""
    model = MLP((3, 3, 3), "sigmoid", "identity")
    params = (
        Layer(20 * jnp.eye(3), jnp.full(3, -10.0)),
        Layer(0.5 * jnp.eye(3), jnp.zeros(3)),
    )
    found = verdicts(model, params, np.full((1, 3), 2.0))
    assert found["pseudo-inverse"].verdict == "inverse out of range"
    assert found["preimage"].verdict == "out of reach"
    assert found["trust"].verdict != "pseudo-inverse"


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_orthonormal_rows_make_the_transpose_the_inverse_too(rng):
    """Over-determined: WᵀW is no multiple of the identity, and yet Wᵀ = W⁺."""
    model = MLP((4, 10), "sigmoid", "identity")
    params = (Layer(jnp.asarray(orthogonal(rng, 10)[:4]), jnp.zeros(10)),)
    found = verdicts(model, params, rng.normal(size=(2, 10)))
    assert found["transpose"].verdict == "transpose is the inverse up to scale"
    zero = (Layer(jnp.zeros((4, 10)), jnp.zeros(10)),)
    assert verdicts(model, zero, rng.normal(size=(1, 10)))["transpose"].verdict.endswith(
        "no inverse"
    )


@pytest.mark.slow
def test_singular_layers_and_relu_are_explained_too(rng):
    model, params = problems.random_network((9, 4, 3), rng)
    flat = (Layer(jnp.ones((9, 4), jnp.float32), params[0].bias), params[1])
    found = verdicts(model, flat, Codes().matrix(3))
    assert found["layer 1"].verdict == "singular"
    assert "rank 1 of 4" in found["layer 1"].sentence
    model, params = problems.random_network((9, 4, 3), rng, "relu")
    found = verdicts(model, params, Codes().matrix(3))
    assert found["transpose"].verdict == "no analytic way back"
    assert activation("relu").inverse is None


def test_the_registers_speak_of_what_invert_gives_at_the_same_settings(rng):
    model, params = problems.random_network((12, 5, 3), rng)
    targets, space = Codes().matrix(3), ImageSpace((4, 3))
    measured = Measurements(model, params, targets, space=space)
    clipped = PseudoInverse(pixel_policy="clip")
    result = invert(clipped, model, params, targets, reference=space)
    said = Way(result, score(result, model.output)).summary
    largest = np.abs(result.outputs[:, 0] - targets).max(axis=1).mean()
    assert f"largest error {largest:.3g}" in said
    (sentence,) = (f.sentence for f in findings(measured) if f.topic == "clipping")
    assert f"pixels clipped, {said};" in sentence
    assert "pseudo_inverse(pixel_policy=none)" in alignments(measured)


def test_what_cannot_be_measured_is_refused(rng, standard):
    with pytest.raises(JaxbqError, match="outside"):
        Measurements(*standard, np.full((1, 10), 1.5))
    with pytest.raises((JaxbqError, TypeCheckError), match="MLP"):
        Measurements(lambda p, x: x, standard[1], Codes().matrix(10))
    # A method that cannot be used says why, and is no error.
    model, params = problems.random_network((12, 5, 3), rng, "relu")
    measured = Measurements(model, params, Codes().matrix(3))
    assert measured.way(Transpose()) is None
    assert "relu has no inverse" in measured.obstacle(Transpose())
    assert measured.obstacle(Ascent()) is None
