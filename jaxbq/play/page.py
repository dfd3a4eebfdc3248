"""The page as one HTML file, and as an object that a notebook shows."""

import base64
import hashlib
import html
import io
import json
from dataclasses import dataclass
from importlib import resources

import jinja2
import numpy as np
from PIL import Image

from ..data import Dataset, ImageSpace
from ..errors import JaxbqError
from ..network.files import NetworkFile
from ..network.mlp import MLP, Params
from .networks import controls, fitting_digits
from .payload import check_size, payload, prior

_WEB = resources.files(__package__) / "web"
# What uses another comes after it; together they are one module.
_SCRIPTS = ("maths", "iterate", "preimage", "state", "draw", "layers", "words", "page")


@dataclass(frozen=True)
class Page:
    """One HTML file, its whole text, that needs no other; a notebook shows it in a frame."""

    text: str

    def _repr_html_(self) -> str:
        """Show the page in a frame that reaches nothing outside it."""
        return (
            f'<iframe srcdoc="{html.escape(self.text)}" sandbox="allow-scripts" '
            'title="jaxbq play" width="100%" height="900" style="border:0"></iframe>'
        )


def play(
    model: MLP,
    params: Params,
    data: Dataset | None = None,
    *,
    space: ImageSpace | None = None,
) -> Page:
    """Make a page to play with a network: move the target, watch every layer.

    Args:
        model: the network; it must be an MLP.
        params: its parameters.
        data: training images and examples; by default the embedded digits, where they fit.
        space: shape of its images and their range; by default the data's, else square in [0, 1].
    """
    check_size(model, params)
    pixels, outputs = model.check(params).sizes[0], model.sizes[-1]
    side = round(pixels**0.5)
    square = ImageSpace((side, side) if side * side == pixels else (1, pixels))
    space = space or (data.space if data else square)
    names = data.class_names if data else tuple(map(str, range(outputs)))
    if (space.pixels, len(names)) != (pixels, outputs) or (data and data.space != space):
        raise JaxbqError(
            f"{pixels} inputs and {outputs} outputs do not fit images of {space.pixels} pixels "
            f"with {len(names)} class names"
        )
    network = NetworkFile(model, params, space, names)
    digits = fitting_digits(network) if data is None else None
    return make_page(network, data or digits, data_name="mnist-10k" if digits else "")


def make_page(
    network: NetworkFile,
    data: Dataset | None,
    others: dict[str, Params] | None = None,
    *,
    title: str = "a network",
    source: str = "network.safetensors",
    data_name: str = "",
) -> Page:
    """Make the page of a network and of its controls. Only its own script and style may run.

    Args:
        network: with its image space and class names.
        data: training images and examples in its range; None for none.
        others: parameters of its controls, by name; by default they are made.
        title: what to call it.
        source: the network as `jaxbq invert` takes it, with what its file leaves unsaid.
        data_name: the data set as ``--data`` takes it; empty for none.
    """
    check_size(network.model, network.params)
    others, missing = controls(network, data) if others is None else (others, "")
    basis, lost = prior(data)
    given = payload(network, others, data) | {"title": title, "source": source, "prior": basis}
    given |= {"dataName": data_name, "notes": f"{missing} {lost}".strip()}
    script = "\n".join((_WEB / f"{name}.js").read_text("utf-8") for name in _SCRIPTS)
    style, template = ((_WEB / name).read_text("utf-8") for name in ("style.css", "play.html.j2"))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    text = environment.from_string(template).render(
        title=title,
        sizes="-".join(map(str, network.model.sizes)),
        script=script,
        style=style,
        hash_of=_hash,
        still=_still(network.params, given["shape"]),
        # No text in the data can end the element that holds it.
        data=json.dumps(given, separators=(",", ":")).replace("<", "\\u003c"),
    )
    return Page(text)


def _still(params: Params, shape: tuple[int, ...]) -> str:
    """Draw the first class's weights, carried down to the pixels, for browsers without scripts."""
    image = np.eye(params[-1].weight.shape[1])[0]
    for layer in reversed(params):
        image = np.asarray(layer.weight, np.float64) @ (image - image.mean())
    share = (image - image.min()) / max(np.ptp(image), 1e-12)
    grey, file = np.uint8(255 * share.reshape(shape).mean(axis=2)), io.BytesIO()
    Image.fromarray(grey).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def _hash(content: str) -> str:
    """Name a script or style as a content security policy does, which lets no other in."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode('ascii')}"
