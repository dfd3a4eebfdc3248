"""Time until all classes × starts are answered with their target vector, pixels in range."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from scipy.special import logit

from jaxbq import Ascent, Preimage, StopRule, invert
from jaxbq.methods import Method

from ..peers import ascents, offer
from ..record import Case, Row
from ..session import Session
from ..timing import Contender

# Where it says "dropping", images that have reached their target leave the batch.
_ADAMS: dict[str, dict[str, Any]] = {
    "PyTorch, eager": {"compiled": False},
    "PyTorch, eager, dropping": {"compiled": False, "drop": True},
    "PyTorch, torch.compile": {"compiled": True},
}


def target(session: Session) -> Iterator[Case]:
    """Time jaxbq's preimages and ascents against projected Adam with its best options."""
    chosen = session.options.target
    targets = session.targets(session.data.classes)
    wanted = np.repeat(targets, chosen.starts, axis=0)
    starts = np.tile(starts_of(session), (len(targets), 1))
    best = functools.cache(partial(_best, session, wanted, starts))
    made: dict[str, Any] = {}
    for tolerance in chosen.tolerances:
        judge = partial(session.judge, tolerance=tolerance)
        ours = [
            Contender(name, partial(_invert, session, way, targets), False, quality=judge(targets))
            for name, way in ways(session, tolerance, targets).items()
        ]

        def contender(name: str, tolerance: float = tolerance, judge: Any = judge) -> Contender:
            # Compiled once, for all tolerances.
            options = _ADAMS[name]
            tuning = best()["drop" in options]
            given = {"tuning": tuning, "every": chosen.every, **options}
            make = partial(ascents.ProjectedAdam, session.layers, wanted, starts, **given)
            made[name] = made.get(name) or make()
            adam, note = made[name], f"best of {len(_tunings(session))}: {tuning}"
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
    """Make jaxbq's ways to it: preimages with and without a warm start, the ascent on pixels."""
    chosen = session.options.target
    preimage = Preimage(start="random", samples=chosen.starts, tolerance=slack(targets, tolerance))
    stop = StopRule(tolerance=tolerance)
    return {
        "jaxbq, preimage, warm": dataclasses.replace(preimage, warm_start=True),
        "jaxbq, preimage": preimage,
        "jaxbq, ascent": Ascent(
            start="random", restarts=chosen.starts, steps=chosen.steps, stop=stop
        ),
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


def _tunings(session: Session) -> tuple[ascents.Tuning, ...]:
    return ascents.tunings_of(session.options.target.rates, session.options.target.betas)


def _best(
    session: Session, wanted: np.ndarray, starts: np.ndarray
) -> tuple[ascents.Tuning, ascents.Tuning]:
    """Search Adam's best options for the hardest tolerance: all images together, and dropping."""
    chosen, every = session.options.target, {"every": session.options.target.every}

    def run(tuning: ascents.Tuning, most: int) -> ascents.Approach:
        given: dict[str, Any] = {"tuning": tuning, "compiled": False, "drop": True, **every}
        adam = ascents.ProjectedAdam(session.layers, wanted, starts, **given)
        return adam.run(most, min(chosen.tolerances))

    tunings = _tunings(session)
    session.say(f"searching: the best of {len(tunings)} costs, betas and rates of PyTorch's Adam")
    return ascents.best_tunings(run, tunings, chosen.steps)


def _checked(row: Row, number: int) -> Row:
    """Say of a row if some of its images did not reach their target."""
    if not row.seconds or row.quality["reached"] == number:
        return row
    return row.model_copy(update={"note": "; ".join(filter(None, (row.note, "NOT all reached")))})
