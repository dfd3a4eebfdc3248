"""Where processes meet."""

import ipaddress
import socket
from dataclasses import dataclass

from ...errors import JaxbqError


@dataclass(frozen=True)
class Address:
    """A host and a port.

    Args:
        host: name or number, without the brackets of an IPv6 number.
        port: of TCP.
    """

    host: str
    port: int

    @classmethod
    def read(cls, text: str) -> "Address":
        """Read ``HOST:PORT``.

        Raises:
            JaxbqError: it is not of that form.
        """
        host, colon, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        # Of an IPv6 number without brackets, the last part would be taken for a port.
        bare = ":" in host and not text.startswith("[")
        if not colon or not host or bare or not port.isascii() or not port.isdecimal():
            raise JaxbqError(f"--coordinator {text}: write HOST:PORT, like 10.0.0.1:29500")
        if not 0 < int(port) < 2**16:
            raise JaxbqError(f"--coordinator {text}: a port is a number from 1 to 65535")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def listening(self) -> "Address":
        """Return what a server at this address is to listen on: as little as serves.

        The loopback alone where that is named, an interface alone where its number is; else, for
        a name, all interfaces, since a machine may know its own name by another number.
        """
        if self.host == "localhost":
            return Address("127.0.0.1", self.port)
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return Address("::", self.port) if socket.has_ipv6 else Address("0.0.0.0", self.port)
        return self
