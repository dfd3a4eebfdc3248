"""The small digits that come with scikit-learn."""

from typing import Literal

from ..errors import JaxbqError
from ..options import check, options
from .dataset import Dataset
from .splitting import Seed, Share


@options
class Digits:
    """scikit-learn's 1,797 digits of 8 × 8 pixels, values 0 to 16 brought to [0, 1].

    Source: E. Alpaydin and C. Kaynak, "Optical recognition of handwritten digits", UCI, 1998.

    Args:
        test_share: share of every class that is tested with.
        split_seed: which ones they are depends on it alone.
        book_scaling: pixels as x·0.99 + 0.01, the book's input scaling.
    """

    kind: Literal["digits"] = "digits"
    test_share: Share = 0.2
    split_seed: Seed = 0
    book_scaling: bool = False

    def load(self) -> Dataset:
        """Take the images from scikit-learn.

        Raises:
            JaxbqError: it is not installed.
        """
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise JaxbqError(
                "the digits are scikit-learn's, which is not installed: "
                "pip install 'jaxbq[sklearn]'"
            ) from None
        source, found = check(self), load_digits()
        return Dataset.from_arrays(
            found.images / 16,
            found.target,
            pixel_range=(0.0, 1.0),
            test_share=source.test_share,
            split_seed=source.split_seed,
            book_scaling=source.book_scaling,
        )
