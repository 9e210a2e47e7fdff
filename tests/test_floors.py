"""The house keeps its shape: imports run downwards, names are computed in one place, files stay short."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "nlp_suite"
FLOORS = (  # each imports only what stands after it
    "cli",
    "sklearn",
    "serving",
    "tasks",
    "export",
    "tuning",
    "training",
    "evaluation",
    "decoding",
    "backbones",
    "layers",
    "data",
    "text",
    "settings",
    "pretrained",
    "config",
    "config_search",
    "config_base",
    "config_values",
    "config_files",
    "config_yaml",
    "task",
    "predictor",
    "backend",
    "beam",
    "registry",
    "progress",
    "native_output",
    "files",
    "errors",
    "_version",
)
ANYONE = {"__init__", "__main__"}  # the package's lazy front and `python -m nlp_suite`
SCRIPTS = {"fresh_process.py", "tfds_download.py"}  # run in a process of their own, where the front is all they know
LONGEST = 400  # lines of a file
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name not in SCRIPTS)
NAMES = [str(path.relative_to(ROOT)) for path in MODULES]


def floor_of(parts):
    return parts[0].removesuffix(".py")


def runtime_nodes(tree):
    """All nodes but those that only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node = ast.Module(node.orelse, [])
        yield node
        yield from runtime_nodes(node)


def imports(path):
    """Dotted names within the package that a file imports, wherever in it, with their line."""
    for node in runtime_nodes(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "nlp_suite":
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((a.name, node.lineno) for a in node.names if a.name.split(".")[0] == "nlp_suite")


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_imports_run_downwards(path):
    floor = floor_of(path.relative_to(PACKAGE).parts)
    if floor in ANYONE:
        return
    height = FLOORS.index(floor)
    upwards = []
    for name, line in imports(path):
        target = name.split(".")[1] if "." in name else "__init__"
        target = target if target in FLOORS else "__init__"  # a name of the package's front
        if target == "__init__" or FLOORS.index(target) < height:
            upwards.append(f"line {line}: {name}")
    assert not upwards, f"{floor} imports what stands above it: {'; '.join(upwards)}"


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_only_the_registry_imports_by_a_computed_name(path):
    if path == PACKAGE / "registry.py":
        return
    calls = [
        ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)
    ]
    dynamic = [call for call in calls if call.split(".")[-1] in ("import_module", "__import__", "find_spec")]
    assert not dynamic


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_no_private_name_crosses_a_file(path):
    private = [name for name, _ in imports(path) if name.rsplit(".", 1)[1].startswith("_")]
    assert [name for name in private if not name.endswith(("__version__", "._version"))] == []


def test_helpers_need_no_underscore():
    hidden = {path.name for path in MODULES if path.name.startswith("_")}
    assert hidden <= {"__init__.py", "__main__.py", "_version.py"}


def test_no_file_is_long():
    sources = [p for folder in ("nlp_suite", "pipelines", "tests") for p in (ROOT / folder).rglob("*") if p.is_file()]
    code = [path for path in sources if path.suffix in (".py", ".js", ".css", ".html")]
    long = {str(p.relative_to(ROOT)): n for p in code if (n := len(p.read_text("utf-8").splitlines())) > LONGEST}
    assert long == {}


def test_every_floor_is_there():
    there = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()} - ANYONE
    assert there == set(FLOORS)
