"""The register of numbers: findings, each made from what was measured on this very network."""

from dataclasses import dataclass

import numpy as np

from ..methods import Ascent
from .layers import LayerFacts, alignment
from .measurements import (
    BOX,
    CLIPPED,
    EXACT,
    LEFT,
    PREIMAGE,
    TRANSPOSE,
    Measurements,
    Way,
    most_exact,
    reached,
    stays_inside,
)
from .policies import Fidelity, policy_losses, share_in_range

# Where one word gives way to another. They name what was measured; no number depends on them.
_SAME, _NEAR = 0.05, 0.3
_WELL, _ILL = 100.0, 1e4


@dataclass(frozen=True)
class Finding:
    """One sentence of the verdict.

    Args:
        topic: what it is about: ``layer 1``, ``transpose``, ``template``, ``range``,
            ``pseudo-inverse``, ``clipping``, ``preimage``, ``trust``.
        verdict: the judgement in a few fixed words, for comparing networks.
        sentence: the same in full, with its numbers.
    """

    topic: str
    verdict: str
    sentence: str


def findings(measured: Measurements) -> list[Finding]:
    """Say with all numbers why each way back gives what it gives.

    Args:
        measured: of the network; what is missing is measured now.

    Returns:
        Findings, from the layers to what to trust.
    """
    found = [_about_layer(number, each) for number, each in enumerate(measured.facts, 1)]
    model, params, data = measured.model, measured.params, measured.data
    asked = model, params, measured.targets
    space = measured.reference.space
    ways: dict[str, Way] = {}
    transposed = measured.way(TRANSPOSE)
    free, clipped, boxed = map(measured.way, (LEFT, CLIPPED, BOX))
    if transposed and free and clipped and boxed:
        ways |= {"transpose": transposed, "pseudo-inverse": free}
        found += [
            _about_transpose(measured.facts, transposed),
            _about_template(alignment(transposed.result, model, params, data)),
            _about_range(share_in_range(*asked, space)),
            _about_pseudo_inverse(free),
            _about_clipping(free, clipped, boxed, policy_losses(*asked, space)),
        ]
    else:
        obstacle = f"{measured.obstacle(TRANSPOSE)}."
        found.append(Finding("transpose", "no analytic way back", obstacle))
    if solved := measured.way(PREIMAGE):
        ways["preimage"] = solved
        found.append(_about_preimage(solved))
    if climbed := measured.way(Ascent()):
        ways["ascent"] = climbed
    return [*found, _about_trust(measured, ways)]


def _about_layer(number: int, facts: LayerFacts) -> Finding:
    size = f"Layer {number} ({facts.fan_in} → {facts.fan_out})"
    if facts.rank < min(facts.fan_in, facts.fan_out):
        verdict = "singular"
        what = f"is singular: rank {facts.rank} of {min(facts.fan_in, facts.fan_out)}"
    elif facts.condition <= _WELL:
        verdict, what = "well-conditioned", f"is well-conditioned ({facts.condition:.3g})"
    elif facts.condition <= _ILL:
        verdict, what = "moderate", f"has a condition number of {facts.condition:.3g}"
    else:
        verdict, what = "ill-conditioned", f"is ill-conditioned ({facts.condition:.2g})"
    lost = facts.null_dimension
    blind = (
        f"it is blind to {lost} of the {facts.fan_in} directions of its input, so that what comes "
        "back through it is one of many"
        if lost
        else "it sees every direction of its input, so that an exact way back is unique"
    )
    return Finding(f"layer {number}", verdict, f"{size} {what}; {blind}.")


def _about_transpose(facts: tuple[LayerFacts, ...], transposed: Way) -> Finding:
    worst = max(each.gram_deviation for each in facts)
    agreement = min(each.transpose_agreement for each in facts)
    measured = (
        f"the cosine between Wᵀ and W⁺ is {agreement:.2f}, and WᵀW differs from a multiple of the "
        f"identity by {worst:.2g} of its size (worst layers); its images: "
        f"{transposed.summary}"
    )
    if 1 - agreement <= _SAME**2:
        verdict = "transpose is the inverse up to scale"
        text = f"The transpose is the pseudo-inverse up to scale: {measured}."
    elif 1 - agreement <= _NEAR**2:
        verdict = "transpose is near an inverse"
        text = f"The transpose is near an inverse up to scale: {measured}."
    else:
        verdict = "transpose is no inverse"
        text = f"The transpose is no inverse of this network: {measured}."
    return Finding("transpose", verdict, text)


