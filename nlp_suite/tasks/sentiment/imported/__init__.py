"""Classifiers that someone else trained with Keras: imported as an export of this package.

`import_model` is the way in; `reading` finds out what a file holds and refuses what must not be opened, `network` opens it,
`words` makes ids of texts, and `signatures` is what a server answers.
"""

import dataclasses
import datetime
import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nlp_suite.backend import import_backend
from nlp_suite.config import Experiment, load_experiment
from nlp_suite.errors import ExportError, UsageError
from nlp_suite.export.formats.base import ExportResult
from nlp_suite.export.model_card import OMITTED_METRICS, write_card
from nlp_suite.export.samples import HARD_TEXTS, PLAIN_TEXTS
from nlp_suite.export.version_writing import Version, check_model_folder, tensorflow_for_graphs, write_version
from nlp_suite.progress import scope, work
from nlp_suite.tasks.sentiment.imported.network import ForeignNetwork, KerasNetwork, Outputs, SavedModelNetwork
from nlp_suite.tasks.sentiment.imported.reading import Foreign, look_at
from nlp_suite.tasks.sentiment.imported.words import IdRule, Words, check_fits
from nlp_suite.training.run import check_new_run

LIMITS = (
    "Imported: how it was trained, on what, and how well it does is not known here; measure it on your own data.",
    "Every text gets one of the labels, also an empty one or one in another language.",
    "It may repeat biases of its training data; do not let it alone decide about people.",
)


@scope()
def import_model(
    file: str | Path,
    to: str | Path,
    *,
    labels: Sequence[str] | None = None,
    ids: IdRule | None = None,
    outputs: Outputs = "auto",
    description: str = "",
    data: str | Path | None = None,
    columns: Mapping[str, Any] = MappingProxyType({}),
) -> ExportResult:
    """Makes a servable export of a classifier that someone else trained with Keras.

    Args:
        file: a `.keras` file, an H5 file of Keras 2 or 3, or the folder of a SavedModel.
        to: the model's folder, such as `saved_models/NAME`; the next version is made in it.
        labels: a name for each number that it answers, of one number for its low and its high end; default: numbers from 0.
        ids: how texts become ids; needed where the model takes ids, refused where it takes texts.
        outputs: what it answers; `"auto"`: as its last layer says, or a SavedModel's answers show.
        description: one sentence for the model card.
        data: a table with texts and labels that it is measured on: the figures stand in the card, the report in a folder `NAME-report`
            beside the model's.
        columns: settings of the source `files` for that table, such as `{"text_column": "review"}`.

    Raises:
        ExportError: a file that is damaged, is not what its name says, or is refused (Lambda layers, custom objects, pickles, several
            inputs, a vocabulary that does not fit); or the export failed. Nothing is left behind.
        UsageError: labels or ids that do not suit the model, or are needed.
        DataError: data that cannot be read, or have a label that the model has not.

    Example:
        >>> import_model("theirs.keras", "saved_models/theirs", labels=["neg", "pos"]).path
        PosixPath('saved_models/theirs/1')
    """
    start, to = time.perf_counter(), Path(to)
    foreign = look_at(Path(file))
    check_model_folder(to)
    import_backend()
    tensorflow_for_graphs()
    with work(f"importing {file}"):
        classifier, remarks = open_foreign(foreign, labels, ids, outputs)
        experiment = _experiment(classifier.labels, description)
        card = _card(foreign, classifier.network, classifier.words, experiment, to.name)
        from nlp_suite.tasks.sentiment.imported.measuring import measure, write_measured
        from nlp_suite.tasks.sentiment.imported.signatures import ImportedSignatures

        report = None if data is None else measure(classifier, Path(data), columns)
        if report:
            card["metrics"] = {key: value for key, value in report.items() if key not in OMITTED_METRICS}

        def write_extras(directory: Path) -> None:
            note = "# An imported model: of this config only task, data.labels and export say something of it.\n"
            (directory / "config.yaml").write_text(note + experiment.to_yaml(), "utf-8")
            write_card(directory, card)

        version = Version(
            server=experiment.export.server_version,
            page_form="classification",
            warmup_texts=PLAIN_TEXTS,
            check_texts=[*PLAIN_TEXTS, *HARD_TEXTS],
            hidden_paths=[Path(file).resolve()],
            write_extras=write_extras,
        )
        try:
            written = write_version(ImportedSignatures(classifier), to, version)
        except ExportError as error:
            if ", alone, row" not in str(error):
                raise
            raise ExportError(
                f"{error}\nThe model answers a text otherwise where longer ones stand beside it, so requests cannot be answered "
                "together: give its TextVectorization an output_sequence_length, or its Embedding mask_zero=True"
            ) from None
        if report:
            page = write_measured(report, to.with_name(f"{to.name}-report"), experiment.to_yaml(), card)
            remarks.append(
                f"accuracy {report['accuracy']:.2%} on {report['examples']:,} texts of {data}; report: {page}"
            )
    result = {**written.report, "remarks": remarks}
    return ExportResult(written.path, written.signatures, written.curl, time.perf_counter() - start, result)


@dataclasses.dataclass(frozen=True)
class ImportedRun:
    """What `import_run` made.

    Attributes:
        path: the run folder.
        difference: the largest difference of a probability between the model and the run.
        remarks: sentences on what was found or assumed.
    """

    path: Path
    difference: float
    remarks: Sequence[str]

    def describe(self) -> str:
        """The result as lines for a terminal."""
        lines = [
            f"{self.path}: a run folder; the largest difference of a probability to the model is {self.difference:.1g}"
        ]
        lines += [f"note: {remark}" for remark in self.remarks]
        lines.append(
            f"train on:\n  nlp-suite train {self.path}/config.yaml --run-dir RUN --set training.init_from={self.path} "
            "--set data.source=files --set data.source.train=FILE"
        )
        return "\n".join(lines)


