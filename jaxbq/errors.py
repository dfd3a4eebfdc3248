class JaxbqError(Exception):
    """A mistake that the user can mend: one line that says what is wrong and what to do."""


class NonFiniteError(JaxbqError):
    """Numbers overflowed or became undefined in a computation that cannot go on."""
