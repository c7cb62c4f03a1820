"""Errors that a user can act on.

Every package raises `UserError` for bad input, missing tools and unusable files; the command lines print its
message as one line and exit with status 2. Anything else that escapes is a bug and keeps its traceback.
"""


class UserError(Exception):
    """Bad input or environment; the message says what is wrong and what to do."""
