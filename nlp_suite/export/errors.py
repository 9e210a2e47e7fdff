"""The one error of this room."""


class ExportError(RuntimeError):
    """An export that was refused or failed, or a path that cannot be opened; nothing was left behind."""
