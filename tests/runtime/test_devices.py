"""Several devices give what one gives; JAX is told of them before it starts, so in processes."""

import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest

import jaxbq
from jaxbq.cli import main
from jaxbq.cli.arguments import use_hardware
from jaxbq.cli.experiments import changes
from jaxbq.errors import JaxbqError
from jaxbq.experiment import load_config
from jaxbq.methods import Reason
from jaxbq.runtime.devices import (
    chosen_devices,
    computing,
    device_count,
    full_precision,
    gather_rows,
    map_devices,
    map_rows,
    on_devices,
    put_everywhere,
    replicated,
    rounds_products,
    shard_rows,
    to_one_device,
    type_of,
)

HERE = Path(__file__).parents[1]


def compared(which):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(HERE / "several_devices.py"), which],
        env={**os.environ, "PYTHONPATH": str(HERE.parent), "NPROC": "4"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.slow
def test_three_devices_give_the_images_and_networks_of_one():
    found = compared("quick")
    assert found["ascent"] < 1e-6
    assert found["training"] < 1e-6


@pytest.mark.slow
def test_three_devices_give_what_one_gives_whatever_is_done():
    found = compared("all")
    assert found.pop("exchanges within loops") == 0
    assert {name: most for name, most in found.items() if not most < 1e-6} == {}


def test_one_device_has_no_mesh_and_nothing_is_changed():
    rows = jnp.arange(6.0).reshape(3, 2)
    with on_devices():
        assert device_count() == len(jax.local_devices()) == 1
        assert jax.sharding.get_mesh().empty
        for same in (put_everywhere, shard_rows, replicated, gather_rows, to_one_device):
            assert same(rows) is rows
        assert map_devices(lambda device, given, own: (device, given, own), 5, rows) == (0, 5, rows)
        assert map_rows(lambda given, own: own + given, 1, rows)[2, 1] == 6


@pytest.mark.parametrize(
    ("devices", "what"), [(0, "ask for 1"), (2, "ask for 1"), ([], "one or more")]
)
def test_devices_that_are_not_there_are_refused(devices, what):
    model = jaxbq.MLP((4, 2))
    params = model.init(jax.random.key(0), "float32")
    with pytest.raises(JaxbqError, match=what):
        jaxbq.invert(jaxbq.Transpose(), model, params, np.full((1, 2), 0.5), devices=devices)
    twice = jax.devices() * 2
    with pytest.raises(JaxbqError, match="each once"), on_devices(twice):
        pass


def test_a_precision_is_a_type_and_a_permission_to_round():
    assert [type_of(p) for p in ("float32", "float64", "tf32")] == ["float32", "float64", "float32"]
    for precision in ("float32", "float64", "tf32"):
        with computing(precision):
            assert rounds_products() == (precision == "tf32")
            assert jnp.ones(1).dtype == type_of(precision)
    assert not rounds_products()


def test_what_rounded_products_reached_is_checked_in_full():
    """On a CPU nothing is rounded: the answers are made to disagree."""
    ascent = jaxbq.Ascent()
    reasons = np.array([[Reason.REACHED, Reason.REACHED, Reason.DIVERGED]])
    outputs = np.array([[[0.9, 0.1], [0.9, 0.102], [0.0, 0.0]]])
    confirmed = ascent.confirmed(reasons, outputs, np.array([[0.9, 0.1]]))
    assert confirmed.tolist() == [[Reason.REACHED, Reason.STALLED, Reason.DIVERGED]]
    assert jaxbq.Preimage().confirmed(reasons, outputs, outputs[:, 0]) is reasons


@pytest.mark.device
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_have_the_precision_of_their_type(rng, dtype):
    one, two = rng.uniform(size=(2, 64, 300)).astype(dtype)
    with computing(dtype), full_precision():
        found = np.asarray(jnp.asarray(one) @ jnp.asarray(two).T)
    wanted = one.astype(float) @ two.T.astype(float)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, wanted, rtol=300 * np.finfo(dtype).eps)


