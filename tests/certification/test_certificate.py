"""Files: what one says is what is proven, whoever changed it."""

import dataclasses
import json

import numpy as np
import pytest
from small_networks import largest_on_grid, network_of, values, weights_of

from jaxbq import Certificate, JaxbqError, certify, verify
from jaxbq.certification.certificate import _digest
from jaxbq.certification.certify import Claim

WEIGHTS = weights_of((2, 5, 3), np.random.default_rng(20), "sigmoid")


@pytest.fixture(autouse=True)
def _in_float64(x64):
    """Weights of tests stay what they are."""


@pytest.fixture(scope="module")
def made() -> Certificate:
    import jax

    with jax.enable_x64(True):
        return certify(*network_of(WEIGHTS), 2, objective="margin", gap=1e-3, nodes=60)


def test_a_file_proves_what_was_said(made, tmp_path):
    assert made.leaves > 3
    made.save(tmp_path / "c.npz")
    again = verify(tmp_path / "c.npz", *network_of(WEIGHTS))
    assert (again.found, again.proven, again.sentence) == (made.found, made.proven, made.sentence)
    assert (again.image == made.image).all()
    assert again.claim.objective == "margin"


def rewrite(path, name: str, index: int, number: float, *, sign: bool) -> None:
    """Change one number of a file; with ``sign``, as somebody does who knows of the digest."""
    with np.load(path) as file:
        arrays = {key: file[key].copy() for key in file.files}
    arrays[name].reshape(-1)[index] = number
    if sign:
        arrays.pop("digest")
        arrays["digest"] = _digest(arrays)
    np.savez(path, **arrays)


@pytest.mark.parametrize("sign", [False, True])
def test_one_changed_number_proves_nothing_false(made, tmp_path, sign):
    path, rng = tmp_path / "c.npz", np.random.default_rng(21)
    truth = largest_on_grid(WEIGHTS, made.claim, 401)
    refused = 0
    for _ in range(60):
        made.save(path)
        with np.load(path) as file:
            names = (
                "unit",
                "at",
                "multipliers",
                "ball",
                "rivals",
                "curve",
                "bend",
                "spread",
                "point",
            )
            sizes = {n: file[n].size for n in names if file[n].size}
            sizes["image"] = file["image"].size
            name = str(rng.choice(list(sizes)))
            index = int(rng.integers(sizes[name]))
            before = float(file[name].reshape(-1)[index])
        number = rng.choice([before + rng.normal(), -before - 0.1, 0.0, 1e30, np.nan, before - 1])
        if name in ("unit", "curve"):
            number = int(np.nan_to_num(number, nan=2)) if abs(number) < 100 else 99
        if number == before:
            continue
        rewrite(path, name, index, number, sign=sign)
        try:
            found = verify(path, *network_of(WEIGHTS))
        except JaxbqError:
            refused += 1
            continue
        assert sign
        assert found.proven >= truth
        assert found.found <= values(WEIGHTS, found.claim, found.image[None])[0] + 1e-12
    assert refused > 5


def resigned(path, about: dict) -> None:
    """Change what a file says it is about."""
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files if key != "digest"}
    facts = json.loads(arrays["about"].tobytes()) | about
    arrays["about"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    np.savez(path, **arrays, digest=_digest(arrays))


@pytest.mark.parametrize(
    "about",
    [
        {"format": 3},
        {"objective": "sum"},
        {"target": -1},
        {"target": 3},
        {"target": True},
        {"low": 2.0},
        {"high": float("nan")},
        {"norm": "l1"},
        {"norm": "l2"},
        {"network": "0" * 64},
        {"objective": "difference"},
        {"radius": "wide"},
        {"more": 1},
    ],
)
def test_claims_that_do_not_fit_are_refused(made, tmp_path, about):
    path = tmp_path / "c.npz"
    made.save(path)
    resigned(path, about)
    with pytest.raises(JaxbqError, match=r"c\.npz"):
        verify(path, *network_of(WEIGHTS))


def test_a_ball_whose_square_is_nothing_is_refused(made, tmp_path):
    """Roundings would put every image near the centre into it."""
    ball = made.claim._replace(norm="l2", radius=1e-200, centre=np.zeros(2))
    outside = dataclasses.replace(made, claim=ball, image=np.array([1e-170, 0.0]))
    outside.save(tmp_path / "c.npz")
    with pytest.raises(JaxbqError, match="is no certificate"):
        verify(tmp_path / "c.npz", *network_of(WEIGHTS))


def test_another_network_and_other_files_are_refused(made, tmp_path):
    path = tmp_path / "c.npz"
    made.save(path)
    changed = WEIGHTS._replace(bias=WEIGHTS.bias + np.eye(5)[2] * 1e-15)
    with pytest.raises(JaxbqError, match="other weights"):
        verify(path, *network_of(changed))
    np.savez(path, a=np.zeros(3))
    with pytest.raises(JaxbqError, match="no certificate"):
        verify(path, *network_of(WEIGHTS))
    with pytest.raises(JaxbqError, match="no such file"):
        verify(tmp_path / "none.npz", *network_of(WEIGHTS))


def test_sentences_round_to_the_safe_side(made):
    def said(found: float, proven: float, **claim) -> str:
        changed = {"objective": "logit", **claim}
        return dataclasses.replace(
            made, claim=made.claim._replace(**changed), found=found, proven=proven
        ).sentence

    assert said(13.279, 15.841) == (
        "Found 13.27. Nothing in the pixel range exceeds 15.85, so this picture reaches at least "
        "83 % of what is possible."
    )
    near = said(-1.0, 2.0, norm="linf", radius=0.03, centre=np.zeros(2))
    assert near == (
        "Found -1.00. Nothing within 0.03 (L∞) of the image exceeds 2.00; "
        "between the two nothing is proven."
    )
    near = said(-0.5, -0.004, objective="error")
    assert near.endswith("comes within 0.0040 of them: this target cannot be reached.")
    none = said(-2.0, -1.001, objective="margin")
    assert none.endswith("exceeds -1.00, so no image there is read as the target.")
    assert "Found 5.0000000. Nothing in the pixel range exceeds 5.0000077" in said(5.0, 5.00000763)


def test_claim_names_are_those_of_the_file():
    """A file names its claim by these; another name is another version."""
    assert Claim._fields == (
        *("objective", "target", "other", "low", "high", "norm", "radius", "centre"),
        *("layer", "vector", "factor"),
    )
