"""Time until all classes × starts are answered with their target vector, pixels in range."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import logit

from ...methods import Ascent, Method, Preimage, invert
from ...methods.ascent import StopRule, start_of
from ..peers import offer
from ..session import Session
from ..timing import Contender, finished
from .ascent import answered, errors_of

# Goals of the curves of error against time, as multiples of the tolerance, and the goal itself.
_GOALS = (300.0, 100.0, 30.0, 10.0, 3.0, 1.0)


def target(session: Session) -> Iterator[dict[str, Any]]:
    """Time jaxbq's preimages and ascents against projected Adam at its best."""
    chosen = session.options.target
    targets = session.targets(session.data.classes)
    wanted = np.repeat(targets, chosen.starts, axis=0)
    starts = np.tile(starts_of(session), (len(targets), 1))
    quality = answered(session, targets, chosen.tolerance)
    ours = [
        Contender(name, partial(_invert, session, way, targets), peer=False, quality=quality)
        for name, way in ways(session, chosen.tolerance, targets).items()
    ]
    adams = _adams(session, wanted, starts)
    contenders = [*ours, *(contender for contender, _ in adams), _scipy(session, wanted, starts)]
    case = session.measure(
        "target",
        f"until {len(wanted)} images are within {chosen.tolerance:g} of their target",
        contenders,
        unit="images",
        work=float(len(wanted)),
    )
    for row in case["rows"]:
        if row["seconds"] and row["quality"]["reached"] < _asked(row["contender"], session, wanted):
            row["note"] = "; ".join(filter(None, (row["note"], "NOT all were reached")))
    case["curves"] = [*_our_curves(session, targets), *_their_curves(session, adams)]
    yield case


def starts_of(session: Session) -> np.ndarray:
    """Draw the images that jaxbq's ``random`` starts are, shape (starts, pixels)."""
    space, dtype = session.data.space, jnp.dtype(session.options.dtype)
    centres = jnp.full((1, space.pixels), (space.low + space.high) / 2, dtype)
    ends = (jnp.asarray(end, dtype) for end in (space.low, space.high))
    key, draw = jax.random.key(0), partial(start_of, start="random", centres=centres, noise=0.0)
    low, high = ends
    rows = [
        draw(jnp.asarray(n), low=low, high=high, key=key)
        for n in range(session.options.target.starts)
    ]
    return np.stack(rows)


def ways(session: Session, tolerance: float, targets: np.ndarray) -> dict[str, Method]:
    """Make jaxbq's ways to it: preimages with and without a warm start, the ascent on pixels."""
    chosen = session.options.target
    preimage = Preimage(start="random", samples=chosen.starts, tolerance=slack(targets, tolerance))
    return {
        "jaxbq, preimage, warm": dataclasses.replace(preimage, warm_start=True),
        "jaxbq, preimage": preimage,
        "jaxbq, ascent": Ascent(
            start="random",
            restarts=chosen.starts,
            steps=chosen.steps,
            stop=StopRule(tolerance=tolerance),
        ),
    }


def slack(targets: np.ndarray, tolerance: float) -> float:
    """Find how far any logit may be from its target's, for no output to be further than asked."""
    tiny = 1e-9
    sides = [np.clip(targets + side * tolerance, tiny, 1 - tiny) for side in (-1, 1)]
    least = min(float(np.abs(logit(side) - logit(targets)).min()) for side in sides)
    # Room for rounding: whoever asks the network again must find the same.
    return 0.98 * least


def _invert(session: Session, way: Method, targets: np.ndarray) -> Any:
    return invert(way, session.model, session.params, targets, reference=session.data)


def _asked(name: str, session: Session, wanted: np.ndarray) -> int:
    few = min(session.options.target.slow, len(wanted))
    return few if name.startswith("SciPy") else len(wanted)


