"""Images and labels: the data set, and the sources that it is read from."""

from .dataset import Dataset as Dataset
from .dataset import ImageSpace as ImageSpace
from .dataset import Reference as Reference
from .sources import Idx as Idx
from .sources import Mnist as Mnist
from .sources import Mnist10k as Mnist10k
from .sources import Source as Source
