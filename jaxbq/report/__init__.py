"""From a run folder to pictures; reads files, never computes a result."""

from .build import Summary as Summary
from .build import build as build
from .figures import image_grid as image_grid
from .figures import plot as plot
from .figures import training_curve as training_curve
from .sensitivity_figure import sensitivity_figure as sensitivity_figure
from .trace_figure import trace_figure as trace_figure
