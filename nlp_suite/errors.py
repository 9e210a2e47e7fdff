"""The errors that a user can mend, all under one base; any other exception is a bug of ours."""


class NlpSuiteError(Exception):
    """Base of every error that a user can mend; the message says what was given and what is allowed.

    The command line prints these (and `OSError`) in one line. Whatever else reaches it is shown with its traceback.

    Example:
        >>> try:
        ...     nlp_suite.load_experiment("mine.yaml")
        ... except nlp_suite.NlpSuiteError as error:
        ...     print(error)
    """


class UnknownNameError(NlpSuiteError, KeyError, ValueError):
    """A name that no component has; the message suggests the nearest one."""

    def __str__(self) -> str:
        return str(self.args[0])


class ConfigError(NlpSuiteError, ValueError):
    """A config that cannot be used; the message names the key, what was given and what is allowed."""


class DataError(NlpSuiteError, ValueError):
    """Data that cannot be used; the message names the file, the line, what was given and what is allowed."""


class TextError(NlpSuiteError, ValueError):
    """Text settings or texts that a text layer cannot work with."""


class RunError(NlpSuiteError, ValueError):
    """A run folder that cannot be used as asked; the message says why."""


class TrainingError(NlpSuiteError, RuntimeError):
    """A training that cannot continue; the message says where it stopped and what to try."""


class ExportError(NlpSuiteError, RuntimeError):
    """An export that was refused or failed, or a path that cannot be opened; nothing was left behind."""


class DamagedFileError(NlpSuiteError, ValueError):
    """A file that this package wrote and something else changed; the message names file, damage and remedy."""


class RequestError(NlpSuiteError, ValueError):
    """A request that cannot be answered as asked; the message names what was given and what is allowed."""


class UsageError(NlpSuiteError, ValueError):
    """Options of the command line, or arguments of a function, that do not go together."""
