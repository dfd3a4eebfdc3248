"""Images and labels: the data set, and the sources that it is read from."""

from .arrays import Arrays as Arrays
from .arrays import Digits as Digits
from .dataset import Dataset as Dataset
from .dataset import ImageSpace as ImageSpace
from .dataset import Reference as Reference
from .dataset import rescaled as rescaled
from .grids import Grid as Grid
from .grids import grid_of as grid_of
from .image_folder import Images as Images
from .sources import Idx as Idx
from .sources import Mnist as Mnist
from .sources import Mnist10k as Mnist10k
from .sources import Source as Source
from .sources import load_named as load_named
from .sources import source_of as source_of
