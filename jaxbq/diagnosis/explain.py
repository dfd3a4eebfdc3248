"""The verdict in plain sentences, each made from what was measured on this very network."""

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float

from ..data import Dataset, ImageSpace, Reference
from ..errors import JaxbqError
from ..methods import Method, Preimage, PseudoInverse, Reason, Result, Transpose, invert
from ..mlp import MLP, Params
from .alignment import alignment
from .layers import LayerFacts, layer_facts
from .losses import policy_losses, share_in_range

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


def explain(
    model: MLP,
    params: Params,
    targets: Float[np.ndarray, "n outputs"],
    *,
    data: Dataset | None = None,
    space: ImageSpace | None = None,
    key: jax.Array | None = None,
) -> list[Finding]:
    """Measure a network and say why each way back gives what it gives.

    Args:
        model: the network.
        params: its parameters.
        targets: what is asked, one target a row.
        data: a data set, for class means and the mean image; not needed.
        space: where images live, without data.
        key: random key.

    Returns:
        Findings, from the layers to what to trust.

    Raises:
        JaxbqError: the network is no MLP.
    """
    if not isinstance(model, MLP):
        raise JaxbqError("only an MLP can be explained layer by layer")
    reference = data.reference if data is not None else Reference(space or _flat(model))
    facts = layer_facts(params)
    findings = [_about_layer(number, each) for number, each in enumerate(facts, 1)]
    obstacle = _obstacle(Transpose(), model, reference, targets)
    if obstacle is None:
        run = _Runner(model, params, targets, reference, key)
        transposed, free = run(Transpose()), run(_free(model))
        clipped = run(PseudoInverse(hidden_policy="clip", pixel_policy="clip"))
        boxed = run(PseudoInverse())
        findings += [
            _about_transpose(facts, transposed),
            _about_template(alignment(transposed, model, params, data)),
            _about_range(share_in_range(model, params, targets, run.space)),
            _about_pseudo_inverse(free),
            _about_clipping(free, clipped, boxed, policy_losses(model, params, targets, run.space)),
        ]
    else:
        findings.append(Finding("transpose", "no analytic way back", f"{obstacle}."))
    obstacle = _obstacle(Preimage(), model, reference, targets)
    if obstacle is None:
        preimage = invert(Preimage(), model, params, targets, reference=reference, key=key)
        findings.append(_about_preimage(preimage))
    return [*findings, _about_trust(findings)]


@dataclass(frozen=True)
class _Runner:
    model: MLP
    params: Params
    targets: np.ndarray
    reference: Reference
    key: jax.Array | None

    @property
    def space(self) -> ImageSpace:
        return self.reference.space

    def __call__(self, method: Method) -> Result:
        return invert(
            method, self.model, self.params, self.targets, reference=self.reference, key=self.key
        )


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


def _about_transpose(facts: tuple[LayerFacts, ...], transposed: Result) -> Finding:
    worst = max(each.gram_deviation for each in facts)
    agreement = min(each.transpose_agreement for each in facts)
    read = f"the network reads {_right(transposed)} of its transpose images as intended"
    measured = (
        f"WᵀW differs from a multiple of the identity by {worst:.2g} of its size (worst layer) and "
        f"the cosine between Wᵀ and W⁺ is {agreement:.2f} or more"
    )
    if worst <= _SAME:
        verdict = "transpose is the inverse up to scale"
        text = f"The transpose is the pseudo-inverse up to scale: {measured}; {read}."
    elif worst <= _NEAR:
        verdict = "transpose is near an inverse"
        text = f"The transpose is near an inverse up to scale: {measured}; {read}."
    else:
        verdict = "transpose is no inverse"
        text = f"The transpose is no inverse of this network: {measured}; {read}."
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