@scope()
def import_run(
    file: str | Path,
    run_dir: str | Path,
    *,
    labels: Sequence[str] | None = None,
    ids: IdRule | None = None,
    outputs: Outputs = "auto",
) -> ImportedRun:
    """Puts the weights of a Keras model, `Embedding → LSTM or GRU (one or more) → Dense`, into the network of this package.

    Args:
        file: a `.keras` file or an H5 file of Keras 2 or 3.
        run_dir: the run folder, which must not exist; it can be asked, exported, and trained on with `training.init_from`.
        labels: see `import_model`.
        ids: likewise.
        outputs: likewise.

    Raises:
        ExportError: see `import_model`; or the model is another one, with the layer that is not expected.
        RunError: `run_dir` exists or cannot be written.

    Example:
        >>> import_run("theirs.keras", "runs/theirs", labels=["neg", "pos"]).difference < 1e-6
        True
    """
    foreign, run_dir = look_at(Path(file)), Path(run_dir)
    check_new_run(run_dir, "--run-dir")
    import_backend()
    from nlp_suite.tasks.sentiment.imported.run_folder import write_run  # imports Keras

    with work(f"importing {file}"):
        classifier, remarks = open_foreign(foreign, labels, ids, outputs)
        difference, more = write_run(classifier, run_dir)
    return ImportedRun(run_dir, difference, [*remarks, *more])


def open_foreign(
    foreign: Foreign, labels: Sequence[str] | None, ids: IdRule | None, outputs: Outputs = "auto"
) -> tuple[Any, list[str]]:
    """Someone else's classifier in Python, and sentences on what was found or assumed; see `import_model`."""
    from nlp_suite.tasks.sentiment.imported.signatures import ImportedClassifier

    network: ForeignNetwork = SavedModelNetwork(foreign) if foreign.kind == "saved_model" else KerasNetwork(foreign)
    words, remarks = None, []
    if network.takes == "ids":
        if ids is None:
            raise UsageError(
                f"{str(foreign.path)!r} takes ids of tokens: give --vocabulary FILE, --padding left or right, --truncation head or tail, "
                "and --unknown ID (or drop)"
            )
        words = Words(ids, network.length)
        remarks += check_fits(words, network.embedding_rows, (str(foreign.path), str(ids.vocabulary)))
        _probe(network, words)
    elif ids is not None:
        raise UsageError(f"{str(foreign.path)!r} takes texts and has its vocabulary inside: leave --vocabulary out")
    network.settle(outputs, words.highest if words else 0)
    if labels is None:
        labels = [str(i) for i in range(network.labels)]
        remarks.append(f"no --labels were given: they are called {', '.join(labels[:5])}{', …' * (len(labels) > 5)}")
    if len(labels) != network.labels or len(set(labels)) < len(labels):
        raise UsageError(
            f"--labels {','.join(labels)}: {network.labels} different names are needed, one for each that it answers"
        )
    what = "logits" if network.are_logits else "probabilities"
    remarks.append(f"its answers are taken for {what}" + (f", of {labels[1]!r}" if network.columns == 1 else ""))
    return ImportedClassifier(network, words, labels), remarks


def _probe(network: ForeignNetwork, words: Words) -> None:
    """Asks for the highest id: an embedding that lacks it says so only when it is asked."""
    import tensorflow as tf

    try:
        network.answer(tf.fill([1, words.length], words.highest))
    except (tf.errors.OpError, ValueError) as error:
        raise ExportError(
            f"the vocabulary does not fit the embedding: {str(words.rule.vocabulary)!r} has ids to {words.highest:,}, and "
            f"{str(network.path)!r} cannot answer a row of that id: {str(error).splitlines()[0][:200]}"
        ) from None


def _experiment(labels: Sequence[str], description: str) -> Experiment:
    """The config of an imported model: its task and labels, which is what opens it again."""
    return load_experiment(
        {"task": "sentiment", "data": {"labels": list(labels)}, "export": {"description": description}}
    )


def _card(
    foreign: Foreign, network: ForeignNetwork, words: Words | None, experiment: Experiment, name: str
) -> dict[str, Any]:
    """The model card of an imported model, as `nlp_suite.export.model_card.model_card` makes that of a run."""
    file = foreign.path / "saved_model.pb" if foreign.path.is_dir() else foreign.path
    facts = {
        "Imported from": f"{foreign.path.name} ({foreign.called}), sha256 {hashlib.sha256(file.read_bytes()).hexdigest()}"
    }
    rule = {} if words is None else {**dataclasses.asdict(words.rule), "vocabulary": Path(words.rule.vocabulary).name}
    rule |= (
        {}
        if words is None
        else {"unknown": words.unknown, "standardize": words.standardize, "max_length": words.length}
    )
    if words is not None:
        facts["Longest text"] = f"{words.length} words, then cut ({words.rule.truncation} is kept)"
    return {
        "name": name,
        "description": experiment.export.description,
        "license": experiment.export.license,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "task": "sentiment",
        "reads_and_writes": facts,
        "task_settings": {},
        "labels": list(experiment.data.labels or ()),
        "parameters": network.parameters,
        "weight_bytes": network.weight_bytes,
        "backbone": {"name": " → ".join(network.layers), "ids": rule},
        "text": {"vocabulary_size": 0},
        "data": {"name": "unknown", "splits": {}},
        "metrics": {},
        "not_measured": "Not evaluated: ask it about texts of your own whose labels you know.",
        "training": {},
        "limits": list(LIMITS),
    }
