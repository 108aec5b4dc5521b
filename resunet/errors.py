"""The one exception that carries a sentence for the person in front of the screen."""

LONGEST = 400  # characters


class InputError(ValueError):
    """Something given from outside cannot be used; the message says what is wrong and what would be right.

    The command line prints it and exits with status 2; the app shows it in place of the result. Whatever names it quotes, it
    stays one line of printable characters, and short enough to read.
    """

    def __init__(self, sentence: str) -> None:
        line = "".join(character if character.isprintable() else " " for character in sentence)
        line = " ".join(line.split())
        super().__init__(line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}")


class BusyError(InputError):
    """Another process is writing there."""


class NoContrastError(InputError):
    """A slice can be read, but shows nothing that could be judged."""