@pytest.mark.device
@pytest.mark.skipif(jax.default_backend() == "cpu", reason="a CPU never rounds factors")
def test_a_gpu_rounds_in_tf32_and_what_it_answers_is_not_rounded(rng, tiny):
    one, two = rng.uniform(size=(2, 64, 300)).astype("float32")
    wanted = one.astype(float) @ two.T.astype(float)
    with jax.default_matmul_precision("tensorfloat32"):
        rounded = np.asarray(jnp.asarray(one) @ jnp.asarray(two).T)
    assert np.abs(rounded / wanted - 1).max() > 1e-5
    model, params = problems.random_network((30, 3), rng)
    with computing("tf32"):
        result = jaxbq.invert(jaxbq.Ascent(), model, params, np.full((1, 3), 0.6), reference=tiny)
    logits = result.images[0].astype(float) @ np.asarray(params[0].weight, float)
    logits += np.asarray(params[0].bias, float)
    np.testing.assert_allclose(result.logits[0], logits, atol=1e-5)


@pytest.mark.device
def test_an_ascent_in_tf32_rounds_its_own_products_alone(tiny):
    model = jaxbq.MLP((30, 3))
    params = model.init(jax.random.key(0), "float32")
    seen = []

    def network(params, x):
        seen.append(jax.config.jax_default_matmul_precision)
        return model.logits(params, x)

    method, function = jaxbq.Ascent(steps=2), jaxbq.Function(network, output="sigmoid")
    target = np.array([[0.9, 0.1, 0.1]])
    for precision in ("tf32", "float32"):
        seen.clear()
        with computing(precision):
            jaxbq.invert(method, function, params, target, reference=tiny)
        assert ("tensorfloat32" in seen) == (precision == "tf32")
        assert seen[-1] != "tensorfloat32"  # the answers to the images


def test_a_cpu_is_one_device_unless_a_test_makes_room_for_more(monkeypatch):
    parts = jax.devices() * 3
    monkeypatch.setattr(jax, "local_devices", lambda: parts)
    monkeypatch.delenv("NPROC", raising=False)
    assert chosen_devices() == jax.devices()
    with pytest.raises(JaxbqError, match="3 devices of one CPU are no faster than one"):
        chosen_devices(3)
    monkeypatch.setenv("NPROC", "3")
    with pytest.raises(JaxbqError, match="NPROC=4"):
        chosen_devices(3)
    monkeypatch.setenv("NPROC", "4")
    assert chosen_devices() == jax.devices()
    assert len(chosen_devices(3)) == 3


def chosen(**given):
    return Namespace(**{"devices": None, "platform": None, **given})


@pytest.mark.parametrize("devices", [0, -1, 5000])
def test_a_number_of_devices_that_cannot_be_is_refused(devices):
    with pytest.raises(JaxbqError, match="from 1 to 1024"):
        use_hardware(chosen(devices=devices))


def test_what_jax_does_not_find_is_refused():
    """JAX has started by now, with one CPU."""
    jax.devices()
    with pytest.raises(JaxbqError, match=r"JAX finds 1 of platform cpu; use at most that many"):
        use_hardware(chosen(devices=3))
    with pytest.raises(JaxbqError, match=r"finds no GPU; install .*jaxbq\[cuda\]"):
        use_hardware(chosen(platform="gpu"))
    use_hardware(chosen(devices=1, platform="cpu"))
    use_hardware(chosen())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--devices", "two"],
        ["--platform", "abacus"],
        ["--precision", "float16"],
    ],
)
def test_mistakes_on_the_command_line_are_one_line(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["run", "any.toml", *arguments])
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_precision_on_the_command_line_takes_the_place_of_the_configs(tmp_path):
    config = tmp_path / "any.toml"
    config.write_text('precision = "float64"\nseed = 5\n')
    read = []
    for precision in (None, "tf32"):
        given = changes(Namespace(set=["seed=6"], precision=precision))
        read.append(load_config(config, given, need_methods=False))
    assert [(each.seed, each.precision, each.dtype) for each in read] == [
        (6, "float64", "float64"),
        (6, "tf32", "float32"),
    ]
    assert read[0].digest != read[1].digest


def test_importing_changes_no_environment(monkeypatch):
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "2")
    code = "import os; before = dict(os.environ); import jaxbq; print(dict(os.environ) == before)"
    asked = [sys.executable, "-c", code]
    said = subprocess.run(asked, cwd=HERE.parent, capture_output=True, text=True, check=True)
    assert said.stdout == "True\n"
