"""Compare three devices with one, in a process of its own: JAX finds its devices only once.

Prints a JSON object: by name, the largest difference of any number, in float64.
"""

import json
import re
import sys

import jax
from jaxtyping import install_import_hook

if sys.argv[1] != "quick":  # which has to be
    install_import_hook(
        "jaxbq", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
    )
jax.config.update("jax_num_cpu_devices", 3)
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

import numpy as np  # noqa: E402
import problems  # noqa: E402

import jaxbq  # noqa: E402
from jaxbq.methods import driver  # noqa: E402
from jaxbq.methods.ascent import Diversity, Jitter  # noqa: E402
from jaxbq.runtime.devices import device_count, on_devices, put_everywhere  # noqa: E402
from jaxbq.training import loop, rules  # noqa: E402

DATA = problems.striped_dataset()
MODEL, PARAMS = problems.random_network((30, 12, 3), np.random.default_rng(5))
# What some images are answered with, so that preimages are reached. Others end where steps are as
# small as rounding, which then decides when.
REACHABLE = np.asarray(MODEL.apply(PARAMS, DATA.test_images[:4]), np.float64)
TARGETS = np.array([[0.9, 0.1, 0.2], [0.1, 0.8, 0.1], [0.2, 0.3, 0.7], [0.6, 0.5, 0.1]])
COLLECTIVES = r"\b(all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)(-start)?\("
# Not those that JAX takes by itself.
OTHERS = jax.devices()[1:]


