"""The READMEs: links, files, names, commands and keys that they mention exist, and their examples run."""

import importlib
import re
import shlex
import sqlite3
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from nlp_suite.config import ChosenByName, Experiment
from nlp_suite.registry import BACKBONES, COMPONENTS, EXPORTERS, SOURCES, TASKS, Registry
from nlp_suite.task import Task

ROOT = Path(__file__).parents[1]
READMES = sorted(
    p for p in ROOT.rglob("README.md") if not any(part.startswith(".") for part in p.parts[len(ROOT.parts) :])
)
COMMENTED = [*sorted((ROOT / "configs").glob("*.yaml")), *sorted((ROOT / "configs/serving").glob("*.*"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")


def name(path):
    return str(path.relative_to(ROOT))


readmes = pytest.mark.parametrize("readme", READMES, ids=name)


def blocks(readme, language):
    """The code blocks in a language."""
    return [code for kind, code in FENCE.findall(readme.read_text("utf-8")) if kind == language]


def prose(readme):
    """What is outside code blocks."""
    return FENCE.sub("", readme.read_text("utf-8"))


def spans(readme):
    """What stands in backticks."""
    return SPAN.findall(prose(readme))


@cache
def anchors(readme):
    """The anchors of a file's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(readme), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_first_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


@readmes
def test_links_lead_somewhere(readme):
    links = re.findall(r"\]\(([^)\s]+)\)", prose(readme))
    for link in links:
        path, _, anchor = link.partition("#")
        target = (readme.parent / path).resolve() if path else readme
        assert link.startswith("https://") or target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_readme_is_reached_from_the_first():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        readme = waiting.pop()
        if readme not in reached:
            reached.add(readme)
            links = re.findall(r"\]\(([^)\s#]*README\.md)", prose(readme))
            waiting += [(readme.parent / link).resolve() for link in links]
    assert reached == set(READMES)


@readmes
def test_files_and_modules_exist(readme):
    for span in spans(readme):
        if re.fullmatch(r"(nlp_suite|configs|tests|pipelines|saved_models)/[\w./-]*", span) and "NAME" not in span:
            assert (ROOT / span).exists(), span
        if re.fullmatch(r"nlp_suite(\.\w+)+", span):
            assert resolved(span) is not None, span


def resolved(dotted):
    """The module or attribute of a dotted name."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[end:]:
            value = getattr(value, attribute, None)
        return value
    return None


@readmes
def test_configs_exist_and_all_are_in_the_table_of_results(readme):
    text, configs = readme.read_text("utf-8"), {path.stem for path in (ROOT / "configs").glob("*.yaml")}
    named = set(re.findall(r"configs/(\w+)\.yaml", text)) | set(
        re.findall(r"`((?:sentiment|lm|translation)_\w+)`", text)
    )
    assert named <= configs
    if readme == ROOT / "configs/README.md":
        assert set(re.findall(r"\]\((\w+)\.yaml\)", text)) == configs


# ---- the command line


@cache
def command_line():
    """Verb → its options, of the whole command line; verbs of groups as `config show`."""
    import click
    import typer
    import typer.core

    from nlp_suite.cli import app
    from nlp_suite.registry import VERBS
    from nlp_suite.serving.flags import FLAGS

    verbs = {}

    def read(group, prefix=""):
        context = click.Context(group)
        for verb in group.list_commands(context):
            command = group.get_command(context, verb)
            if isinstance(command, typer.core.TyperGroup):
                read(command, f"{verb} ")
            else:
                verbs[prefix + verb] = {option for parameter in command.params for option in parameter.opts}

    root = typer.main.get_command(app)
    read(root)
    verbs[""] = {option for parameter in root.params for option in parameter.opts}
    for verb in VERBS.help():
        of_task = typer.Typer()
        of_task.command()(VERBS.get(verb))
        verbs[verb] = {option for parameter in typer.main.get_command(of_task).params for option in parameter.opts}
    verbs["serve"] |= {f"--{flag}" for flag in FLAGS} | {"--help"}
    return verbs


def commands(text):
    """What is given to `nlp-suite` in every command of a text, as a list of words."""
    text = re.sub(r"\\\n[ \t#/]*", " ", text)
    found = re.findall(r"(?:^|[\s`/])nlp-suite ((?:[a-z]+\b(?! *[:=]))[^`\n#]*)", text)
    return [words(command) for command in found]


def words(command):
    try:
        return shlex.split(command)
    except ValueError:  # an apostrophe in a sentence
        return command.split()


def documents():
    return [*READMES, *(path for path in COMMENTED if path.suffix != ".md")]


def launched(command):
    """A command, and the one after `--` that it starts."""
    if "--" not in command:
        return [command]
    i = command.index("--")
    return [command[:i], command[i + 1 :]]


@pytest.mark.parametrize("document", documents(), ids=name)
def test_verbs_and_options_exist(document):
    found = [each for command in commands(document.read_text("utf-8")) for each in launched(command)]
    for first, *rest in found:
        verb = f"{first} {rest[0]}" if rest and f"{first} {rest[0]}" in command_line() else first
        assert verb in command_line(), f"nlp-suite {first}"
        options = {word.partition("=")[0] for word in rest if re.match(r"--[a-z]", word)}
        assert options <= command_line()[verb], f"nlp-suite {verb}"


@readmes
def test_options_that_are_named_alone_exist(readme):
    scripts = "".join(path.read_text("utf-8") for path in (ROOT / "tests/benchmarks").glob("*.py"))
    known = {option for options in command_line().values() for option in options}
    known |= {f"--{option}" for option in re.findall(r'"--([a-z-]+)"', scripts)}
    for span in spans(readme):
        if not span.startswith("nlp-suite"):
            assert {re.split(r"[ =]", o)[0] for o in re.findall(r"--[a-z][\w-]*", span)} <= known, span


@readmes
def test_make_targets_exist(readme):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    shown = [line for block in blocks(readme, "sh") for line in block.splitlines()] + spans(readme)
    assert {match[1] for line in shown if (match := re.match(r"make ([a-z-]+)", line))} <= targets


# ---- configs


@cache
def keys():
    """Every key that a config may have, as `section.key`, whatever its components are."""
    found = set()

    def walk(path, fields):
        for key, field in fields.items():
            found.add(f"{path}{key}")
            registry = next((item.registry for item in field.metadata if isinstance(item, ChosenByName)), None)
            for component in registry.names() if registry else []:
                walk(f"{path}{key}.", registry.settings(component).model_fields)

    for key, field in Experiment.model_fields.items():
        inner = getattr(field.annotation, "model_fields", {})
        walk("", {key: field})
        walk(f"{key}.", inner)
    return found


@pytest.mark.parametrize("document", documents(), ids=name)
def test_keys_of_configs_exist(document):
    text = document.read_text("utf-8")
    given = re.findall(r"--set '?([a-z_.]+)=", text)
    given += re.findall(r"`((?:task|data|text|target_text|backbone|training|export)\.[a-z_.]+)\b", text)
    inside = ("data.source.", "task.decoder.")  # settings of components within components
    assert {key for key in given if key not in keys() and not key.startswith(inside)} == set()


def test_the_reference_is_what_the_command_prints():
    from nlp_suite.cli.reference import with_reference

    path = ROOT / "configs/README.md"
    document = path.read_text("utf-8")
    assert document == with_reference(document, path), "run: nlp-suite config reference --into configs/README.md"


@pytest.mark.parametrize("kind", COMPONENTS)
def test_every_setting_has_a_description(kind):
    registry = COMPONENTS[kind]
    lacking = [
        f"{component}.{key}"
        for component in registry.names()
        for key, field in registry.settings(component).model_fields.items()
        if key != "name" and not field.description
    ]
    assert lacking == []


def test_every_key_of_a_section_has_a_description():
    sections = {key: field.annotation for key, field in Experiment.model_fields.items()}
    fields = {f"{s}.{k}": f for s, a in sections.items() for k, f in getattr(a, "model_fields", {}).items()}
    assert [key for key, field in fields.items() if not field.description and not key.endswith(".name")] == []


# ---- code


@readmes
def test_python_examples_are_python(readme):
    for code in blocks(readme, "python"):
        compile(code, name(readme), "exec")


EXAMPLES = {code.splitlines()[0][2:]: code for code in blocks(ROOT / "nlp_suite/README.md", "python")}


@pytest.fixture
def example():
    """A function that runs an example of nlp_suite/README.md as a module; what it registers is undone at the end."""
    from nlp_suite import registry

    registries = [value for value in vars(registry).values() if isinstance(value, Registry)]

    def run(path):
        names = {
            "__name__": f"readme.{Path(path).stem}"
        }  # of no package of ours: what it registers is forgotten at the end
        exec(compile(EXAMPLES[path], path, "exec"), names)

    with ExitStack() as undone:
        for each in registries:
            undone.enter_context(each.temporary())
        yield run


def test_the_example_of_a_backbone(example):
    from nlp_suite.config import load_experiment

    example("nlp_suite/backbones/mean_mix.py")
    settings = load_experiment({"backbone": {"name": "mean_mix", "units": 5, "embedding_size": 3}}).backbone
    backbone = BACKBONES.get("mean_mix")(vocabulary_size=9, **settings.arguments())
    backbone.build((None, None))
    short = np.array(backbone(np.array([[4, 5]])))
    padded = np.array(backbone(np.array([[4, 5, 0, 0]])))
    assert short.shape == (1, 2, backbone.output_size) and np.allclose(short, padded[:, :2])


def test_the_example_of_a_tokenizer(example):
    from nlp_suite.config import TextSettings
    from nlp_suite.text.text_layer import TextLayer

    example("nlp_suite/text/tokenizers/spaces.py")
    text = TextLayer.train(TextSettings(tokenizer="spaces"), ["a fine film", "a fine mess"])
    assert text.decode(text.encode(["a fine day", ""])) == ["a fine \ufffd", ""]


def test_the_example_of_a_source(example, tmp_path):
    from nlp_suite.config import load_experiment
    from nlp_suite.data.prepare import prepare

    example("nlp_suite/data/sources/sqlite.py")
    with closing(sqlite3.connect(tmp_path / "films.db")) as database:
        database.execute("create table train (text, label)")
        rows = [(f"film number {n % 7}", "good" if n % 2 else "bad") for n in range(40)]
        database.executemany("insert into train values (?, ?)", rows)
        database.commit()
    data = {"source": {"name": "sqlite", "path": tmp_path / "films.db"}, "cache": str(tmp_path / "cache")}
    prepared = prepare(load_experiment({"data": data}))
    assert prepared.labels == ["bad", "good"] and len(prepared.stores["train"]) == 36


def test_the_example_of_a_corpus_kind(example, tmp_path):
    from nlp_suite.config import TextSettings
    from nlp_suite.data.kinds.base import corpus_kind
    from nlp_suite.task import Assets
    from nlp_suite.text.text_layer import TextLayer

    example("nlp_suite/data/kinds/starred.py")
    (tmp_path / "films.tsv").write_text("text\tstars\nfine\t4\ndull\t1\n", "utf-8")
    source = SOURCES.get("files")(kind="starred", train=str(tmp_path / "films.tsv"))
    kind, rows = corpus_kind("starred"), list(source.examples("train"))
    text = TextLayer.train(TextSettings(tokenizer="byte"), kind.texts(rows))
    assert kind.write_split(tmp_path / "store", rows, "train", Assets(text)) == {"stars": 5}
    assert kind.open_split(tmp_path / "store").labels.tolist() == [4, 1]
    report = kind.inspect({"train": rows})
    assert report["splits"]["train"] == {"reviews": 2, "stars": 5} and len(kind.tables(report)) == 1


def test_the_example_of_a_task(example):
    from nlp_suite.config import load_experiment

    example("nlp_suite/tasks/hinge_sentiment.py")
    experiment = load_experiment({"task": {"name": "hinge_sentiment", "hidden": 4}})
    task = TASKS.get("hinge_sentiment")(**experiment.task.arguments())
    loss = task.loss()(np.array([1, 0]), np.array([[0.0, 3.0], [0.0, 3.0]], "float32"))
    assert np.allclose(loss, [0.0, 4.0])


def test_the_example_of_a_format(example, tmp_path):
    import keras

    example("nlp_suite/export/formats/npz.py")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    run = SimpleNamespace(model=lambda: model)
    result = EXPORTERS.get("npz")().export(run, tmp_path / "weights.npz")
    assert {array.shape for array in np.load(result.path).values()} == {(2, 3), (3,)}


def test_the_members_of_a_task_are_those_of_its_contract():
    table = re.search(r"^\| members.*?\n\n", prose(ROOT / "nlp_suite/README.md"), re.MULTILINE | re.DOTALL)[0]
    named = {span for row in table.strip().splitlines() for span in SPAN.findall(row.split("|")[1])}
    members = {member for member in {*vars(Task), *Task.__annotations__} if not member.startswith("_")}
    assert named == members - {"name", "settings"}


def test_every_example_is_tested():
    tested = Path(__file__).read_text("utf-8")
    assert all(f'example("{path}")' in tested for path in EXAMPLES)
