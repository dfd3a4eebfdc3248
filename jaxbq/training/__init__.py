"""Training: losses, update rules, and the compiled loop."""

from .adversary import Adversary as Adversary
from .checkpoint import Checkpoint as Checkpoint
from .loop import Trained as Trained
from .loop import TrainingDivergedError as TrainingDivergedError
from .loop import accuracy as accuracy
from .loop import check_ends as check_ends
from .loop import train as train
from .many import train_many as train_many
from .many import trains_together as trains_together
from .metrics import EpochMetrics as EpochMetrics
from .robustness import Robustness as Robustness
from .robustness import robustness as robustness
from .rules import BookTraining as BookTraining
from .rules import Training as Training
from .rules import TrainingRule as TrainingRule
