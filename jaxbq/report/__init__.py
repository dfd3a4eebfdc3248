"""From a run folder to pictures, tables and a page; reads files, never computes a result."""

from .build import build as build
from .comparison import compare_runs as compare_runs
from .curve import CurvePoint as CurvePoint
from .curve import curve_figure as curve_figure
from .figures import image_grid as image_grid
from .figures import plot as plot
from .figures import training_curve as training_curve
from .paths import ANIMATIONS as ANIMATIONS
from .paths import default_path as default_path
from .paths import path_strip as path_strip
from .paths import save_animation as save_animation
from .plane import PlanePoint as PlanePoint
from .plane import plane_figure as plane_figure
from .sensitivity_figure import sensitivity_figure as sensitivity_figure
from .side_by_side import draw_side_by_side as draw_side_by_side
from .style import Style as Style
from .style import save_all as save_all
from .summary import Summary as Summary
from .tables import summarise as summarise
from .tables import write_tables as write_tables
from .trace_figure import trace_figure as trace_figure
