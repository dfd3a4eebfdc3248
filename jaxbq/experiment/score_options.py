"""What images are scored with: judges, a panel, a scale; made from the data, once for them."""

from typing import Annotated, Any

import jax
import numpy as np
from annotated_types import Gt

from ..data import Dataset
from ..errors import JaxbqError
from ..evaluation import Judge, NaturalnessScale, Panel, given_judge, trained_judges
from ..network.files import NetworkFile
from ..options import options
from ..training import Autoencoder, reconstructed
from .network_options import FileNetwork


@options
class Scoring:
    """What images are scored by, beside fidelity and distances, which are always measured.

    ``scores = "quick"`` is short for none of it.

    Args:
        judges: let classifiers that never saw the network read every image. They are trained once
            for a data set.
        transfer: ask independently trained networks; likewise.
        autoencoder: measure what an autoencoder, trained on the images alone, does not give back;
            likewise.
        components: principal components of the training images, outside of which lies the residual.
        network: file of a network of your own that reads every image too, as one more judge.
    """

    judges: bool = True
    transfer: bool = True
    autoencoder: bool = True
    components: Annotated[int, Gt(0)] = 50
    network: str | None = None

    def given(self, data: Dataset) -> NetworkFile | None:
        """Read the network that was given.

        Raises:
            JaxbqError: it cannot be read, or does not fit the images.
        """
        if self.network is None:
            return None
        network = FileNetwork(file=self.network).open(data)
        if network.space != data.space:
            raise JaxbqError(
                f"scores.network {self.network}: was trained on pixels in "
                f"[{network.space.low:g}, {network.space.high:g}], these images are in "
                f"[{data.space.low:g}, {data.space.high:g}]; give one trained on such images"
            )
        return network

    def check(self, data: Dataset) -> None:
        """Refuse, before anything is computed, what images cannot be scored by.

        Raises:
            JaxbqError: images have too many pixels, or as :meth:`given`.
        """
        self.given(data)
        # Naturalness needs a covariance, and makes it once.
        _ = data.reference.moments

    def judges_of(self, data: Dataset) -> tuple[Judge, ...]:
        """Make the judges.

        Raises:
            JaxbqError: as :meth:`given`.
        """
        judges = trained_judges(data) if self.judges else ()
        network = self.given(data)
        return judges if network is None else (*judges, given_judge(network, data))

    def panel(self, data: Dataset) -> Panel | None:
        """Make the networks that an answer is to hold for too."""
        return Panel.trained_on(data) if self.transfer else None

    def scale(self, data: Dataset) -> NaturalnessScale:
        """Make the scale of naturalness."""
        key = ("naturalness", self.components, self.autoencoder)

        def make() -> NaturalnessScale:
            reconstruct = _reconstruction(data) if self.autoencoder else None
            return NaturalnessScale(data, autoencoder=reconstruct, components=self.components)

        scale: NaturalnessScale = data.once(key, make)
        return scale


def expand_scores(given: Any) -> Any:
    """Expand the shorthand of a section ``scores``."""
    if not isinstance(given, str):
        return given
    if given not in ("quick", "full"):
        raise ValueError('scores is a table, or "quick", or "full"')
    off = ("judges", "transfer", "autoencoder")
    return dict.fromkeys(off, False) if given == "quick" else {}


def _reconstruction(data: Dataset) -> Any:
    """Encode and decode by the usual autoencoder, in float32 whatever is computed in."""
    autoencoder = Autoencoder(code=min(Autoencoder().code, data.space.pixels))
    with jax.enable_x64(False):
        space = autoencoder.trained(data.reference, "float32")

    def reconstruct(images: np.ndarray) -> np.ndarray:
        with jax.enable_x64(False):
            return reconstructed(autoencoder, space, np.asarray(images, np.float32))

    return reconstruct
