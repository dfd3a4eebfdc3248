"""The picture of this project: what is faithful, what is readable, what looks natural."""

from .figure import plane_figure as plane_figure
from .points import Estimate as Estimate
from .points import PlanePoint as PlanePoint
