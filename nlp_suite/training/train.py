"""Training an experiment into a run folder, from the start or from where it was interrupted."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
from rich.console import Console

from nlp_suite import progress
from nlp_suite.backend import precision
from nlp_suite.config import Experiment
from nlp_suite.data.prepare import Prepared, open_assets, prepare
from nlp_suite.data.remarks import remarks
from nlp_suite.data.staging import only_process
from nlp_suite.errors import RunError, TrainingError
from nlp_suite.files import content_of
from nlp_suite.layers.lora import weights_without_updates
from nlp_suite.task import Assets, Batches
from nlp_suite.training.backbone_start import BackboneStart, open_backbone
from nlp_suite.training.callbacks import write_weights
from nlp_suite.training.checkpoint_average import average_intervals, kept_intervals
from nlp_suite.training.checks import check_monitor, check_training, doubtful_lengths, make_distribution
from nlp_suite.training.distributions.base import World
from nlp_suite.training.feed import feed, shared, validation_feed
from nlp_suite.training.fit_callbacks import FitCallbacks
from nlp_suite.training.frozen import write_frozen
from nlp_suite.training.launch import Launch
from nlp_suite.training.optimizer import make_optimizer
from nlp_suite.training.preset_start import PresetStart
from nlp_suite.training.run import (
    HISTORY,
    Run,
    has_state,
    is_run,
    make_task,
    read_history,
    read_info,
    run_record,
)
from nlp_suite.training.run_start import begin_run, check_same_data, cut_history
from nlp_suite.training.sameness import check_carried, compare, data_identity, facts_of
from nlp_suite.training.tensorboard import cut_events
from nlp_suite.training.tracking import Tracking
from nlp_suite.training.user_callbacks import check_callbacks

LOGGER = logging.getLogger(__name__)


@progress.scope()
def train(
    experiment: Experiment,
    run_dir: str | Path,
    *,
    console: Console | None = None,
    callbacks: Sequence[Any] = (),
    launch: Launch | None = None,
) -> Run:
    """Trains an experiment; the same call on the folder of a killed run continues after its last checkpoint interval.

    A run that was interrupted ends with the same weights as one that was not (same backend, same machine).
    Of several processes that train together each makes the same call, and process 0 writes the run folder, which all must see.

    Args:
        experiment: the resolved config.
        run_dir: the run folder, made if it does not exist.
        console: where its lines go; default: standard error, or the log where the program keeps one of `nlp_suite`.
        callbacks: called after every checkpoint interval, each with its number, from 1, and a mapping of its figures: the
            columns of `history.csv`. One that answers True ends the training, which is then finished; so does a text, which
            stands in `run.json` as the reason (`stopped`). Keras's callbacks are taken too. A run that is continued calls
            them for the intervals that are left; one whose interval was not saved before it was killed, for that interval
            again. Of several processes each calls its own.
        launch: which of several processes this one is (`nlp_suite.training.launch.find_launch`); default: the only one.

    Returns:
        The finished run.

    Raises:
        RunError: the folder holds a run of another config, or cannot be written.
        DamagedFileError: a file of the run, or of the prepared data, is missing or damaged.
        DataError, ConfigError: see `prepare` and `load_experiment`.
        UsageError: the processes are not those that `training.distribution` wants.
        TrainingError: the loss is not a number or grew out of all bounds, the memory does not suffice, or one of several
            processes did not come, differs, or ended.

    Example:
        >>> experiment = load_experiment("configs/sentiment_sample.yaml")
        >>> run = train(experiment, "runs/sentiment_sample", callbacks=[lambda interval, logs: logs["val_loss"] > 2])
    """
    check_callbacks(callbacks)
    directory = Path(run_dir)
    if directory.is_symlink():  # a folder cannot be renamed onto a link
        directory = directory.resolve()
    launch = launch or Launch()
    check_training(experiment, directory, launch)
    if is_run(directory) and read_info(directory)["state"] == "finished":
        line = f"{directory}: this run is finished (train on: training.init_from={directory})"
        progress.say(line, LOGGER, to=console)
        return Run(directory)
    distribution = make_distribution(experiment)
    facts = facts_of(experiment, directory)
    try:
        with (
            precision(experiment.training.precision),
            distribution.world(launch, facts, experiment.training) as world,
        ):
            _Training(experiment, directory, console, callbacks, world).run()
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        raise TrainingError(
            f"{directory}: the memory does not suffice ({_first_line(error)}); lower "
            "training.batch_size, training.batch_tokens or text.max_length, or the sizes of the network"
        ) from error
    return Run(directory)


@dataclass(frozen=True)
class _Plan:
    """How long a training is.

    Attributes:
        training, validation: batches of either split.
        steps: of a checkpoint interval.
        intervals: how many; the last one is complete, even if it passes the last epoch's end.
    """

    training: Batches
    validation: Batches
    steps: int
    intervals: int


class _Training:
    """One training: its parts in the order in which `run` puts them together."""

    def __init__(
        self,
        experiment: Experiment,
        directory: Path,
        console: Console | None,
        callbacks: Sequence[Any],
        world: World,
    ):
        self._world = world
        self._experiment, self._settings = experiment, experiment.training
        self._directory, self._console, self._callbacks = directory, console, callbacks
        self._checkpoints, self._record = directory / "checkpoints", run_record(directory)
        self._resumes = has_state(directory)
        self._task = make_task(experiment)

    def run(self) -> None:
        experiment, settings, directory = self._experiment, self._settings, self._directory
        check_monitor(settings.monitor, self._task, [metric.name for metric in self._task.metrics(["0", "1"])])
        origin = Run(settings.init_from) if settings.init_from and not self._resumes else None
        backbone = open_backbone(experiment) if experiment.backbone.init_from and not self._resumes else None
        prepared = self._world.first("prepare", lambda: self._prepare(origin, backbone))
        compare([{"prepared data": data} for data in self._world.gather("data", data_identity(prepared))])
        check_same_data(directory, experiment, prepared)
        for remark in remarks(experiment, prepared.statistics, prepared.labels):
            self._print(remark)

        keras.utils.set_random_seed(settings.seed)
        model = self._task.model(experiment.backbone, prepared.assets)
        plan = self._plan(model, prepared)
        check_carried(model, self._world.devices)
        optimizer_callbacks = self._compile(model, plan, prepared.labels) if plan.intervals else []
        done_what = f"{plan.intervals} checkpoint intervals of {plan.steps} steps, {plan.training.description}"
        self._print(f"{_parameters(model)}; {done_what if plan.intervals else 'not trained'}")
        doubtful = doubtful_lengths(settings, plan.training.steps_per_epoch, plan.intervals * plan.steps)
        for line in doubtful:
            self._print(line)
        if not self._resumes:
            self._initialize(model, prepared, origin, backbone)
        if self._world.writes and not is_run(directory):
            pretrained = backbone.pretrained if backbone else origin.info.get("pretrained") if origin else None
            begin_run(directory, experiment, prepared, doubtful, pretrained, self._world)

        measuring = self._task.interval_callbacks(experiment, model, prepared.stores, prepared.assets, self._console)
        callbacks = FitCallbacks(
            settings,
            self._record,
            self._console,
            loss_metric=self._task.loss_metric,
            intervals=plan.intervals,
            steps=plan.steps,
            validation_steps=plan.validation.steps_per_epoch,
            measuring=measuring,
            optimizing=optimizer_callbacks,
            of_program=self._callbacks,
            world=self._world,
        )
        if not self._world.writes:
            self._follow(model, plan, callbacks)
            return
        with only_process(directory, f"another process is training in {directory}"):
            leftovers = [
                *self._checkpoints.glob(".*"),
                *directory.glob(".run.json.*"),
                *directory.glob(".history.csv.*"),
                *directory.glob("tensorboard/**/.*tfevents*"),
            ]
            for leftover in leftovers:  # of a process that was killed while it wrote
                leftover.unlink()
            if not self._resumes:
                write_frozen(model, self._record)
            if not plan.intervals:
                write_weights(model, self._record, "best")
            self._world.gather("folder")
            done = self._restore(model, callbacks)
            with self._tracking() as tracking:
                self._fit(model, plan, callbacks, done, tracking)
                with self._world.local():
                    if settings.average_checkpoints and plan.intervals:
                        self._average(model, prepared)
                    files = {HISTORY: [None, content_of(directory / HISTORY)]} if plan.intervals else {}
                    fitted = self._fit_after(prepared)
                self._record.update(files, **fitted, **callbacks.outcome(model.count_params()))

    def _follow(self, model: Any, plan: _Plan, callbacks: FitCallbacks) -> None:
        """What a process does that writes nothing: it trains with the others what process 0 writes."""
        self._world.gather("folder")
        if not is_run(self._directory):
            raise RunError(
                f"process {self._world.process} does not see the run folder {self._directory} of process 0: give a --run-dir "
                "on storage that all processes share"
            )
        done = callbacks.state.load(model)
        self._world.gather("restored")
        self._fit(model, plan, callbacks, done, None)

    def _average(self, model: Any, prepared: Prepared) -> None:
        """Writes the mean of the checkpoints that were kept."""
        if self._world.processes > 1:  # the weights of that one are all processes'
            model = self._task.model(self._experiment.backbone, prepared.assets)
        averaged = kept_intervals(self._record)
        average_intervals(model, self._record, averaged)
        self._print(f"averaged the weights of checkpoint intervals {', '.join(map(str, averaged))}")

    def _print(self, line: str) -> None:
        progress.say(line, LOGGER, to=self._console)

    def _prepare(self, origin: Run | None, backbone: BackboneStart | PresetStart | None) -> Prepared:
        """The data, with the text layers, labels and facts of what the training starts from."""
        experiment, directory, trains_on = self._experiment, self._directory, bool(self._settings.init_from)
        known = origin.assets if origin else Assets(backbone.text if backbone else None)
        if (trains_on or experiment.backbone.init_from) and is_run(
            directory
        ):  # what it started from may be gone by now
            info = read_info(directory)
            known = open_assets(experiment, directory, info["labels"], info.get("facts", {}))
        return prepare(
            experiment,
            text=known.text,
            target_text=known.target_text,
            labels=known.labels if trains_on else None,
            facts=known.facts if trains_on else None,
            progress=self._print,
        )

    def _plan(self, model: Any, prepared: Prepared) -> _Plan:
        settings = self._settings
        training, validation = self._task.training_batches(model, prepared.stores, prepared.labels, settings)
        steps = settings.save_every or training.steps_per_epoch
        return _Plan(training, validation, steps, -(-settings.epochs * training.steps_per_epoch // steps))

    def _compile(self, model: Any, plan: _Plan, labels: Sequence[str]) -> list[Any]:
        """Gives the model its optimiser, loss and metrics; returns the callbacks of the optimiser."""
        settings = self._settings
        optimizer, callbacks = make_optimizer(settings, plan.intervals * plan.steps, groups=model.layer_groups())
        metrics = self._task.metrics(labels)
        jit_compile = settings.xla if keras.backend.backend() == "tensorflow" else "auto"
        model.compile(optimizer, self._task.loss(), weighted_metrics=metrics, jit_compile=jit_compile)
        model.optimizer.build(model.trainable_variables)
        if self._world.sharing:
            from nlp_suite.training.shared_steps import share_steps

            share_steps(model, self._world.sharing)
        return callbacks

    def _initialize(
        self, model: Any, prepared: Prepared, origin: Run | None, backbone: BackboneStart | PresetStart | None
    ) -> None:
        """The weights of a training that begins: those of another run, or fresh ones with what the data know."""
        if origin:
            for weight, value in zip(weights_without_updates(model), origin.model().weights, strict=True):
                weight.assign(value)
            return
        if backbone:
            decoder = (
                [model.pretrained_decoder] if isinstance(backbone, PresetStart) and model.pretrained_decoder else []
            )
            self._print(backbone.copy_to(model.backbone, *decoder))
        for line in self._task.start_weights(model, prepared.text, prepared.stores["train"]):
            self._print(line)

    def _restore(self, model: Any, callbacks: FitCallbacks) -> int:
        """Puts back what was saved, takes back what was recorded since; returns the number of intervals done."""
        done = callbacks.state.load(model)
        self._world.gather("restored")
        cut_history(self._record, done)
        if self._settings.tensorboard:
            cut_events(self._directory / "tensorboard", done)
        if not callbacks.state.stopped and self._record.read().get("stopped"):  # killed before that was saved
            self._record.update(stopped=None)
        if done:
            self._print(f"continuing after checkpoint interval {done}")
        return done

    def _tracking(self) -> Tracking:
        history, id = read_history(self._directory / HISTORY), self._record.read().get("tracking", "")
        return Tracking(self._experiment, self._directory, id, history, console=self._console)

    def _fit(self, model: Any, plan: _Plan, callbacks: FitCallbacks, done: int, tracking: Tracking | None) -> None:
        """Trains the checkpoint intervals that are left."""
        if done >= plan.intervals or callbacks.state.stopped:
            callbacks.state.on_train_begin()
            return
        for name, batches in (("training", plan.training), ("validation", plan.validation)):
            for line in self._world.first(f"{name} begins", partial(batches.begin, self._record)):
                self._print(f"{name}: {line}")
        try:
            model.fit(
                feed(shared(plan.training.batch, self._world), done * plan.steps),
                epochs=plan.intervals,
                initial_epoch=done,
                steps_per_epoch=plan.steps,
                **validation_feed(shared(plan.validation.batch, self._world), plan.validation.steps_per_epoch),
                callbacks=callbacks.in_order(tracking),
                verbose=0,
                shuffle=False,
            )
        except KeyboardInterrupt as error:
            saved = callbacks.state.saved
            when = f"after checkpoint interval {saved} of {plan.intervals}" if saved else "before any checkpoint"
            goes_on = "goes on from there" if saved else "begins again"
            error.add_note(f"{self._directory}: interrupted {when}; the same command {goes_on}")
            raise
        finally:
            callbacks.progress.close()

    def _fit_after(self, prepared: Prepared) -> dict[str, Any]:
        """What the task fits once the weights are final, as a key of `run.json`."""
        with precision("float32"):  # as it is evaluated and asked
            fitted = self._task.after_training(Run(self._directory), prepared.stores)
        return {"fitted": fitted} if fitted else {}


def _parameters(model: Any) -> str:
    """How many parameters a network has, and how many of them are trained if not all."""
    trained, total = sum(math.prod(v.shape) for v in model.trainable_variables), model.count_params()
    return f"{total:,} parameters" + (f", {trained:,} of them trained" if trained < total else "")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _is_out_of_memory(error: Exception) -> bool:
    """Whether that is what the error says, of NumPy or of whichever backend (none of which need be installed)."""
    of_backend = type(error).__name__ in ("ResourceExhaustedError", "OutOfMemoryError")
    return isinstance(error, MemoryError) or of_backend or "RESOURCE_EXHAUSTED" in str(error)
