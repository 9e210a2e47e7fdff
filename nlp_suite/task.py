"""The contract of a task: every question that any other part of the suite asks of one.

A task is one file or one folder under `nlp_suite/tasks` that registers a subclass of `Task` with its settings. Nothing else
names a task: training, evaluation, export, the command line and the server ask these questions only. What most tasks share
has a default here; what is abstract, or declared without a value, must be defined, and `TASKS.register` refuses a task that
lacks some of it.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from nlp_suite.errors import RequestError, RunError
from nlp_suite.predictor import Adaptation, AnswerOptions, Predictor, ScoreOptions
from nlp_suite.registry import TASKS

if TYPE_CHECKING:
    from nlp_suite.config import ComponentSettings, Experiment
    from nlp_suite.data.init.seen import Choice, Recipe, Seen
    from nlp_suite.data.init.table_profile import Column
    from nlp_suite.evaluation.report import ReportView
    from nlp_suite.export.classifier_head import ClassifierHead
    from nlp_suite.export.loaded import LoadedSignatures
    from nlp_suite.export.parts import Part
    from nlp_suite.export.signatures import Signatures
    from nlp_suite.text.text_layer import TextLayer
    from nlp_suite.training.run import Run


@dataclass(frozen=True)
class Batches:
    """Numbered batches of a split, endless.

    Attributes:
        batch: function of the batch number to the tuple that `fit` takes: inputs, targets, weights. Where the network reads the
            weights, too, they are the same array: rows that fill a batch up for several devices weigh 0 in both.
        steps_per_epoch: batches of one pass.
        description: for people: shapes and padding.
        begin: called with the run folder's `Record` before the first batch, by process 0 before all others, once the network
            has the weights that training begins with; returns lines that say what was done.
    """

    batch: Callable[[int], tuple[Any, ...]]
    steps_per_epoch: int
    description: str = ""
    begin: Callable[[Any], Sequence[str]] = lambda record: ()


@dataclass(frozen=True)
class Assets:
    """What belongs to a network and is not in its weights: it turns what a user gives into what the network reads, and back.

    Attributes:
        text: the text layer; None where the corpus kind has no texts.
        target_text: that of the targets; the same object where both sides have one vocabulary, or there is one side.
        labels: label names, in the order of the network's outputs; empty where there are none.
        facts: what the corpus kind found in the training split and a network must know.
        fitted: what `Task.after_training` returned; empty before, and of runs that were written before there was such a thing.
        members: of an ensemble: name of a member → its config and assets.
    """

    text: TextLayer | None = None
    target_text: TextLayer | None = None
    labels: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    fitted: Mapping[str, Any] = field(default_factory=dict)
    members: Mapping[str, tuple[Experiment, Assets]] = field(default_factory=dict)

    @property
    def vocabulary_size(self) -> int:
        """Token ids V of the inputs; 0 without a text layer."""
        return self.text.vocabulary_size if self.text else 0

    @property
    def target_vocabulary_size(self) -> int | None:
        """Token ids of the targets, where they have a vocabulary of their own; else None."""
        return None if self.target_text in (None, self.text) else self.target_text.vocabulary_size


def task_class(name: str, settings: Mapping[str, Any]) -> type[Task]:
    """The class of the task called `name` that answers for some of its settings, see `Task.variant`.

    Raises:
        UnknownNameError: there is no such task.
    """
    task: type[Task] = TASKS.get(name)
    return task.variant(settings)


class Task:
    """One task. Its constructor takes the fields of its settings, but the name.

    Attributes:
        title: what it is called in sentences, such as `"sentiment classification"`.
        model_kind: what its models are called in sentences, such as `"classifier"`.
        how_to_ask: how its models are asked on the command line, such as `"ask it with nlp-suite predict"`.
        corpus_kind: what its examples are: a name of `nlp_suite/data/kinds`.
        causal: whether its backbone must not see the future.
        defaults: section → key → value, which stand where a config says nothing.
        default_recipe: the same, for configs that name no backbone: one, and the text and training that suit it.
        honours: keys of common sections that only some tasks use (`nlp_suite.config.TASK_KEYS`) and this one does.
        loss_metric: name of the metric that is the loss, as logs and `training.monitor` call it `loss`.
        metric_names: names of `metrics`, for a check of `training.monitor` before Keras is imported; checked later where the
            class that defines `metrics` does not say.
        monitors: further metrics that `interval_callbacks` adds to the logs and `training.monitor` may name.
        predicts: whether its predictor has an answer a text, `predict`.
        scores: whether its predictor has log-probabilities, which `write_scores` prints.
        compiles: whether some of its signatures have a form that XLA compiles.
        exports_to: export formats for particular tasks (`Exporter.for_named_tasks`) that can express this one.
        card_limits: sentences of the model card on where not to trust it.
        page_form: form of the endpoint's page that asks its models (`nlp_suite/serving/page`).
        settings: the settings that it was made with.
    """

    title: ClassVar[str]
    model_kind: ClassVar[str]
    how_to_ask: ClassVar[str] = "ask it with nlp-suite predict"
    corpus_kind: ClassVar[str]
    causal: ClassVar[bool] = False
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    default_recipe: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    honours: ClassVar[frozenset[str]] = frozenset()
    loss_metric: ClassVar[str] = "cross_entropy"
    metric_names: ClassVar[tuple[str, ...]] = ()
    monitors: ClassVar[tuple[str, ...]] = ()
    predicts: ClassVar[bool] = True
    scores: ClassVar[bool] = False
    compiles: ClassVar[bool] = False
    exports_to: ClassVar[tuple[str, ...]] = ()
    quantizes: ClassVar[bool] = False
    card_limits: ClassVar[tuple[str, ...]] = (
        "Trained on one kind of text: expect less on other domains, lengths and languages than those of its training data.",
        "It may repeat biases of its training data; do not let it alone decide about people.",
    )
    page_form: ClassVar[str] = "any"

    def __init__(self, **settings: Any):
        name = type(self).name()
        self.settings: Any = TASKS.settings(name)(name=name, **settings)

    @classmethod
    def variant(cls, settings: Mapping[str, Any]) -> type[Task]:
        """The class that answers for some settings of the task: this one, or a subclass where a setting changes the answers.

        Args:
            settings: as a config has them, checked or not; what is not given has its default.
        """
        return cls

    @classmethod
    def name(cls) -> str:
        """Its name in the registry: that of its module or package."""
        return cls.__module__.rsplit(".", 1)[-1]

    @classmethod
    def import_network(cls) -> None:
        """Imports the module of the network's classes, so that Keras finds them when it opens a saved model.

        Nothing is to be done where they stand in the task's own module.
        """

    # ---- a config for data that were seen

    @classmethod
    def recipe(cls, seen: Seen) -> Recipe:
        """What suits data that `nlp-suite init` has seen, beyond the defaults: section → key → value and reason."""
        return {}

    @classmethod
    def other_recipe(cls, seen: Seen) -> Sequence[str]:
        """Lines on another way that may suit such data, and the YAML for it: a comment at the end of the config."""
        return ()

    @classmethod
    def settings_for_labels(cls, labels: Column) -> Mapping[str, Choice]:
        """Settings of the task that a column of labels decides, asked by `nlp-suite init` before it reads all rows."""
        return {}

    # ---- training

    def check(self, experiment: Experiment) -> None:
        """Raises ConfigError where settings of other sections do not suit the task; asked before the data are read."""

    @classmethod
    def remarks(cls, experiment: Experiment, labels: Sequence[str]) -> list[str]:
        """Sentences on settings that hardly suit the data, with the remedy; without importing Keras.

        Args:
            experiment: the resolved config.
            labels: label names.
        """
        return []

    @abstractmethod
    def model(self, backbone: ComponentSettings, assets: Assets) -> Any:
        """The network, built, with fresh weights.

        Args:
            backbone: settings of the backbone.
            assets: vocabulary sizes, labels and facts of the data.
        """

    def start_weights(self, model: Any, text: TextLayer | None, store: Any) -> list[str]:
        """Gives a fresh model what the data know beforehand; returns a line for every thing done."""
        return []

    def loss(self) -> Any:
        """The Keras loss, or None for a model that adds its own.

        It divides the sum over a batch by a number that is the same for all batches, such as the rows of a full one, and not
        by the sum of their weights (`mean_with_sample_weight`): else a batch that is filled up pulls as hard as a full one. What a model
        adds in training is such a sum, too, as several devices add up what each has for its rows.
        """
        return None

    @abstractmethod
    def metrics(self, labels: Sequence[str]) -> list[Any]:
        """Keras metrics that sum and count, so that batches of any size average right."""

    @abstractmethod
    def training_batches(
        self, model: Any, stores: Mapping[str, Any], labels: Sequence[str], training: Any
    ) -> tuple[Batches, Batches]:
        """Batches of the training and of the validation split.

        Args:
            model: built; gets what it carries from batch to batch.
            stores: stores by split.
            labels: label names.
            training: the training section.
        """

    def interval_callbacks(
        self, experiment: Experiment, model: Any, stores: Mapping[str, Any], assets: Assets, console: Any
    ) -> list[Any]:
        """Keras callbacks that measure after every checkpoint interval; they stand before those that read the logs."""
        return []

    def after_training(self, run: Run, stores: Mapping[str, Any]) -> dict[str, Any]:
        """What is fitted on the validation split once the weights are final, such as a calibration; stored with the run.

        Args:
            run: whose model, the best or the averaged one, is finished.
            stores: stores by split.

        Returns:
            JSON-able; it becomes `Assets.fitted`, which predictors, measurements and exports read. Asked again where
            `nlp-suite average` changes the weights.
        """
        return {}

    # ---- evaluation

    @abstractmethod
    def measure(self, run: Run, split: str, stores: Mapping[str, Any]) -> dict[str, Any]:
        """The report of a split, JSON-able.

        Args:
            run: whose model is measured.
            split: a key of `stores`.
            stores: stores by split.

        Returns:
            The report; what it holds as `by_row`, on every row, in any form, is given to `baselines` and not written.
        """

    def measure_together(self, runs: Sequence[Run], split: str, stores: Mapping[str, Any]) -> dict[str, Any]:
        """As `measure`, of several runs that answer together; the stores are the first one's. By default it raises RunError."""
        raise RunError(f"{self.title}: runs are measured one by one; nlp-suite ensemble makes one of classifiers")

    def label_probabilities(self, run: Run, split: str, stores: Mapping[str, Any]) -> tuple[Any, Any] | None:
        """How probable every label is for the rows of a split, where each row has one; asked of the folds of a cross-validation.

        Its arguments are those of `measure`.

        Returns:
            The label ids that the rows have, int `[N]`, and the probabilities of all labels, float `[N, C]`; None where
            rows do not have one label each.
        """
        return None

    def baselines(
        self, run: Run, split: str, stores: Mapping[str, Any], by_row: Any
    ) -> Mapping[str, Mapping[str, Any]]:
        """What easy methods achieve on a split, once fitted on the training split; asked as `measure`, with its `by_row`.

        Returns:
            Name → `title`; the figures of `ReportView.compared`, by the report's keys; `lead`: name of some of these →
            that of the model over it (`nlp_suite.evaluation.baseline.lead`); perhaps `notes` on what was left out.
        """
        return {}

    @classmethod
    def adaptation(cls, given: Mapping[str, Mapping[str, Any]]) -> Adaptation:
        """How a model adapts to the texts that it reads; by default it does not.

        Args:
            given: name of the method → settings by key.

        Raises:
            RequestError: models of the task do not adapt.
            UsageError: an unknown key, or a value out of range.
        """
        raise RequestError(
            f"a {cls.model_kind} does not adapt to what it reads, as a language model can: leave adapt out"
        )

    @abstractmethod
    def report_view(self) -> ReportView:
        """How a report of `measure` is shown: on the page and on the terminal."""

    # ---- prediction

    @abstractmethod
    def predictor(self, model: Any, assets: Assets, experiment: Experiment) -> Predictor:
        """A network that answers requests in Python.

        Args:
            model: the network, with weights.
            assets: what belongs to it.
            experiment: as `freeze_data_defaults` gives it.
        """

    @abstractmethod
    def export_predictor(self, signatures: LoadedSignatures) -> Predictor:
        """A SavedModel of this task that answers requests in Python, with the methods of `predictor`."""

    def freeze_data_defaults(self, run: Run) -> Experiment:
        """The run's experiment with what its data decided written out, so that it can be used without them."""
        return run.experiment

    @classmethod
    def chosen(cls, labels: Sequence[str], options: AnswerOptions) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """What makes of an answer of `predict` the one that some options want; by default a task takes none.

        Raises:
            RequestError: an option that does not suit the task, or a label that there is not.
        """
        raise RequestError(f"a {cls.model_kind} answers without {', '.join(options.given)}; that is for classifiers")

    @classmethod
    def answer_columns(
        cls, labels: Sequence[str], for_people: bool, options: AnswerOptions | None = None
    ) -> dict[str, Callable[[dict[str, Any]], Any]]:
        """Columns of a table of answers of `predict`: name → what makes the cell of an answer.

        Args:
            labels: label names.
            for_people: for a terminal, where cells are strings; else for a file, where they may be numbers, or None.
            options: those of the answers; given to tasks that take them only (`chosen`).
        """
        return {"answer": lambda answer: json.dumps(answer, ensure_ascii=False)}

    @classmethod
    def write_scores(cls, predictor: Predictor, options: ScoreOptions) -> None:
        """Prints what `nlp-suite score` answers; asked of tasks with `scores` only."""
        raise NotImplementedError

    # ---- export

    @abstractmethod
    def signatures(self, model: Any, predictor: Predictor, xla: bool = False) -> Signatures:
        """The serving signatures of a network.

        Args:
            model: the network, under the TensorFlow backend.
            predictor: the same network's predictor.
            xla: also those that XLA compiles; asked of tasks with `compiles` only.
        """

    def sample_answers(self, run: Run, model: Any, rows: int) -> tuple[str, Any, Any] | None:
        """What a network answers to so many rows of the run's test split, or of validation; asked of tasks that `quantizes`.

        Returns:
            The split, the label ids of the rows and those that are answered, int `[N]`; None where the data are not at hand.
        """
        raise NotImplementedError

    def classifier_head(self, run: Run, model: Any) -> ClassifierHead:
        """What its network computes of the backbone's features; asked of tasks that name a format of classifiers only."""
        raise NotImplementedError

    def parts(self, model: Any, assets: Assets) -> Sequence[Part]:
        """What programs without this package run of a network (`nlp_suite.export.parts`); none: all of it, token ids to logits."""
        return ()

    def check_inputs(self, run: Run, texts: Sequence[bytes]) -> Any:
        """What the network is compared on once it is loaded from a file: token ids int32 `[N, T]` of whole texts."""
        if run.text is None:
            raise TypeError(f"{type(self).__name__} has no text layer, so it must define check_inputs")
        return run.text.pad(run.text.encode(texts))

    def card_facts(self, experiment: Experiment) -> dict[str, str]:
        """Facts of the model card: how much of a text is read and written."""
        text = experiment.text
        return {"Longest text": f"{text.max_length} tokens, then cut ({text.truncation} is kept)"}
