"""Scores of returned images."""

from .abstaining import abstaining_judges as abstaining_judges
from .abstaining import trained_judges as trained_judges
from .judges import Judge as Judge
from .judges import NoiseAnswers as NoiseAnswers
from .judges import given_judge as given_judge
from .judges import on_noise as on_noise
from .naturalness import Naturalness as Naturalness
from .naturalness import NaturalnessScale as NaturalnessScale
from .naturalness import Neighbours as Neighbours
from .naturalness import high_frequency as high_frequency
from .naturalness import nearest as nearest
from .naturalness import total_variation as total_variation
from .panel import Panel as Panel
from .scores import Scores as Scores
from .scores import intended_classes as intended_classes
from .scores import read_as_asked as read_as_asked
from .scores import score as score
from .scores import score_together as score_together
from .similarity import Spread as Spread
from .similarity import correlation as correlation
from .similarity import spread as spread
from .similarity import structural_similarity as structural_similarity