def difference(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(float(np.abs(np.asarray(a, float) - np.asarray(b, float)).max()) for a, b in pairs)


def plain(result):
    fields = ("images", "outputs", "logits", "reasons", "iterations", "diagnostics")
    return [getattr(result, name) for name in fields]


def inverted(methods, targets=TARGETS, **options):
    found = jaxbq.sweep(methods, MODEL, PARAMS, targets, reference=DATA, **options)
    return [plain(result) for result in found]


def same_images(*methods, others=(3,), **options):
    one = inverted(methods, devices=1, **options)
    return max(difference(one, inverted(methods, devices=devices, **options)) for devices in others)


def same_boxes():
    """Of products that each take several threads, of which JAX has few: one device waits on."""
    model, params = problems.random_network((784, 200, 10), np.random.default_rng(6))
    targets = np.full((10, 10), 0.1) + 0.8 * np.eye(10)
    one, other = (
        jaxbq.invert(jaxbq.PseudoInverse(), model, params, targets, devices=n) for n in (1, 2)
    )
    return difference(plain(one), plain(other))


def networks(training, **options):
    def trained(devices):
        keys = [jax.random.key(n) for n in range(4)]
        found = jaxbq.train_many(
            jaxbq.MLP((30, 8, 3), bias=training.rule == "gradient"),
            DATA,
            training,
            keys=keys[: options.get("number", 1)],
            dtype="float64",
            together=options.get("together", False),
            devices=devices,
        )
        assert all(
            len(leaf.devices()) == 1 for one in found for leaf in jax.tree.leaves(one.params)
        )
        return [(one.params, [(e.loss, e.test_accuracy) for e in one.history]) for one in found]

    return difference(trained(1), trained(3))


def within_loops(traced):
    """Count what the devices exchange in the loops of a compiled program."""
    lines = traced.lower().compile().as_text().splitlines()
    assert any(" while(" in line for line in lines)
    exchanged = [line for line in lines if re.search(COLLECTIVES, line)]
    assert exchanged  # at the end, when all is gathered
    return sum("/while/body" in line for line in exchanged)


def exchanges():
    """Count what an ascent exchanges in its loops, where training, as a control, does."""
    key, rule = jax.random.key(0), jaxbq.Training(**NOISY)
    state, order = rule.start(MODEL, PARAMS, 120), rule.order(key, 120)
    arrays = loop.arrays_of(MODEL, DATA, DATA.train_labels, rule, "float64", alone=True)
    scene = LANES.prepare(MODEL, PARAMS, DATA.reference, key)
    with on_devices(3):
        assert device_count() == 3
        params, scene, arrays, state = put_everywhere((PARAMS, scene, arrays, state))
        epoch = (rule, MODEL, params, state, arrays, None, order, key)
        assert within_loops(rules._gradient_epoch.trace(*epoch)) > 0
        return within_loops(
            driver._INVERT.thorough.trace(LANES, MODEL, params, scene, TARGETS, key)
        )


def ignore(done, total):
    pass


ASCENT = jaxbq.Ascent(steps=12, restarts=4, start="random")
LANES = jaxbq.Ascent(steps=12, restarts=4, start="random", lanes=2, path=(0, 5, 12))
PARTED = {"regularisers": (Diversity(weight=0.5),), "transforms": (Jitter(most=0.3),)}
NOISY = {"batch_size": 32, "epochs": 2, "noise": 0.2}  # 120 images: 24 are left over

SMALL = jaxbq.Autoencoder(code=4, hidden=(8,), epochs=1)

QUICK = {
    "ascent": lambda: same_images(jaxbq.Ascent(steps=9, restarts=4, start="random", lanes=2)),
    "training": lambda: networks(jaxbq.Training(batch_size=32, epochs=1, noise=0.2)),
}
ALL = {
    "exchanges within loops": exchanges,
    "ascent with a path": lambda: same_images(LANES),
    # No compiled program may serve other devices than its own.
    "ascent, all, others and one": lambda: same_images(
        ASCENT, others=(None, OTHERS, OTHERS[:1], OTHERS[::-1], 1)
    ),
    "ascent, watched": lambda: same_images(LANES, progress=ignore),
    "ascent, every row at once, watched": lambda: same_images(ASCENT, progress=ignore),
    "ascent, parted and transformed": lambda: same_images(
        jaxbq.Ascent(steps=6, restarts=3, lanes=3, samples=2, **PARTED)
    ),
    "ascent, L-BFGS": lambda: same_images(
        jaxbq.Ascent(steps=10, restarts=2, lanes=2, optimiser=jaxbq.LBFGS())
    ),
    "sweep": lambda: same_images(*jaxbq.vary(LANES, {"noise": [0.1, 0.2, 0.3]})),
    "sweep, watched": lambda: same_images(
        *jaxbq.vary(LANES, {"noise": [0.1, 0.2]}), progress=ignore
    ),
    "one row": lambda: same_images(jaxbq.Ascent(steps=5)),
    "preimage": lambda: same_images(jaxbq.Preimage(start="random", samples=5), targets=REACHABLE),
    "preimage, warm": lambda: same_images(
        jaxbq.Preimage(start="random", samples=5, warm_start=True), targets=REACHABLE
    ),
    "box, large": same_boxes,
    "box": lambda: same_images(jaxbq.PseudoInverse()),
    "projected": lambda: same_images(
        jaxbq.Projected(method=jaxbq.PseudoInverse(), autoencoder=SMALL)
    ),
    "closed forms": lambda: same_images(
        jaxbq.Transpose(), jaxbq.Exemplars(k=2), jaxbq.Projected(autoencoder=SMALL)
    ),
    "training, adversary": lambda: networks(
        jaxbq.Training(**NOISY, jacobian=0.1, adversary=jaxbq.Adversary(epsilon=0.5, steps=2))
    ),
    "training, together": lambda: networks(jaxbq.Training(**NOISY), number=4, together=True),
    "training, the book's": lambda: networks(jaxbq.BookTraining(epochs=1)),
    "training, the book's, together": lambda: networks(
        jaxbq.BookTraining(epochs=1), number=4, together=True
    ),
}

if __name__ == "__main__":
    chosen = QUICK if sys.argv[1] == "quick" else ALL
    print(json.dumps({name: check() for name, check in chosen.items()}))
