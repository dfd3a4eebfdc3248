"""Time until all classes × starts are answered with their target vector, pixels in range."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from scipy.special import logit

from jaxbq import Ascent, GaussNewton, Preimage, StopRule, invert
from jaxbq.methods import Method

from ..peers import ascents, offer
from ..record import Case, Row
from ..session import Session
from ..timing import Contender

# Where it says "dropping", images that have reached their target leave the batch.
_ADAMS: dict[str, dict[str, Any]] = {
    "PyTorch, eager": {"compiled": False},
    (_SEARCHED := "PyTorch, eager, dropping"): {"compiled": False, "drop": True},
    "PyTorch, torch.compile": {"compiled": True},
}


def target(session: Session) -> Iterator[Case]:
    """Time jaxbq's preimages and ascents against projected Adam with its best options."""
    chosen = session.options.target
    targets = session.targets(session.data.classes)
    wanted = np.repeat(targets, chosen.starts, axis=0)
    starts = np.tile(starts_of(session), (len(targets), 1))

    @functools.cache  # compiled once, for all tolerances
    def make(name: str, tuning: ascents.Tuning) -> Any:
        given: dict[str, Any] = {"tuning": tuning, "every": chosen.every, **_ADAMS[name]}
        return ascents.ProjectedAdam(session.layers, wanted, starts, **given)

    best = functools.cache(partial(_best, session, partial(make.__wrapped__, _SEARCHED)))
    for tolerance in chosen.tolerances:
        judge = partial(session.judge, tolerance=tolerance)
        ours = [
            Contender(name, partial(_invert, session, way, targets), False, quality=judge(targets))
            for name, way in ways(session, tolerance, targets).items()
        ]

        def contender(name: str, tolerance: float = tolerance, judge: Any = judge) -> Contender:
            adam = make(name, tuning := best()["drop" in _ADAMS[name]])
            note = "best: {}, rate {:g}, betas {}".format(*tuning)
            call: Callable[[], Any] = lambda: adam.run(chosen.steps, tolerance).images  # noqa: E731
            return Contender(name, call, quality=judge(wanted), note=note)

        theirs = [offer(name, partial(contender, name)) for name in _ADAMS]
        case = session.measure(
            "target",
            f"until {len(wanted)} images are within {tolerance:g} of their target",
            [*ours, *theirs],
            unit="images",
            work=len(wanted),
            x=tolerance,
        )
        rows = tuple(_checked(row, len(wanted)) for row in case.rows)
        yield case.model_copy(update={"rows": rows})


def starts_of(session: Session) -> np.ndarray:
    """Look up the random images that jaxbq starts from, shape (starts, pixels)."""
    number = session.options.target.starts
    stay = Ascent(start="random", restarts=number, steps=1, path=(0,))
    found = _invert(session, stay, session.targets(1)).diagnostics
    starts = np.empty_like(found["path"][0, :, 0])
    starts[found["restart"][0]] = found["path"][0, :, 0]  # they come in order of success
    return starts


def ways(session: Session, tolerance: float, targets: np.ndarray) -> dict[str, Method]:
    """Make jaxbq's ways to it: preimages with and without a warm start, ascents on pixels."""
    chosen = session.options.target
    preimage = Preimage(start="random", samples=chosen.starts, tolerance=slack(targets, tolerance))
    given: dict[str, Any] = {"stop": StopRule(tolerance=tolerance), "restarts": chosen.starts}
    ascent = Ascent(start="random", steps=chosen.steps, **given)
    return {
        "jaxbq, preimage, warm": dataclasses.replace(preimage, warm_start=True),
        "jaxbq, preimage": preimage,
        "jaxbq, ascent": ascent,
        "jaxbq, ascent, Gauss-Newton": dataclasses.replace(ascent, optimiser=GaussNewton()),
    }


def slack(targets: np.ndarray, tolerance: float) -> float:
    """Find how far a logit may be from its target's, for no output to be further than asked."""
    tiny = 1e-9
    sides = [np.clip(targets + side * tolerance, tiny, 1 - tiny) for side in (-1, 1)]
    least = min(float(np.abs(logit(side) - logit(targets)).min()) for side in sides)
    # Room for rounding: the network is asked again.
    return 0.98 * least


def _invert(session: Session, way: Method, targets: np.ndarray) -> Any:
    return invert(way, session.model, session.params, targets, reference=session.data)


def _best(session: Session, make: Callable[[ascents.Tuning], Any]) -> list[ascents.Tuning]:
    """Search Adam's best options for the hardest tolerance: all images together, and dropping."""
    chosen = session.options.target
    tunings = list(itertools.product(("logits", "bce"), chosen.rates, chosen.betas))
    session.say(f"searching: the best of {len(tunings)} costs, betas and rates of PyTorch's Adam")
    run = lambda tuning, most: make(tuning).run(most, min(chosen.tolerances))  # noqa: E731
    return ascents.best_tunings(run, tunings, chosen.steps)


def _checked(row: Row, number: int) -> Row:
    """Say of a row if some of its images did not reach their target."""
    if not row.seconds or row.quality["reached"] == number:
        return row
    return row.model_copy(update={"note": "; ".join(filter(None, (row.note, "NOT all reached")))})
