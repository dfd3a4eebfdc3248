"""The key-value store that processes talk through: what is asked of one, and that of JAX."""

from typing import Any, Protocol, runtime_checkable

from ...errors import JaxbqError

_NEEDED = (
    "blocking_key_value_get_bytes",
    "key_value_try_get_bytes",
    "key_value_set_bytes",
    "key_value_delete",
    "key_value_increment",
    "key_value_dir_get_bytes",
)


@runtime_checkable
class Store(Protocol):
    """Bytes by key, seen by all processes at once."""

    def set(self, key: str, value: bytes) -> None:
        """Set a value, whether there was one or not."""
        ...

    def claim(self, key: str, value: bytes) -> bool:
        """Set a value if there is none, and tell whether there was none."""
        ...

    def get(self, key: str, seconds: float = 0.0) -> bytes | None:
        """Get a value, waiting so long for one; None if there is none."""
        ...

    def remove(self, key: str) -> None:
        """Remove a value, if there is one."""
        ...

    def add(self, key: str, number: int) -> int:
        """Add to a counter, which begins at 0, and get the sum: no two processes the same."""
        ...

    def under(self, prefix: str) -> dict[str, bytes]:
        """Get all values whose keys begin with ``prefix``, which ends with a slash."""
        ...


class JaxStore:
    """The store of jax.distributed, which lives where its coordinator does.

    Its client is no public part of JAX, though Orbax and others use it; only here is it touched.

    Args:
        client: of ``jax.distributed``.
    """

    def __init__(self, client: Any) -> None:
        from jax.errors import JaxRuntimeError

        missing = [name for name in _NEEDED if not hasattr(client, name)]
        if missing:
            raise JaxbqError(
                f"jax.distributed of this JAX has no {missing[0]}; install a newer one: "
                "pip install -U jax"
            )
        self._client, self._fault = client, JaxRuntimeError

    def set(self, key: str, value: bytes) -> None:
        """Set a value, whether there was one or not."""
        self._client.key_value_set_bytes(key, value, allow_overwrite=True)

    def claim(self, key: str, value: bytes) -> bool:
        """Set a value if there is none, and tell whether there was none."""
        try:
            self._client.key_value_set_bytes(key, value)
        except self._fault as fault:
            self._only("ALREADY_EXISTS", fault)
            return False
        return True

    def get(self, key: str, seconds: float = 0.0) -> bytes | None:
        """Get a value, waiting so long for one; None if there is none."""
        try:
            if seconds > 0:
                return self._client.blocking_key_value_get_bytes(key, max(1, int(seconds * 1000)))
            return self._client.key_value_try_get_bytes(key)
        except self._fault as fault:
            self._only("DEADLINE_EXCEEDED" if seconds > 0 else "NOT_FOUND", fault)
            return None

    def remove(self, key: str) -> None:
        """Remove a value, if there is one."""
        self._client.key_value_delete(key)

    def add(self, key: str, number: int) -> int:
        """Add to a counter, which begins at 0, and get the sum: no two processes the same."""
        return self._client.key_value_increment(key, number)

    def under(self, prefix: str) -> dict[str, bytes]:
        """Get all values whose keys begin with ``prefix``, which ends with a slash."""
        return dict(self._client.key_value_dir_get_bytes(prefix))

    @staticmethod
    def _only(expected: str, fault: Exception) -> None:
        if not str(fault).startswith(expected):
            raise fault
