import dataclasses
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import pytest
from annotated_types import Gt

from jaxbq.errors import JaxbqError
from jaxbq.methods import AnyMethod, Ascent, Transpose
from jaxbq.options import check, describe, options, validate
from jaxbq.training import Training, TrainingRule


@options
class Inner:
    size: Annotated[float, Gt(0)] = 1.0


@options
class Outer:
    kind: Literal["outer"] = "outer"
    rate: float = 0.5
    ends: tuple[float, float] | None = None
    count: int = 3
    inner: Inner = Inner()


def test_floats_are_leaves_and_the_rest_is_structure():
    leaves, structure = jax.tree.flatten(Outer(ends=(1.0, 2.0)))
    assert leaves == [0.5, 1.0, 2.0, 1.0]
    assert jax.tree.unflatten(structure, leaves) == Outer(ends=(1.0, 2.0))
    assert structure != jax.tree.structure(Outer(count=4, ends=(1.0, 2.0)))


def test_other_numbers_compile_nothing_other_counts_do():
    traced = []

    @jax.jit
    def program(outer, x):
        traced.append(outer.count)
        return outer.rate * x + outer.inner.size

    assert float(program(Outer(), 2.0)) == 2.0
    assert float(program(Outer(rate=1.5, inner=Inner(size=4.0)), 2.0)) == 7.0
    assert len(traced) == 1
    program(Outer(count=9), 2.0)
    assert traced == [3, 9]


def test_options_can_be_swept_by_vmap():
    rates = jnp.arange(3.0)
    swept = jax.vmap(lambda r: dataclasses.replace(Outer(), rate=r).rate * 2)(rates)
    assert swept.tolist() == [0, 2, 4]


def test_equal_options_are_equal_keys():
    assert {Outer(): 1}[Outer()] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        Outer().rate = 2.0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"kind": "ascend"}, "unknown kind 'ascend'; did you mean 'ascent'?"),
        ({"kind": "ascent", "stepz": 3}, "stepz: unknown key; did you mean 'steps'?"),
        ({"kind": "ascent", "steps": "3"}, "steps: input should be a valid integer, not '3'"),
        ({"kind": "ascent", "steps": 3.5}, "steps"),
        ({"kind": "ascent", "steps": True}, "steps"),
        ({"kind": "ascent", "steps": 0}, "steps: input should be greater than 0, not 0"),
        ({"kind": "ascent", "noise": 1.5}, "noise"),
        ({"kind": "ascent", "noise": float("nan")}, "noise"),
        ({"kind": "ascent", "start": "gray"}, "start: 'gray' is none of 'grey', 'black'"),
        ({"kind": "ascent", "objective": "logits"}, "objective: unknown kind 'logits'; did you"),
        ({"kind": "ascent", "objective": {"kind": "target", "los": 1}}, "objective.los: unknown"),
        ({"kind": "ascent", "optimiser": {"learning_rate": -1}}, "optimiser.learning_rate"),
        ({"kind": "transpose", "hidden_range": [0.1]}, "hidden_range"),
        ({}, "no 'kind' given"),
    ],
)
def test_mistakes_are_named_in_one_line(data, message):
    with pytest.raises(JaxbqError) as caught:
        validate(AnyMethod, data, "x.toml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("x.toml: ")
    assert "\n" not in str(caught.value)


def test_shorthands_stand_for_tables():
    assert validate(AnyMethod, "transpose") == Transpose()
    short = {"kind": "ascent", "objective": "logit", "optimiser": "sgd"}
    long = {"kind": "ascent", "objective": {"kind": "logit"}, "optimiser": {"name": "sgd"}}
    assert validate(AnyMethod, short) == validate(AnyMethod, long)
    table = {"kind": "ascent", "optimiser": {"name": "sgd", "options": {"momentum": 0.9}}}
    assert validate(AnyMethod, table).optimiser.options == (("momentum", 0.9),)


def test_a_partial_table_keeps_the_other_defaults_of_its_section():
    given = validate(AnyMethod, {"kind": "ascent", "optimiser": {"learning_rate": 0.05}})
    assert given.optimiser.learning_rate == 0.05
    assert given.optimiser.options == Ascent().optimiser.options
    given = validate(TrainingRule, {"optimiser": {"schedule": "cosine"}})
    assert given.optimiser.learning_rate == Training().optimiser.learning_rate
    # Another optimiser starts anew.
    assert validate(AnyMethod, {"kind": "ascent", "optimiser": "sgd"}).optimiser.options == ()
    for name in ("lbfgs", "gauss_newton"):
        assert validate(AnyMethod, {"kind": "ascent", "optimiser": name}).optimiser.name == name


def test_what_is_written_out_reads_back_the_same():
    for method in (Transpose(pixel_range=(0.1, 0.9)), Ascent(restarts=3)):
        assert validate(AnyMethod, dataclasses.asdict(method)) == method


def test_objects_made_in_python_are_checked_too():
    assert check(Ascent()) == Ascent()
    with pytest.raises(JaxbqError, match=r"Ascent: steps: .*greater than 0"):
        check(Ascent(steps=-1))
    with pytest.raises(JaxbqError, match=r"Ascent: stop.tolerance"):
        check(dataclasses.replace(Ascent(), stop=dataclasses.replace(Ascent().stop, tolerance=-1)))


def test_describe_names_what_differs():
    assert describe(Ascent()) == "ascent"
    assert describe(Ascent(steps=7, restarts=2)) == "ascent(steps=7, restarts=2)"
    assert describe(Transpose(pixel_range=(0.0, 1.0))) == "transpose(pixel_range=(0.0, 1.0))"
