"""One registry for everything that is chosen by name: a name is a module or package, its help the first line of its docstring.

A component is one file (or one folder) that registers its class and its settings:

    # nlp_suite/backbones/lstm.py
    \"\"\"Long short-term memory, in one or both directions.\"\"\"
    @BACKBONES.register(LSTMSettings)
    class LSTMBackbone(RecurrentBackbone): ...

Listing names and help reads files but imports nothing; asking for a name imports that one module. A module that registers
nothing is a helper and has no name. A component may lie outside this package too: a folder on the Python path that holds
`nlp_suite/tasks/mine.py`, without any `__init__.py`, adds the task `mine`. This is the only module that imports by a
computed name; `import_all` does so for others.
"""

import ast
import difflib
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from nlp_suite.errors import UnknownNameError

Component = TypeVar("Component", bound=Callable[..., Any])


def unknown(kind: str, name: object, allowed: Iterable[str]) -> str:
    """The sentence for a name that does not exist: what was given, the nearest name, all names allowed."""
    allowed = list(allowed)
    name = name if len(str(name)) <= 100 else f"{str(name)[:100]}…"
    near = difflib.get_close_matches(str(name), allowed, n=1, cutoff=0.5)
    hint = f": did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {name!r}{hint} (allowed: {', '.join(allowed) or 'none'})"


def folders_of(package: str) -> list[Path]:
    """Where a package of components lies: here, and in folders of the same name elsewhere on the Python path."""
    top, *parts = package.split(".")
    elsewhere = [Path(folder, top) for folder in sys.path if not Path(folder, top, "__init__.py").exists()]
    return [folder for root in [Path(__file__).parent, *elsewhere] if (folder := root.joinpath(*parts)).is_dir()]


def import_from(package: str, module: str) -> None:
    """Imports a module of a package of components, wherever on the Python path it lies."""
    parent = importlib.import_module(package)
    parent.__path__ = list(dict.fromkeys([*parent.__path__, *map(str, folders_of(package))]))
    importlib.import_module(f"{package}.{module}")


def is_installed(package: str) -> bool:
    """Whether a package could be imported."""
    return importlib.util.find_spec(package) is not None


def lazy_attribute(module: str, attribute: str) -> Any:
    """An attribute of a module that is imported now."""
    return getattr(importlib.import_module(module), attribute)


def import_all(package: str) -> None:
    """Imports every module of a package (not those of packages within it), so that what they register is known."""
    for module in pkgutil.iter_modules(map(str, folders_of(package))):
        import_from(package, module.name)


def missing_members(cls: type) -> list[str]:
    """What a class must define to be used: abstract methods, and class attributes that are declared without a value.

    Declared are the `ClassVar` annotations of its bases in this package.
    """
    members = {name for name in dir(cls) if getattr(getattr(cls, name, None), "__isabstractmethod__", False)}
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] == "nlp_suite":
            declared = inspect.get_annotations(base)
            members |= {n for n, kind in declared.items() if "ClassVar" in str(kind) and not hasattr(cls, n)}
    return sorted(members)


def _settings_import(path: Path) -> tuple[str, str] | None:
    """Module and name from which a component's file imports the settings that it registers; None if they are its own."""
    body = ast.parse(path.read_text("utf-8")).body
    imported = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in body
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
        for alias in node.names
    }
    decorators = [decorator for node in body if isinstance(node, ast.ClassDef) for decorator in node.decorator_list]
    for decorator in decorators:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith(".register") and decorator.args:
            return imported.get(ast.unparse(decorator.args[0]))
    return None


class Registry:
    """Names to classes of one kind, found as modules and packages of one package.

    Args:
        kind: what a component is called in messages and on the command line, such as `"backbone"`.
        package: dotted name of the package whose modules are the components.

    Example:
        >>> BACKBONES.get("lstm")
        <class 'nlp_suite.backbones.lstm.LSTMBackbone'>
    """

    def __init__(self, kind: str, package: str):
        self.kind = kind
        self.package = package
        self._registered: dict[str, tuple[Any, Any]] = {}

    def _files(self) -> dict[str, Path]:
        """Name → the file that registers it."""
        paths = [
            p for folder in folders_of(self.package) for p in (*folder.glob("[!_]*.py"), *folder.glob("*/__init__.py"))
        ]
        registers = re.compile(r"^@[A-Z_]+\.register\(", re.MULTILINE)
        named = ((path.parent.name if path.stem == "__init__" else path.stem, path) for path in paths)
        return {name: path for name, path in named if registers.search(path.read_text("utf-8"))}

    def names(self) -> list[str]:
        """All names, sorted; reads the folder and imports nothing."""
        return sorted(set(self._files()) | set(self._registered))

    def help(self) -> dict[str, str]:
        """Name to the first line of the component's docstring; imports nothing."""
        files = self._files()
        return {name: self._first_line(name, files.get(name)) for name in self.names()}

    def _first_line(self, name: str, path: Path | None) -> str:
        doc = ast.get_docstring(ast.parse(path.read_text("utf-8"))) if path else self._registered[name][0].__doc__
        return (doc or "").strip().split("\n")[0]

    def register(self, settings: type | None = None, name: str | None = None) -> Callable[[Component], Component]:
        """Class decorator: makes the class known under its module's name (or `name`), with its settings model.

        Raises:
            ValueError: another class already has that name.
            TypeError: the class lacks something of its contract; the message names it.
        """

        def decorate(cls: Component) -> Component:
            key = name or cls.__module__.rsplit(".", 1)[-1]
            if isinstance(cls, type) and (missing := missing_members(cls)):
                raise TypeError(f"{self.kind} {key!r} ({cls.__qualname__}) does not define: {', '.join(missing)}")
            taken = self._registered.get(key)
            if taken and (taken[0].__module__, taken[0].__qualname__) != (cls.__module__, cls.__qualname__):
                raise ValueError(f"{self.kind} {key!r} is already registered by {taken[0].__module__}")
            self._registered[key] = (cls, settings)
            return cls

        return decorate

    def _entry(self, name: str) -> tuple[Any, Any]:
        key = str(name).replace("-", "_")
        if key not in self._registered:
            self._file(name)
            import_from(self.package, key)
        return self._registered[key]

    def _file(self, name: str) -> Path:
        """The file that registers a name. Raises `UnknownNameError` with the nearest name."""
        file = self._files().get(str(name).replace("-", "_"))
        if file is None:
            raise UnknownNameError(unknown(self.kind, name, self.names()))
        return file

    def get(self, name: str) -> Any:
        """The class called `name`. Raises `UnknownNameError` with the nearest name."""
        return self._entry(name)[0]

    def classes(self) -> list[Any]:
        """Every class; but for one whose module is being imported at the moment, which is not known yet."""
        for name in self._files():
            import_from(self.package, name)
        return [cls for cls, _ in self._registered.values()]

    def settings(self, name: str) -> Any:
        """The settings model of the class called `name`.

        Where the class's file imports the model from another one, only that is imported: a config is checked without Keras.
        """
        if str(name).replace("-", "_") not in self._registered and (imported := _settings_import(self._file(name))):
            try:
                return lazy_attribute(*imported)
            except ModuleNotFoundError:  # beside a component that lies outside this package
                pass
        return self._entry(name)[1]

    @contextmanager
    def temporary(self) -> Iterator["Registry"]:
        """Within the context, registrations are undone at the end (for tests); not those of the package's own files."""
        before = dict(self._registered)
        try:
            yield self
        finally:  # a file that was imported meanwhile is not executed again
            of_files = {
                key: entry for key, entry in self._registered.items() if entry[0].__module__ == f"{self.package}.{key}"
            }
            self._registered = {**of_files, **before}


