"""Scores of returned images."""

from .correlation import correlation as correlation
from .fidelity import intended_classes as intended_classes
from .fidelity import read_as_asked as read_as_asked
from .judges import Judge as Judge
from .judges import NoiseAnswers as NoiseAnswers
from .judges import given_judge as given_judge
from .judges import on_noise as on_noise
from .judges import trained_judges as trained_judges
from .naturalness import Naturalness as Naturalness
from .naturalness import NaturalnessScale as NaturalnessScale
from .neighbours import Neighbours as Neighbours
from .neighbours import nearest as nearest
from .panel import Panel as Panel
from .scores import Scores as Scores
from .scores import score as score
from .smoothness import high_frequency as high_frequency
from .smoothness import total_variation as total_variation
from .spread import Spread as Spread
from .spread import spread as spread
from .ssim import structural_similarity as structural_similarity
