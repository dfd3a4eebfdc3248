"""``jaxbq certify``: the best picture, and a proof of how far it is from the best possible."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import JaxbqError
from .arguments import add_foreign, check_outputs, find_class, open_with_images, read_seed

if TYPE_CHECKING:
    import numpy as np

    from ..certification import Certificate
    from ..network.files import NetworkFile
    from .arguments import Opened
    from .console import Terminal

_PICTURES = (".png", ".jpg", ".jpeg")
_MOST_NUMBERS = 2**28  # bytes of an .npy file with one image
_MOST_SECONDS = 10**7


def add_certify(commands: Any) -> None:
    """Add ``jaxbq certify``."""
    command = commands.add_parser(
        "certify",
        help="the best picture, and a proof of how far it is from the best possible",
        description="Search the image that a network answers most to, and prove how much more any "
        "other image could reach. By default for every class; see docs/certificates.md.",
        epilog="example: jaxbq certify digits.safetensors --target 3 --seconds 30 --out 3.npz",
    )
    command.add_argument(
        "weights", metavar="WEIGHTS", help="network file, as other commands take it"
    )
    command.add_argument(
        "--verify", metavar="FILE", help="compute anew what a certificate proves, and nothing else"
    )
    add_foreign(command)
    _add_question(command)
    command.add_argument("--out", metavar="FILE", help="certificate to write, of one target, .npz")
    command.add_argument("--figure", metavar="FILE", help="pictures to write, .png or .pdf")
    command.set_defaults(command=_certify, precision="float64")


def _add_question(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("what is asked")
    group.add_argument(
        "--target", metavar="CLASS", action="append", default=[], help="class by name"
    )
    group.add_argument(
        "--objective",
        choices=("logit", "margin", "difference", "unit", "direction", "error"),
        default="logit",
        help="the target's logit, by how much it exceeds the best of the others, or that of "
        "--other; the pre-activation of a hidden unit; the logits along a direction; or the error: "
        "how near the logits come to those of the target's code (default: logit)",
    )
    group.add_argument("--other", metavar="CLASS", help="the other class of a difference")
    group.add_argument("--layer", type=int, metavar="N", help="hidden layer of a unit, from 1")
    group.add_argument("--unit", type=int, metavar="N", help="number of a unit, from 0")
    group.add_argument(
        "--vector",
        metavar="NUMBERS|FILE",
        help="one number for each output, like 1,-0.5,0, or an .npy file: weights of a direction, "
        "or the outputs whose error is asked for",
    )
    group.add_argument(
        "--around",
        metavar="IMAGE",
        help="only images near this one: .png, .jpg, .npy, or the number of a test image of --data",
    )
    group.add_argument("--radius", type=float, help="how near, in units of the pixels")
    group.add_argument(
        "--norm",
        choices=("linf", "l2", "mahalanobis"),
        default="linf",
        help="linf: no pixel is further; l2: the Euclidean distance; mahalanobis: in standard "
        "deviations of the training images of --data, by default around their mean (default: linf)",
    )
    group.add_argument("--data", metavar="SOURCE", help="images, as for other commands")
    group.add_argument(
        "--seconds", type=float, default=60.0, help="for each target, after compiling (default: 60)"
    )
    group.add_argument(
        "--gap", type=float, default=0.05, help="(proven − found) / proven to stop at (0.05)"
    )
    group.add_argument("--seed", type=int, default=0, help="of the random starts")


def _certify(chosen: argparse.Namespace) -> None:
    from ..certification import verify
    from ..runtime.devices import computing
    from .console import Terminal

    check_outputs(chosen.out, chosen.figure)
    with computing(chosen.precision), Terminal() as terminal:
        opened = open_with_images(chosen, terminal.say)
        network = opened.network
        if chosen.verify is None:
            _search(chosen, opened, terminal)
            return
        space = network.space
        images = None if opened.data is None else opened.data.train_images
        found = verify(chosen.verify, network.model, network.params, images)
        if (found.claim.low, found.claim.high) != (space.low, space.high):
            raise JaxbqError(
                f"{chosen.verify}: is for pixels in [{found.claim.low:g}, {found.claim.high:g}], "
                f"the network's are in [{space.low:g}, {space.high:g}]"
            )
        terminal.say(f"{_asked(found, network.class_names)}: {found.sentence}")
        terminal.say(f"verified: every part of the set bounded anew, {found.leaves} in all")


def _search(chosen: argparse.Namespace, opened: "Opened", terminal: "Terminal") -> None:
    from ..certification import certify

    network = opened.network
    names = network.class_names
    targets = _targets(chosen, names)
    if chosen.out and len(targets) > 1:
        raise JaxbqError("--out takes the certificate of one class; give one --target")
    if not (0 <= chosen.seconds <= _MOST_SECONDS and 0 <= chosen.gap < 1):
        raise JaxbqError("--seconds must be at least 0, --gap at least 0 and below 1")
    ellipsoid = chosen.norm == "mahalanobis"
    if ellipsoid and opened.data is None:
        raise JaxbqError("--norm mahalanobis: is of the training images of which data? give --data")
    images = opened.data.train_images if ellipsoid and opened.data is not None else None
    vector = None if chosen.vector is None else _numbers(chosen.vector)
    other = None if chosen.other is None else find_class(chosen.other, names, "--other")
    around = None if chosen.around is None else _image(chosen, opened)
    sign = -1 if chosen.objective == "error" else 1
    made, rows = [], []
    for target in targets:
        begun = time.monotonic()
        found = certify(
            network.model,
            network.params,
            target,
            space=network.space,
            objective=chosen.objective,
            other=other,
            layer=chosen.layer,
            unit=chosen.unit,
            vector=vector,
            around=around,
            radius=chosen.radius,
            norm=chosen.norm,
            images=images,
            seconds=chosen.seconds,
            gap=chosen.gap,
            seed=read_seed(chosen.seed),
        )
        made.append(found)
        rows.append(
            [
                _named(found, names),
                f"{sign * found.found:.4f}",
                f"{found.proven if sign > 0 else max(-found.proven, 0.0):.4f}",
                f"{100 * found.gap:.2f} %" if found.found > 0 else "",
                str(found.leaves),
                f"{time.monotonic() - begun:.1f}",
            ]
        )
        terminal.say(f"{_asked(found, names)}: {found.sentence}")
    columns = ["target", "found", "proven", "gap", "parts", "seconds"]
    title = "largest value over the set" if sign > 0 else "smallest error over the set"
    terminal.table(f"{title}: found and proven", columns, rows)
    # Below 0 a share of the bound says nothing.
    if len(made) > 1 and all(found.found > 0 for found in made):
        terminal.say(f"mean gap {100 * sum(found.gap for found in made) / len(made):.2f} %")
    if chosen.out:
        made[0].save(chosen.out)
        terminal.say(f"saved {chosen.out}")
    if chosen.figure:
        _draw(made, network, Path(chosen.figure))
        terminal.say(f"saved {chosen.figure}")


def _draw(made: "list[Certificate]", network: "NetworkFile", file: Path) -> None:
    import numpy as np

    from ..report import image_grid, save_figure
    from ..report.images import ImageRow

    images = np.stack([found.image for found in made])
    outputs = np.asarray(network.model.apply(network.params, images))
    titles = [_named(found, network.class_names) for found in made]
    read = zip(outputs.argmax(1), (found.claim for found in made), strict=True)
    right = [claim.objective == "unit" or claim.target in (-1, top) for top, claim in read]
    row = ImageRow(f"largest {made[0].claim.objective} found", images, outputs, titles, right)
    save_figure(image_grid([row], network.space, network.class_names), file)


def _named(found: "Certificate", names: tuple[str, ...]) -> str:
    claim = found.claim
    if claim.objective == "unit":
        return f"unit {claim.target} of layer {claim.layer}"
    return names[claim.target] if claim.target >= 0 else "the vector"


def _asked(found: "Certificate", names: tuple[str, ...]) -> str:
    claim, name = found.claim, _named(found, names)
    if claim.objective == "difference":
        return f"logit of {name} − logit of {names[claim.other]}"
    shown = {"unit": "pre-activation of", "direction": "logits along"}
    what = shown.get(claim.objective, f"{claim.objective} of")
    return f"{what} {name}"


def _targets(chosen: argparse.Namespace, names: tuple[str, ...]) -> list[int | None]:
    """Read the classes that are asked for; what is of no class is asked once."""
    whole = chosen.objective in ("unit", "direction")
    if whole and chosen.target:
        raise JaxbqError(f"--target: a {chosen.objective} is of no class; leave it out")
    if whole or (chosen.vector is not None and not chosen.target):
        return [None]
    return [find_class(name, names) for name in chosen.target or names]


def _numbers(given: str) -> "np.ndarray":
    """Read one number for each output."""
    import numpy as np

    from ..runtime.archives import read_npy

    if given.endswith(".npy"):
        return read_npy(Path(given), _MOST_NUMBERS)
    try:
        return np.array([float(part) for part in given.split(",")])
    except ValueError:
        raise JaxbqError(
            f"--vector {given}: write numbers with commas, or name an .npy file"
        ) from None


def _image(chosen: argparse.Namespace, opened: "Opened") -> "np.ndarray":
    """Read the image to stay near."""
    import numpy as np

    from ..data.image_folder import read_picture
    from ..runtime.archives import read_npy

    space, name = opened.network.space, chosen.around
    if name.isdigit():
        if opened.data is None:
            raise JaxbqError(f"--around {name}: is a test image of which data? give --data")
        images = opened.data.test_images
        if int(name) >= len(images):
            raise JaxbqError(f"--around {name}: the data have test images 0 to {len(images) - 1}")
        return np.asarray(images[int(name)], np.float64)
    path = Path(name)
    if path.suffix.lower() == ".npy":
        read = read_npy(path, _MOST_NUMBERS)
        if read.dtype.kind not in "biuf" or read.size != space.pixels:
            raise JaxbqError(f"--around {name}: give an array of {space.pixels} numbers")
        return read.astype(np.float64).reshape(-1)
    if path.suffix.lower() not in _PICTURES:
        raise JaxbqError(f"--around {name}: give a .png, .jpg or .npy file, or a number and --data")
    picture = read_picture(path, grey=len(space.shape) == 2)
    if picture.shape != space.shape:
        sizes = ["×".join(map(str, shape)) for shape in (picture.shape, space.shape)]
        raise JaxbqError(f"--around {name}: is {sizes[0]}, the network takes {sizes[1]}")
    return space.low + picture.reshape(-1) / 255.0 * (space.high - space.low)
