"""Networks in files, jaxbq's own and other libraries'."""

from .chains import Orientation as Orientation
from .found import Found as Found
from .found import to_network as to_network
from .importing import AssumptionWarning as AssumptionWarning
from .importing import import_network as import_network
from .importing import open_network as open_network
from .importing import read_foreign as read_foreign
from .native import NetworkFile as NetworkFile
from .native import describe_network as describe_network
from .native import is_native as is_native
from .native import load_network as load_network
from .native import load_parameters as load_parameters
from .native import save_network as save_network
