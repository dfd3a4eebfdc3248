class JaxbqError(Exception):
    """A mistake that the user can mend: one line that says what is wrong and what to do."""
