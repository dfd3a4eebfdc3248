"""From a finished run to pictures, tables and a page; never computes a result."""

from .build import build as build
from .comparison import compare_runs as compare_runs
from .comparison_files import draw_side_by_side as draw_side_by_side
from .curves import CurvePoint as CurvePoint
from .curves import curve_figure as curve_figure
from .curves import training_curve as training_curve
from .images import image_grid as image_grid
from .images import plot as plot
from .paths import ANIMATIONS as ANIMATIONS
from .paths import default_path as default_path
from .paths import path_strip as path_strip
from .paths import save_animation as save_animation
from .plane import PlanePoint as PlanePoint
from .plane import plane_figure as plane_figure
from .style import Style as Style
from .style import save_all as save_all
from .style import save_figure as save_figure
from .tables import write_tables as write_tables
from .trace_figures import sensitivity_figure as sensitivity_figure
from .trace_figures import trace_figure as trace_figure
