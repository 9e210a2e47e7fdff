"""One registry for everything that is chosen by name: a name is a file name, its help the file's first line.

A component is one file that registers its class and its settings:

    # nlp_suite/backbones/lstm.py
    \"\"\"Long short-term memory, in one or both directions.\"\"\"
    @BACKBONES.register(LSTMSettings)
    class LSTMBackbone(RecurrentBackbone): ...

Listing names and help reads files but imports nothing; asking for a name imports that one file.
"""

import ast
import difflib
import importlib
from contextlib import contextmanager
from pathlib import Path


class UnknownNameError(KeyError, ValueError):
    """A name that no component has; the message suggests the nearest one."""

    def __str__(self):
        return self.args[0]


def unknown(kind: str, given: str, allowed) -> str:
    """The sentence for a name that does not exist: what was given, the nearest name, all names allowed."""
    allowed = list(allowed)
    near = difflib.get_close_matches(str(given), allowed, n=1, cutoff=0.5)
    hint = f": did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {given!r}{hint} (allowed: {', '.join(allowed) or 'none'})"


class Registry:
    """Names to classes of one kind, found as files of one package.

    Args:
        kind: what a component is called in messages and on the command line, such as `"backbone"`.
        package: dotted name of the package whose files are the components.

    Example:
        >>> BACKBONES.get("lstm")
        <class 'nlp_suite.backbones.lstm.LSTMBackbone'>
    """

    def __init__(self, kind: str, package: str):
        self.kind = kind
        self.package = package
        self._directory = Path(__file__).parent.joinpath(*package.split(".")[1:])
        self._registered: dict[str, tuple[type, type]] = {}

    def names(self) -> list[str]:
        """All names, sorted; reads the folder and imports nothing."""
        files = {p.stem for p in self._directory.glob("*.py") if not p.stem.startswith("_")}
        return sorted(files | set(self._registered))

    def help(self) -> dict[str, str]:
        """Name to the first line of the component's docstring; imports nothing."""
        return {name: self._first_line(name) for name in self.names()}

    def _first_line(self, name: str) -> str:
        path = self._directory / f"{name}.py"
        doc = (
            ast.get_docstring(ast.parse(path.read_text("utf-8")))
            if path.exists()
            else self._registered[name][0].__doc__
        )
        return (doc or "").strip().split("\n")[0]

    def register(self, settings: type, name: str | None = None):
        """Class decorator: makes the class known under its file's name (or `name`), with its settings model.

        Raises:
            ValueError: another class already has that name.
        """

        def decorate(cls):
            key = name or cls.__module__.rsplit(".", 1)[-1]
            taken = self._registered.get(key)
            if taken and (taken[0].__module__, taken[0].__qualname__) != (cls.__module__, cls.__qualname__):
                raise ValueError(f"{self.kind} {key!r} is already registered by {taken[0].__module__}")
            self._registered[key] = (cls, settings)
            return cls

        return decorate

    def _entry(self, name: str) -> tuple[type, type]:
        key = str(name).replace("-", "_")
        if key not in self._registered:
            if key not in self.names():
                raise UnknownNameError(unknown(self.kind, name, self.names()))
            importlib.import_module(f"{self.package}.{key}")
        return self._registered[key]

    def get(self, name: str) -> type:
        """The class called `name`. Raises `UnknownNameError` with the nearest name."""
        return self._entry(name)[0]

    def settings(self, name: str) -> type:
        """The settings model of the class called `name`."""
        return self._entry(name)[1]

    @contextmanager
    def temporary(self):
        """Within the context, registrations are undone at the end (for tests); not those of the package's own files."""
        before = dict(self._registered)
        try:
            yield self
        finally:  # a file that was imported meanwhile is not executed again
            own = {k: entry for k, entry in self._registered.items() if entry[0].__module__ == f"{self.package}.{k}"}
            self._registered = {**own, **before}


TASKS = Registry("task", "nlp_suite.tasks")
SOURCES = Registry("source", "nlp_suite.data.sources")
TOKENIZERS = Registry("tokenizer", "nlp_suite.text.tokenizers")
BACKBONES = Registry("backbone", "nlp_suite.backbones")
DECODERS = Registry("decoder", "nlp_suite.backbones.decoders")
ATTENTIONS = Registry("attention", "nlp_suite.layers.attentions")
SCHEDULES = Registry("schedule", "nlp_suite.training.schedules")
EXPORTERS = Registry("export format", "nlp_suite.export.formats")

KINDS = {
    "tasks": TASKS,
    "sources": SOURCES,
    "tokenizers": TOKENIZERS,
    "backbones": BACKBONES,
    "decoders": DECODERS,
    "attentions": ATTENTIONS,
    "schedules": SCHEDULES,
    "formats": EXPORTERS,
}
