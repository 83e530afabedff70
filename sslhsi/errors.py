"""The one exception for bad input."""


class InputError(ValueError):
    """Something the user gave can't be used.

    The message is one sentence that names the file, the key or the value and the way out; programs
    print it without a traceback and exit with code 2.
    """
