"""Several processes that work on one thing: how they meet, talk, share and notice a loss.

Nothing here knows what they work on. Processes meet at an address (``meeting``), are joined by
jax.distributed (``joining``) and talk through its key-value store (``store``, ``channels``); they
share work by counters there (``tickets``) and listen for each other's heartbeat (``heartbeat``). A
``Member`` is what a process holds of all that.
"""

from .joining import Address as Address
from .joining import Place as Place
from .joining import found_place as found_place
from .joining import join as join
from .member import Member as Member
from .member import Peer as Peer
from .store import Inbox as Inbox
from .store import Message as Message
from .store import Outbox as Outbox
from .store import Store as Store
from .store import shared as shared
