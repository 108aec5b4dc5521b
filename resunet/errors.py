"""The one exception that carries a sentence for the person in front of the screen."""


class InputError(ValueError):
    """Something given from outside cannot be used; the message says what is wrong and what would be right.

    The command line prints it and exits with status 2; the app shows it in place of the result.
    """


class BusyError(InputError):
    """Another process is writing there."""