class VerbRegistry:
    """Verbs of the command line that belong to a task: decorated functions of `tasks/NAME/verbs.py` or `tasks/NAME.py`.

    Args:
        package: dotted name of the package of the tasks.

    Example:
        >>> VERBS.help()["generate"]
        'Let a language model continue a prompt.'
    """

    def __init__(self, package: str):
        self._tasks = Registry("task", package)
        self._package = package
        self._registered: dict[str, Callable[..., Any]] = {}

    def _locations(self) -> dict[str, tuple[str, str]]:
        """Verb → the module that has it and the first line of its help; reads files and imports nothing."""
        locations = {name: (verb.__module__, verb.__doc__ or "") for name, verb in self._registered.items()}
        for task, path in self._tasks._files().items():
            path, module = (path.with_name("verbs.py"), f"{task}.verbs") if path.stem == "__init__" else (path, task)
            if not path.exists():
                continue
            for node in ast.parse(path.read_text("utf-8")).body:
                if isinstance(node, ast.FunctionDef) and "VERBS.register()" in map(ast.unparse, node.decorator_list):
                    locations[node.name] = (f"{self._package}.{module}", ast.get_docstring(node) or "")
        return {name: (module, doc.strip().split("\n")[0]) for name, (module, doc) in locations.items()}

    def help(self) -> dict[str, str]:
        """Verb to the first line of its help; imports nothing."""
        return {name: doc for name, (_, doc) in sorted(self._locations().items())}

    def register(self) -> Callable[[Component], Component]:
        """Decorator of a function whose parameters are Typer's and whose docstring is the help.

        Raises:
            ValueError: another module has a verb of that name.
        """

        def decorate(verb: Component) -> Component:
            taken = self._registered.get(verb.__name__)
            if taken and taken.__module__ != verb.__module__:
                raise ValueError(f"verb {verb.__name__!r} is already registered by {taken.__module__}")
            self._registered[verb.__name__] = verb
            return verb

        return decorate

    def get(self, name: str) -> Callable[..., Any]:
        """The function of a verb; imports its module."""
        if name not in self._registered:
            import_from(*self._locations()[name][0].rsplit(".", 1))
        return self._registered[name]


TASKS = Registry("task", "nlp_suite.tasks")
VERBS = VerbRegistry("nlp_suite.tasks")
CORPUS_KINDS = Registry("corpus kind", "nlp_suite.data.kinds")
SOURCES = Registry("source", "nlp_suite.data.sources")
TOKENIZERS = Registry("tokenizer", "nlp_suite.text.tokenizers")
BACKBONES = Registry("backbone", "nlp_suite.backbones")
DECODERS = Registry("decoder", "nlp_suite.backbones.decoders")
MODEL_FAMILIES = Registry("model_type", "nlp_suite.pretrained.families")
ATTENTIONS = Registry("attention", "nlp_suite.layers.attentions")
SCHEDULES = Registry("schedule", "nlp_suite.training.schedules")
DISTRIBUTIONS = Registry("distribution", "nlp_suite.training.distributions")
TRACKERS = Registry("tracker", "nlp_suite.training.trackers")
EXPORTERS = Registry("export format", "nlp_suite.export.formats")

COMPONENTS: Mapping[str, Registry] = {  # what `nlp-suite list` shows
    "tasks": TASKS,
    "sources": SOURCES,
    "tokenizers": TOKENIZERS,
    "backbones": BACKBONES,
    "decoders": DECODERS,
    "attentions": ATTENTIONS,
    "schedules": SCHEDULES,
    "distributions": DISTRIBUTIONS,
    "trackers": TRACKERS,
    "formats": EXPORTERS,
}
