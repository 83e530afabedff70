"""The one exception for bad input."""

from __future__ import annotations

# A name out of a damaged file can be a megabyte of bytes.
LONGEST = 2000


class InputError(ValueError):
    """Something the user gave can't be used.

    The message is one sentence that names the file, the key or the value and the way out; programs
    print it without a traceback and exit with code 2. It is kept to one line of printable letters.
    """

    def __init__(self, message: object = "") -> None:
        line = "".join(letter if letter.isprintable() else " " for letter in str(message))
        super().__init__(line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}")


def reason_of(error: BaseException) -> str:
    r"""What an error of another library says, in one line: its first, or its kind where it says nothing.

    Examples:
        >>> reason_of(ValueError("no such tensor\nin a file of 300 lines")), reason_of(AssertionError())
        ('no such tensor', 'AssertionError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]