def _about_template(aligned: dict[str, np.ndarray]) -> Finding:
    filtered = float(aligned["matched filter"].mean())
    gradient = float(aligned["logit gradient at grey"].mean())
    mean = aligned.get("class mean")
    seen = "" if mean is None else f", and {float(mean.mean()):.2f} with the class mean"
    numbers = (
        f"its images correlate {filtered:.2f} with the product of the weights and {gradient:.2f} "
        f"with the gradient of the logit at mid-grey{seen}"
    )
    if filtered >= 0.7:
        verdict, text = "a matched filter", "What the transpose shows is a matched filter"
    elif filtered >= 0.3:
        verdict, text = "partly a matched filter", "The transpose shows a matched filter in part"
    else:
        verdict, text = "no matched filter", "The transpose shows something else than a template"
    return Finding("template", verdict, f"{text}: {numbers}.")


def _about_range(shares: np.ndarray) -> Finding:
    least = shares.min(axis=0)
    worst = int(least.argmin())
    numbers = (
        f"of what is asked of layer {worst + 1}, {least[worst]:.1%} lies in the range of its "
        "weights (least of all layers and targets)"
    )
    if least[worst] > 0.999:
        text = "Every step back has an exact solution, were its values free"
        return Finding("range", "all in range", f"{text}: {numbers}.")
    text = "A step back has no exact solution, only the nearest"
    return Finding("range", "out of the range of a layer", f"{text}: {numbers}.")


def _about_pseudo_inverse(free: Way) -> Finding:
    shares = free.result.diagnostics["outside_share"][:, 0].mean(axis=0)
    deep = len(shares) > 1
    inner = f" and {max(shares[1:]):.0%} of hidden values (worst layer)" if deep else ""
    if stays_inside(free):
        verdict = "inverse in range"
        text = f"The pseudo-inverse needs no policy: nothing (0%) leaves its range; {free.summary}"
    else:
        verdict = "inverse out of range"
        solved = "with these solved in the box and " if deep else "with "
        text = (
            f"The pseudo-inverse leaves the domains: {shares[0]:.0%} of pixels{inner}; {solved}"
            f"pixels left, {free.summary}"
        )
    return Finding("pseudo-inverse", verdict, f"{text}.")


def _about_clipping(free: Way, clipped: Way, boxed: Way, losses: list[Fidelity]) -> Finding:
    places = ["the pixels", *(f"hidden layer {n}" for n in range(1, len(losses)))]
    numbers = "; ".join(
        f"pixels {what}, {way.summary}"
        for what, way in (("left", free), ("clipped", clipped), ("solved in the box", boxed))
    )
    if clipped.error - free.error <= EXACT:
        text = f"Clipping the pixels costs nothing: {numbers}."
        return Finding("clipping", "clipping costs nothing", text)
    worst = max(range(len(losses)), key=lambda n: losses[n].mean_largest_error)
    where = (
        f"clipped at one place only, most is lost at {places[worst]} "
        f"({losses[worst].mean_largest_error:.3g})"
    )
    text = f"Clipping the pixels loses the answer: {numbers}; {where}."
    return Finding("clipping", "clipping loses the answer", text)


def _about_preimage(solved: Way) -> Finding:
    found = solved.result
    count, number = reached(found), len(found.targets)
    residual = float(found.diagnostics["residual"][:, 0].max())
    steps = float(np.median(found.iterations[:, 0]))
    numbers = f"from grey {count} of {number} targets reached, worst residual {residual:.1e}"
    if count == number:
        text = "An image in the pixel range answers every target exactly"
        verdict, tail = "reachable", f", {steps:g} iterations (median)"
    elif count:
        text, verdict, tail = "Some targets were not reached in the pixel range", "partly", ""
    else:
        text, verdict, tail = "No target was reached in the pixel range", "out of reach", ""
    return Finding("preimage", verdict, f"{text}: {numbers}{tail}.")


def _about_trust(measured: Measurements, ways: dict[str, Way]) -> Finding:
    """Say which way to trust, by the errors that their images have."""
    numbers = ", ".join(f"{name} {way.error:.3g}" for name, way in ways.items())
    verdict, exact = most_exact(measured, ways)
    if exact and verdict == "pseudo-inverse":
        text = "Trust the pseudo-inverse: the way back is unique and stays in range"
    elif exact:
        text = "Trust the preimage for what the network answers, knowing that it is one of many"
    else:
        text = f"Trust no way for an exact answer; {verdict} comes nearest"
    return Finding("trust", verdict, f"{text} (largest errors: {numbers}).")
