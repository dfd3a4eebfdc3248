"""Training: losses, update rules, optimisers, the compiled loop, and the autoencoder."""

from .adversary import Adversary as Adversary
from .autoencoder import Autoencoder as Autoencoder
from .autoencoder import CodeSpace as CodeSpace
from .autoencoder import Reconstruction as Reconstruction
from .autoencoder import fit as fit
from .autoencoder import reconstructed as reconstructed
from .autoencoder import reconstruction as reconstruction
from .autoencoder import shares as shares
from .checkpoint import Checkpoint as Checkpoint
from .loop import Robustness as Robustness
from .loop import Trained as Trained
from .loop import TrainingDivergedError as TrainingDivergedError
from .loop import accuracy as accuracy
from .loop import check_ends as check_ends
from .loop import robustness as robustness
from .loop import train as train
from .losses import EpochMetrics as EpochMetrics
from .many import train_many as train_many
from .many import trains_together as trains_together
from .rules import BookTraining as BookTraining
from .rules import Training as Training
from .rules import TrainingRule as TrainingRule
