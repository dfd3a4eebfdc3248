"""A page to play with: one network, every method, every layer, in the browser, offline."""

from .networks import demo_network as demo_network
from .page import make_page as make_page
from .page import play as play