def _about_pseudo_inverse(free: Result) -> Finding:
    outside = float(free.diagnostics["outside_share"][:, 0, 0].mean())
    error = float(free.diagnostics["residual_before_policy"][:, 0, 0].max())
    read = f"read as intended {_right(free)}, largest output error {_error(free):.2g}"
    if outside == 0:
        verdict = "inverse in range"
        text = f"The pseudo-inverse needs no policy at the pixels: none leaves the range; {read}"
    else:
        verdict = "inverse out of range"
        text = (
            f"The pseudo-inverse leaves the pixel range with {outside:.0%} of the pixels "
            f"(residual of the first layer {error:.1e}); left there, it is {read}"
        )
    return Finding("pseudo-inverse", verdict, f"{text}.")


def _about_clipping(free: Result, clipped: Result, boxed: Result, losses: list) -> Finding:
    before, after, box = (_right(each) for each in (free, clipped, boxed))
    places = ["the pixels", *(f"hidden layer {n}" for n in range(1, len(losses)))]
    worst = max(range(len(losses)), key=lambda n: losses[n].largest_error)
    cost = _error(clipped) - _error(free)
    numbers = (
        f"right {before} without a policy at the pixels, {after} clipped, {box} with the box "
        f"solved; clipped at one place only, most is lost at {places[worst]} (mean error "
        f"{losses[worst].largest_error:.2f})"
    )
    if cost <= 0.02:
        return Finding("clipping", "clipping costs nothing", f"Clipping costs nothing: {numbers}.")
    return Finding("clipping", "clipping loses the answer", f"Clipping loses it: {numbers}.")


def _about_preimage(found: Result) -> Finding:
    reached = int((found.reasons[:, 0] == Reason.REACHED).sum())
    number, residual = len(found.targets), float(found.diagnostics["residual"][:, 0].max())
    steps = float(np.median(found.iterations[:, 0]))
    numbers = f"{reached} of {number} targets reached, worst residual {residual:.1e}"
    if reached == number:
        text = "An image in the pixel range answers every target exactly"
        verdict, tail = "reachable", f" in {steps:g} iterations (median)"
    elif reached:
        text, verdict, tail = "Some targets are out of reach in the pixel range", "partly", ""
    else:
        text, verdict, tail = "No target is within reach in the pixel range", "out of reach", ""
    return Finding("preimage", verdict, f"{text}: {numbers}{tail}.")


def _about_trust(findings: list[Finding]) -> Finding:
    said = {finding.topic: finding.verdict for finding in findings}
    unique = all("unique" in f.sentence for f in findings if f.topic.startswith("layer"))
    if unique and said.get("pseudo-inverse") == "inverse in range":
        text = "Trust the pseudo-inverse: the way back is unique and stays in range"
        return Finding("trust", "pseudo-inverse", f"{text}.")
    if said.get("preimage") == "reachable":
        text = (
            "Trust the preimage for what the network answers, knowing that it is one of many; "
            "the transpose, if anything, for what its weights look for"
        )
        return Finding("trust", "preimage", f"{text}.")
    text = "Trust no analytic way for these targets; ascent gives the best that the range allows"
    return Finding("trust", "ascent", f"{text}.")


def _free(model: MLP) -> PseudoInverse:
    """Make a pseudo-inverse without a policy at the pixels, the gentlest in hidden layers."""
    return PseudoInverse(pixel_policy="none", hidden_policy="clip", margin=1e-3)


def _right(result: Result) -> str:
    right = result.outputs[:, 0].argmax(axis=1) == result.targets.argmax(axis=1)
    return f"{int(right.sum())} of {len(right)}"


def _error(result: Result) -> float:
    return float(np.abs(result.outputs[:, 0] - result.targets).max(axis=1).mean())


def _obstacle(method: Method, model: MLP, reference: Reference, targets: np.ndarray) -> str | None:
    try:
        method.check(model, reference, np.asarray(targets, np.float64))
    except JaxbqError as mistake:
        return str(mistake)
    return None


def _flat(model: MLP) -> ImageSpace:
    return ImageSpace((1, model.sizes[0]))
