"""The register of plain words: what people ask, answered from what was measured."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float

from ..data import Dataset, ImageSpace
from ..methods import Ascent, Decoder, Exemplars, Method, PseudoInverse, preset
from ..network.mlp import MLP, Params
from .layers import alignment
from .measurements import (
    BOX,
    CLIPPED,
    EXACT,
    LEFT,
    PREIMAGE,
    TRANSPOSE,
    ClassImage,
    Measurements,
    most_exact,
    reached,
    stays_inside,
    transposed_by_class,
)

HIDDEN_CLIPPED = PseudoInverse(hidden_policy="clip")
DECODER, TOP, WHITENED = Decoder(), Exemplars(k=1), preset("whitened")
# Where one word gives way to another. They name what was measured; no number depends on them.
_SAME, _NEAR = 0.999, 0.95  # cosine of Wᵀ and W⁺
_CLEAR, _FAINT = 0.5, 0.25  # correlation of a picture with what it is said to show
_NO_IMAGES = "Not measured: it needs the images that the network was trained on (--data)."


@dataclass(frozen=True)
class Answer:
    """What people ask of a back-query, answered for one network.

    Args:
        topic: the question in a word: ``transpose``, ``template``, ``inverse``, ``clip``,
            ``mush``, ``preimage``, ``decoder``, ``exemplars``, ``see``, ``exact``.
        question: in full.
        verdict: the answer in a few fixed words, for comparing networks.
        picture: what happens, one sentence.
        measured: the same with this network's numbers.
        command: the arguments of ``jaxbq`` that show it, without those that name the network;
            empty where no command can.
        target: which target the command is about; None for all.
    """

    topic: str
    question: str
    verdict: str
    picture: str
    measured: str
    command: tuple[str, ...] = ()
    target: int | None = None


def explain(
    model: MLP,
    params: Params,
    targets: Float[np.ndarray, "n outputs"],
    *,
    data: Dataset | None = None,
    space: ImageSpace | None = None,
    key: jax.Array | None = None,
) -> list[Answer]:
    """Measure a network and answer in plain words what people ask of a back-query.

    Args:
        model: the network.
        params: its parameters.
        targets: what is asked, one target a row.
        data: the images that it was trained on; without them some answers are not measured.
        space: where images live, without data.
        key: random key.

    Raises:
        JaxbqError: the network is no MLP, or cannot give these targets.
    """
    return answers(Measurements(model, params, targets, data, space, key))


def answers(measured: Measurements) -> list[Answer]:
    """Answer all questions, in the order that they come up."""
    questions: tuple[Callable[[Measurements], Answer], ...] = (
        _transpose,
        _template,
        _inverse,
        _clip,
        _mush,
        _preimage,
        _decoder,
        _exemplars,
        _see,
        _exact,
    )
    return [question(measured) for question in questions]


_COMMANDS: dict[Method, tuple[str, ...]] = {
    TRANSPOSE: ("transpose",),
    LEFT: ("pseudo_inverse", "--set", "pixel_policy=none"),
    CLIPPED: ("pseudo_inverse", "--set", "pixel_policy=clip"),
    PREIMAGE: ("preimage",),
    DECODER: ("decoder",),
    TOP: ("exemplars", "--set", "k=1"),
    WHITENED: ("whitened",),
    Ascent(): ("ascent",),
}


def _invert(method: Method) -> tuple[str, ...]:
    return ("invert", "--method", *_COMMANDS[method])


def _transpose(measured: Measurements) -> Answer:
    agreement = min(each.transpose_agreement for each in measured.facts)
    if agreement >= _SAME:
        verdict = "inverse up to scale"
        picture = (
            "Yes, up to scale: the weights of each layer are directions at right angles and of "
            "one strength, so that sending each sum back along its weights undoes it."
        )
    elif agreement >= _NEAR:
        verdict = "near an inverse"
        picture = (
            "Nearly: the weights of each layer are almost at right angles and of one strength, so "
            "that sending each sum back along its weights almost undoes it."
        )
    else:
        verdict = "no inverse"
        picture = (
            "No: Wᵀ sends each sum back along the weights that made it, and where weights overlap "
            "or differ in strength this does not undo the sums."
        )
    way = measured.way(TRANSPOSE)
    back = f"The transpose images: {way.summary}" if way else _refused(measured, TRANSPOSE)
    numbers = f"The cosine between Wᵀ and the pseudo-inverse W⁺ is {agreement:.2f} in the worst "
    numbers += f"layer (1: equal up to scale). {back}."
    command = _invert(TRANSPOSE) if way else ("explain", "--numbers")
    return Answer("transpose", "Is the transpose an inverse?", verdict, picture, numbers, command)


def _refused(measured: Measurements, method: Method) -> str:
    return f"It cannot be run back here: {measured.obstacle(method)}"


def _template(measured: Measurements) -> Answer:
    question = "Then why does it show anything?"
    voters = "hidden unit" if len(measured.facts) > 1 else "output"
    picture = (
        f"Each {voters} votes for the pixels that excite it, as strongly as it is wanted itself, "
        "and Wᵀ adds up the votes: a template of what the output looks for."
    )
    way = measured.way(TRANSPOSE)
    if way is None:
        numbers = f"{_refused(measured, TRANSPOSE)}."
        command = _invert(Ascent())
        return Answer("template", question, "cannot be run", picture, numbers, command)
    aligned = alignment(way.result, measured.model, measured.params, measured.data)
    filtered = float(aligned["matched filter"].mean())
    if filtered >= _CLEAR:
        verdict = "a template"
    else:
        verdict = "the votes are lost" if filtered < _FAINT else "a template in part"
        if len(measured.facts) > 1:
            picture += " Here rescaling between the layers changes the votes on the way."
    image = way.result.images[0, 0]
    brightest = int(image.argmax())
    total = float(way.result.diagnostics["image_before_policy"][0, 0, brightest])
    votes = measured.facts[0].fan_out
    mean = "" if measured.data is None else f" and {way.likeness:.2f} with the class means"
    numbers = (
        f"The images correlate {filtered:.2f} with the votes added up through the weights alone, "
        f"W¹W²…,{mean}; at the brightest pixel of the first, number {brightest}, {votes} votes "
        f"add up to {total:.3g}."
    ).replace("…,;", "…;")
    command = ("trace", "--method", "transpose", "--layer", "0", "--unit", str(brightest))
    return Answer("template", question, verdict, picture, numbers, command, 0)


def _inverse(measured: Measurements) -> Answer:
    question = "What would the inverse give?"
    way = measured.way(LEFT)
    blind = max(measured.facts, key=lambda each: each.null_dimension)
    number = measured.facts.index(blind) + 1
    if way is None:
        picture = "There is none to run: an activation on the way back has no inverse."
        return Answer(
            "inverse", question, "none", picture, f"{_refused(measured, LEFT)}.", _invert(PREIMAGE)
        )
    outside = float(way.result.diagnostics["outside_share"][:, 0, 0].mean())
    if blind.null_dimension:
        seen = f"layer {number} is blind to {blind.null_dimension} of {blind.fan_in} directions"
    else:
        seen = "no layer is blind to anything"
        # Adding a number to all logits changes no output.
        seen += "" if measured.unique else ", but softmax is to the sum of its inputs"
    inside = stays_inside(way)
    if measured.unique:
        verdict = "the image itself" if inside else "one answer, out of range"
        picture = "The one input that gives the answer: no layer loses anything on the way forward"
        picture += "." if inside else ", but that input need not be an image, or exist."
    else:
        verdict = "one of many, in range" if inside else "one of many, out of range"
        picture = (
            "One answer of many: a layer mixes many inputs into the same answer, and the "
            "pseudo-inverse takes the smallest input that fits, which need not look like anything"
        )
        picture += "." if inside else " or lie in the pixel range."
    numbers = f"Here {seen}; {outside:.0%} of the pixels it gives are out of range; left there: "
    numbers += f"{way.summary}."
    return Answer("inverse", question, verdict, picture, numbers, _invert(LEFT))


def _clip(measured: Measurements) -> Answer:
    question = "What justifies the clip, and what does it cost?"
    left, clipped, boxed = map(measured.way, (LEFT, CLIPPED, BOX))
    if left is None or clipped is None or boxed is None:
        picture = "Nothing is clipped: without an inverse activation there is no way back to clip."
        return Answer("clip", question, "no way back", picture, f"{_refused(measured, LEFT)}.")
    shares = left.result.diagnostics["outside_share"][:, 0].mean(axis=0)
    cost = clipped.error - left.error
    if not shares.any():
        verdict = "nothing to clip"
        picture = "Nothing has to: every value on the way back lies in its range already."
    elif cost <= EXACT:
        verdict = "costs nothing here"
        picture = (
            "Nothing in general, since a cut value belongs to another answer; here what is cut at "
            "the pixels hardly counts."
        )
    else:
        verdict = "costs the answer"
        picture = (
            "Nothing does: φ⁻¹ takes no value out of its range, and a pixel has none, but what is "
            "cut off was part of the answer, so that the rest answers something else."
        )
    inner = measured.way(HIDDEN_CLIPPED) if len(measured.facts) > 1 else None
    hidden = f"; hidden layers clipped in place of solved: {inner.error:.3g}" if inner else ""
    numbers = (
        f"Cut are {shares[0]:.0%} of the pixels. Clipped: {clipped.summary}. Largest error with "
        f"pixels left {left.error:.3g}, with the best pixels inside the range (box) "
        f"{boxed.error:.3g}{hidden}."
    )
    return Answer("clip", question, verdict, picture, numbers, _invert(CLIPPED))


def _mush(measured: Measurements) -> Answer:
    question = "Why mush for some classes and not for others?"
    picture = (
        "The votes show how a class differs from the others, not what it looks like, and what no "
        "image ever taught, the weights of pixels that hardly vary, stays noise."
    )
    way, data = measured.way(TRANSPOSE), measured.data
    if way is None or data is None:
        numbers = f"{_refused(measured, TRANSPOSE)}." if data is not None else _NO_IMAGES
        return Answer("mush", question, "not measured", picture, numbers)
    rows = transposed_by_class(measured)
    order = sorted(rows, key=lambda row: -row.difference)
    few = max(1, min(3, len(order) // 2))

    def named(some: list[ClassImage]) -> str:
        return ", ".join(f"{data.class_names[row.intended]} ({row.difference:.2f})" for row in some)

    clear = sum(row.difference >= _CLEAR for row in rows)
    verdict = "clear" if clear == len(rows) else "mush" if not clear else "some are mush"
    which = f"Most of the class shows in {named(order[:few])}"
    which += f", least in {named(order[::-1][:few])}" if len(order) > 1 else ""
    quiet = np.mean([row.quiet for row in rows])
    numbers = (
        f"{which}: correlation with the class's mean less that of all, which {clear} of "
        f"{len(rows)} have at {_CLEAR:g} or more; {quiet:.0%} of the contrast lies in pixels that "
        "hardly vary in the data."
    )
    return Answer("mush", question, verdict, picture, numbers, ("explain", "--numbers"))


def _preimage(measured: Measurements) -> Answer:
    question = "Can X be solved for?"
    way = measured.way(PREIMAGE)
    if way is None:
        picture = "Not by this solver, which works on the outputs' pre-activations."
        numbers = f"{_refused(measured, PREIMAGE)}."
        return Answer("preimage", question, "not asked", picture, numbers, _invert(Ascent()))
    count, number = reached(way.result), len(measured.targets)
    pixels, outputs = measured.model.sizes[0], measured.model.sizes[-1]
    if count < number:
        verdict = "partly" if count else "out of reach"
        picture = (
            "Not for every target: inside the pixel range the solver found no image that gives "
            "the answer exactly, only the nearest it could get."
        )
    elif measured.unique:
        verdict = "yes, uniquely"
        picture = (
            "Yes, and to one image alone: nothing is lost on the way forward, so that no other "
            "gives the same answer."
        )
    else:
        verdict = "yes, many"
        picture = (
            "Yes, exactly, and in many ways: there is more to choose than to meet, so that an "
            "image solved for is one that is answered so, not what the class looks like."
        )
    numbers = (
        f"{outputs} equation{'' if outputs == 1 else 's'}, {pixels} pixels: from grey {count} of "
        f"{number} targets reached in "
        f"{np.median(way.result.iterations[:, 0]):g} steps (median); {way.summary}."
    )
    return Answer("preimage", question, verdict, picture, numbers, _invert(PREIMAGE))


def _decoder(measured: Measurements) -> Answer:
    question = "Would an autoencoder help?"
    way = measured.way(DECODER)
    if way is None:
        picture = "To see, perhaps: a decoder draws the average of the images behind an answer."
        why = _NO_IMAGES if measured.data is None else f"{_refused(measured, DECODER)}."
        return Answer("decoder", question, "not measured", picture, why)
    draws = way.likeness >= _CLEAR
    average = "a decoder trained on the network's answers draws the average image behind an answer"
    if draws and way.all_right:
        verdict = "to see"
        picture = f"To see, not to know: {average}, so that its strokes come from the data."
    elif draws:
        verdict = "draws what is not answered"
        picture = f"To see the data only: {average}, and the network does not read it as that."
    else:
        verdict = "no"
        picture = f"No: {average}, and the answers say too little for that to show a class."
    numbers = f"A decoder trained on these images and answers: {way.summary}."
    return Answer("decoder", question, verdict, picture, numbers, _invert(DECODER))


def _exemplars(measured: Measurements) -> Answer:
    question = "Why not show the top training images?"
    way = measured.way(TOP)
    if way is None:
        picture = "Do: they are real; what in them the network goes by they do not show."
        why = _NO_IMAGES if measured.data is None else f"{_refused(measured, TOP)}."
        return Answer("exemplars", question, "not measured", picture, why)
    if way.all_right and way.error <= _CLEAR:
        verdict = "do"
        picture = (
            "Do, as a first look: they are real, and the network reads them as intended; "
            "what in them it goes by, and what else it answers so, they do not show."
        )
    else:
        verdict = "they mislead"
        picture = (
            "Because here they mislead: they are the best there are, and yet the network does not "
            "answer them as asked, so that they show digits that it does not mean."
        )
    numbers = f"The best training image of each target: {way.summary}."
    return Answer("exemplars", question, verdict, picture, numbers, _invert(TOP))


def _see(measured: Measurements) -> Answer:
    question = "What to use to see a digit?"
    if measured.data is None:
        picture = (
            "An ascent that keeps to what images look like (whitened), which takes images to know."
        )
        return Answer("see", question, "not measured", picture, _NO_IMAGES)
    methods = {"transpose": TRANSPOSE, "whitened": WHITENED, "preimage": PREIMAGE}
    ways = {name: way for name, method in methods.items() if (way := measured.way(method))}
    best = max(ways, key=lambda name: (ways[name].all_right, ways[name].likeness))
    way = ways[best]
    others = ", ".join(f"{name} {way.likeness:.3f}" for name, way in ways.items() if name != best)
    accuracy = f"It reads {measured.accuracy:.1%} of the test images right"
    if measured.untrained:
        verdict = "nothing"
        picture = (
            "Nothing: the network has not learned to tell these classes apart, so that no picture "
            "of what it looks for is a digit, however much a method draws one."
        )
    elif way.likeness < _FAINT:
        verdict = "nothing shows one"
        picture = (
            "Nothing that asks this network showed one; the top training images at least are real."
        )
    else:
        verdict = best
        picture = {
            "whitened": "An ascent that keeps to what images look like (whitened): the images say "
            "what varies together, the network alone says which class.",
            "transpose": "The transpose: here the votes draw the class better than a prior does.",
            "preimage": "The exact preimage: here what is answered so looks like the class.",
        }[best]
    numbers = f"{accuracy}. {best.capitalize()}: {way.summary}"
    numbers += f"; class mean r of {others}." if others else "."
    return Answer("see", question, verdict, picture, numbers, _invert(methods[best]))


def _exact(measured: Measurements) -> Answer:
    question = "What to use for an exact answer?"
    methods: dict[str, Method] = {"transpose": TRANSPOSE, "pseudo-inverse": LEFT}
    methods |= {"preimage": PREIMAGE, "ascent": Ascent()}
    ways = {name: way for name, method in methods.items() if (way := measured.way(method))}
    best, exact = most_exact(measured, ways)
    if exact and best == "pseudo-inverse":
        picture = "The pseudo-inverse: here the way back is the only one, and stays in range."
    elif exact:
        picture = (
            "The preimage: it solves for the answer inside the pixel range; it is one of many."
        )
    else:
        picture = "Nothing asked here gives one for every target inside the pixel range; "
        picture += f"of all ways {best} comes nearest."
    errors = ", ".join(f"{name} {way.error:.3g}" for name, way in ways.items())
    numbers = f"Largest error, mean over targets: {errors}."
    verdict = best if exact else f"none, {best} comes nearest"
    return Answer("exact", question, verdict, picture, numbers, _invert(methods[best]))
