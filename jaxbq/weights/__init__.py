"""Networks in files."""

from .native import NetworkFile as NetworkFile
from .native import load_network as load_network
from .native import save_network as save_network
