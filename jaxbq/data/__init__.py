"""Images and labels: the data set, and the sources that it is read from."""

from .arrays import Arrays as Arrays
from .dataset import Dataset as Dataset
from .dataset import ImageSpace as ImageSpace
from .dataset import Reference as Reference
from .digits import Digits as Digits
from .images import Images as Images
from .rescaling import rescaled as rescaled
from .sources import USUAL_RANGES as USUAL_RANGES
from .sources import Idx as Idx
from .sources import Mnist as Mnist
from .sources import Mnist10k as Mnist10k
from .sources import Source as Source
from .sources import source_of as source_of