def _adams(
    session: Session, wanted: np.ndarray, starts: np.ndarray
) -> list[tuple[Contender, Callable[[], Any] | None]]:
    """Make projected Adam at its best rate, in some ways; and what runs it for a curve."""
    chosen = session.options.target
    # Fewest steps of the pairs tried, and PyTorch's own.
    tuned, usual = (0.9, 0.95), (0.9, 0.999)
    # Short, for the figure; dropping: images that are done are worked on no more.
    names = {
        "PyTorch Adam": (usual, {"compiled": False}),
        "PyTorch Adam, tuned": (tuned, {"compiled": False}),
        "PyTorch, tuned, dropping": (tuned, {"compiled": False, "drop": True}),
        "torch.compile, tuned": (tuned, {"compiled": True}),
    }
    runs: dict[str, Callable[[], Any]] = {}

    def make(name: str) -> Contender:
        from ..peers.pytorch_target import Problem, ProjectedAdam

        betas, how = names[name]
        problem = Problem(session.layers, wanted, starts, chosen.tolerance, chosen.every, betas)
        best = _best(session, problem)
        run = partial(ProjectedAdam(problem, best.cost, **how).run, best.rate, chosen.steps)
        runs[name] = run
        return Contender(
            name,
            lambda: run().images,
            quality=_of_rows(session, wanted, chosen.tolerance),
            note=f"best of {len(chosen.rates)} rates and 2 costs: {best.rate:g}, {best.cost}, "
            f"{best.steps} steps; betas {betas[0]:g}, {betas[1]:g}",
        )

    contenders = [offer(name, partial(make, name)) for name in names]
    return [(contender, runs.get(contender.name)) for contender in contenders]


def _best(session: Session, problem: Any) -> Any:
    """Search the best rate once a session and pair of betas, compiled where that works."""
    from ..peers.pytorch_target import ProjectedAdam, best_of

    known, name = session.once, f"best rate, betas {problem.betas}"
    if name not in known:
        chosen = session.options.target
        session.say("searching: the best learning rate of projected Adam")

        def search(compiled: bool) -> Any:
            def make(cost: str) -> Any:
                return ProjectedAdam(problem, cost, compiled=compiled)

            return best_of(chosen.rates, chosen.steps, make)

        try:
            known[name] = search(True)
        except Exception:  # no compiler here, in whatever words PyTorch says so
            known[name] = search(False)
    return known[name]


def _of_rows(
    session: Session, wanted: np.ndarray, tolerance: float
) -> Callable[[Any], dict[str, float]]:
    """Judge images of which each has a row of its own; all, or the first few."""

    def quality(last: Any) -> dict[str, float]:
        images = np.asarray(last)
        errors = errors_of(session, images[:, None], _spread(wanted, len(images)))
        return {"largest output error": errors.max(), "reached": int((errors <= tolerance).sum())}

    return quality


def _spread(rows: np.ndarray, number: int) -> np.ndarray:
    """Take so many rows, evenly spaced: some of every class."""
    return rows[np.linspace(0, len(rows) - 1, number).round().astype(int)]


def _scipy(session: Session, wanted: np.ndarray, starts: np.ndarray) -> Contender:
    from ..peers.scipy_ascent import lbfgs

    chosen = session.options.target
    few = min(chosen.slow, len(wanted))
    call = lbfgs(
        session.layers,
        _spread(wanted, few),
        _spread(starts, few),
        chosen.steps,
        chosen.tolerance,
    )
    return Contender(
        "SciPy, L-BFGS-B",
        call,
        scale=len(wanted) / few,
        quality=_of_rows(session, wanted, chosen.tolerance),
        note=f"timed on {few} of {len(wanted)} images, times {len(wanted) / few:g}",
    )


def _our_curves(session: Session, targets: np.ndarray) -> Iterator[dict[str, Any]]:
    """Time jaxbq to one goal after another: a way has no clock inside."""
    tolerance = session.options.target.tolerance
    goals = [goal * tolerance for goal in _GOALS if goal * tolerance < 0.5]
    session.say("measuring: error against time")
    for name in ways(session, tolerance, targets):
        points = []
        for goal in goals:
            way = ways(session, goal, targets)[name]
            result = finished(_invert(session, way, targets))
            result = finished(_invert(session, way, targets))
            error = float(errors_of(session, result.images, targets).max())
            points.append((result.seconds.prepare + result.seconds.run, error))
        # Each is a run of its own, and may be quicker than one to an easier goal, or closer.
        seconds, errors = zip(*sorted(points), strict=True)
        least = np.minimum.accumulate(errors).tolist()
        yield {"contender": name, "seconds": list(seconds), "error": least}


def _their_curves(
    session: Session, adams: Sequence[tuple[Contender, Callable[[], Any] | None]]
) -> Iterator[dict[str, Any]]:
    for contender, run in adams:
        if run is None:
            continue
        try:
            found = run()
        except Exception:  # it failed when it was timed, and its row says so
            continue
        yield {"contender": contender.name, "seconds": found.seconds, "error": found.error}
