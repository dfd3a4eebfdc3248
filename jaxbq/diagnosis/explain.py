"""The verdict in plain sentences, each made from what was measured on this very network."""

import dataclasses
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float

from ..data import Dataset, ImageSpace, Reference
from ..errors import JaxbqError
from ..methods import Ascent, Method, Preimage, PseudoInverse, Reason, Result, Transpose, invert
from ..network.mlp import MLP, Params
from ..network.targets import check_targets
from .layers import LayerFacts, alignment, layer_facts
from .policies import Fidelity, policy_losses, share_in_range

# Where one word gives way to another. They name what was measured; no number depends on them.
_SAME, _NEAR = 0.05, 0.3
_EXACT = 0.02  # largest output error of an answer that counts as given
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
        JaxbqError: the network is no MLP, or cannot give these targets.
    """
    if not isinstance(model, MLP):
        raise JaxbqError("only an MLP can be explained layer by layer")
    check_targets(np.asarray(targets, np.float64), model.output, model.sizes[-1])
    space = space or ImageSpace((1, model.sizes[0]))
    reference = data.reference if data is not None else Reference(space)
    facts = layer_facts(params)
    findings = [_about_layer(number, each) for number, each in enumerate(facts, 1)]

    def run(method: Method) -> Result:
        return invert(method, model, params, targets, reference=reference, key=key)

    asked = model, params, targets
    ways: dict[str, Result] = {}
    obstacle = _obstacle(Transpose(), model, reference, targets)
    if obstacle is None:
        ways["transpose"], free = run(Transpose()), run(_free())
        clipped = run(dataclasses.replace(_free(), pixel_policy="clip"))
        ways["pseudo-inverse"], boxed = free, run(PseudoInverse())
        findings += [
            _about_transpose(facts, ways["transpose"]),
            _about_template(alignment(ways["transpose"], model, params, data)),
            _about_range(share_in_range(*asked, reference.space)),
            _about_pseudo_inverse(free),
            _about_clipping(free, clipped, boxed, policy_losses(*asked, reference.space)),
        ]
    else:
        findings.append(Finding("transpose", "no analytic way back", f"{obstacle}."))
    if _obstacle(Preimage(), model, reference, targets) is None:
        ways["preimage"] = run(Preimage())
        findings.append(_about_preimage(ways["preimage"]))
    ways["ascent"] = run(Ascent())
    unique = all(each.null_dimension == 0 for each in facts)
    return [*findings, _about_trust(ways, unique)]


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
    measured = (
        f"the cosine between Wᵀ and W⁺ is {agreement:.2f}, and WᵀW differs from a multiple of the "
        f"identity by {worst:.2g} of its size (worst layers); the network reads "
        f"{_right(transposed)} of its transpose images as intended"
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


def _about_pseudo_inverse(free: Result) -> Finding:
    shares = free.diagnostics["outside_share"][:, 0].mean(axis=0)
    read = f"read as intended {_right(free)}, output error {_error(free):.2g}"
    hidden = max(shares[1:], default=0.0)
    if not shares.any() and _error(free) <= _EXACT:
        verdict = "inverse in range"
        text = f"The pseudo-inverse needs no policy: nothing (0%) leaves its range; {read}"
    else:
        verdict = "inverse out of range"
        text = (
            f"The pseudo-inverse leaves the domains: {shares[0]:.0%} of pixels and {hidden:.0%} of "
            f"hidden values (worst layer); with those clipped and pixels left, {read}"
        )
    return Finding("pseudo-inverse", verdict, f"{text}.")


def _about_clipping(
    free: Result, clipped: Result, boxed: Result, losses: list[Fidelity]
) -> Finding:
    before, after, box = (_right(each) for each in (free, clipped, boxed))
    places = ["the pixels", *(f"hidden layer {n}" for n in range(1, len(losses)))]
    numbers = (
        f"output error {_error(free):.2f} (right {before}) with pixels left, {_error(clipped):.2f} "
        f"({after}) clipped, {_error(boxed):.2f} ({box}) with the box solved"
    )
    if _error(clipped) - _error(free) <= _EXACT:
        text = f"Clipping the pixels costs nothing: {numbers}."
        return Finding("clipping", "clipping costs nothing", text)
    worst = max(range(len(losses)), key=lambda n: losses[n].mean_largest_error)
    where = (
        f"clipped at one place only, most is lost at {places[worst]} "
        f"({losses[worst].mean_largest_error:.2f})"
    )
    text = f"Clipping the pixels loses the answer: {numbers}; {where}."
    return Finding("clipping", "clipping loses the answer", text)


def _about_preimage(found: Result) -> Finding:
    reached, number = _reached(found), len(found.targets)
    residual = float(found.diagnostics["residual"][:, 0].max())
    steps = float(np.median(found.iterations[:, 0]))
    numbers = f"from grey {reached} of {number} targets reached, worst residual {residual:.1e}"
    if reached == number:
        text = "An image in the pixel range answers every target exactly"
        verdict, tail = "reachable", f", {steps:g} iterations (median)"
    elif reached:
        text, verdict, tail = "Some targets were not reached in the pixel range", "partly", ""
    else:
        text, verdict, tail = "No target was reached in the pixel range", "out of reach", ""
    return Finding("preimage", verdict, f"{text}: {numbers}{tail}.")


def _about_trust(ways: dict[str, Result], unique: bool) -> Finding:
    """Say which way to trust, by the errors that their images have."""
    errors = {name: _error(result) for name, result in ways.items()}
    numbers = ", ".join(f"{name} {error:.2g}" for name, error in errors.items())
    inverse = ways.get("pseudo-inverse")
    in_range = inverse is not None and not inverse.diagnostics["outside_share"].any()
    if unique and in_range and errors["pseudo-inverse"] <= _EXACT:
        verdict = "pseudo-inverse"
        text = "Trust the pseudo-inverse: the way back is unique and stays in range"
    elif "preimage" in ways and _reached(ways["preimage"]) == len(ways["preimage"].targets):
        verdict = "preimage"
        text = "Trust the preimage for what the network answers, knowing that it is one of many"
    else:
        # Left in range or not: a pseudo-inverse out of range is no image.
        able = {name: error for name, error in errors.items() if name != "pseudo-inverse"}
        verdict = min(able, key=able.__getitem__)
        text = f"Trust no way for an exact answer; {verdict} comes nearest"
    return Finding("trust", verdict, f"{text} (output errors: {numbers}).")


def _free() -> PseudoInverse:
    """Make a pseudo-inverse without a policy at the pixels, a gentle one in hidden layers."""
    return PseudoInverse(pixel_policy="none", hidden_policy="clip", margin=1e-3)


def _reached(found: Result) -> int:
    return int((found.reasons[:, 0] == Reason.REACHED).sum())


def _right(result: Result) -> str:
    right = result.outputs[:, 0].argmax(axis=1) == result.targets.argmax(axis=1)
    return f"{int(right.sum())} of {len(right)}"


def _error(result: Result) -> float:
    """Mean over targets of the largest output error."""
    return float(np.abs(result.outputs[:, 0] - result.targets).max(axis=1).mean())


def _obstacle(method: Method, model: MLP, reference: Reference, targets: np.ndarray) -> str | None:
    try:
        method.check(model, reference, np.asarray(targets, np.float64))
    except JaxbqError as mistake:
        return str(mistake)
    return None
