"""From a config to a run folder."""

from .cells import Listener as Listener
from .config import Experiment as Experiment
from .config import NetworkConfig as NetworkConfig
from .config import Scoring as Scoring
from .folder import RunFolder as RunFolder
from .lock import locked as locked
from .reading import load_config as load_config
from .reading import load_configs as load_configs
from .runner import run as run
from .trainings import train_network as train_network
