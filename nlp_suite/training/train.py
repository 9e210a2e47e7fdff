"""Training an experiment into a run folder, from the start or from where it was interrupted."""

import csv
import io
from contextlib import contextmanager
from pathlib import Path

import keras
from rich.console import Console

from nlp_suite.config import Experiment, differences
from nlp_suite.data.prepare import Prepared, open_assets, open_texts, prepare, save_texts
from nlp_suite.data.staging import hidden_folder, only_process, place_folder
from nlp_suite.errors import ConfigError, RunError
from nlp_suite.registry import unknown
from nlp_suite.task import Assets
from nlp_suite.training.backbone_start import open_backbone
from nlp_suite.training.callbacks import (
    Checkpoints,
    EvaluateAverage,
    ProgressBar,
    RoundLog,
    StopOnNaN,
    without_optimizer,
)
from nlp_suite.training.checkpoint_average import KeepRounds, average_rounds, kept_rounds
from nlp_suite.training.feed import feed, validation_feed
from nlp_suite.training.optimizer import make_optimizer, monitor_mode
from nlp_suite.training.run import (
    SCHEMA,
    Run,
    check_same,
    environment,
    is_run,
    make_task,
    read_info,
    replace_file,
    write_info,
)
from nlp_suite.training.state import TrainingState


def train(experiment: Experiment, run_dir: str | Path, *, console: Console | None = None) -> Run:
    """Trains an experiment; the same call on the folder of a killed run goes on where its last whole round ended.

    A run that was interrupted ends with the same weights as one that was not (same backend, same machine).

    Args:
        experiment: the resolved config.
        run_dir: the run folder, made if it does not exist.
        console: where progress goes; default: standard error.

    Returns:
        The finished run.

    Raises:
        RunError: the folder holds a run of another config.
        DataError, ConfigError: see `prepare` and `load_experiment`.
        TrainingError: the loss is not a number.

    Example:
        >>> run = train(load_experiment("configs/sentiment_sample.yaml"), "runs/sentiment_sample")
    """
    console = console or Console(stderr=True)
    directory = Path(run_dir)
    if is_run(directory):
        check_same(directory, experiment, differences)
        if read_info(directory)["state"] == "finished":
            console.print(
                f"{directory}: this run is finished (train on: training.init_from={directory})", highlight=False
            )
            return Run(directory)
    elif directory.exists() and any(directory.iterdir()):
        raise ConfigError(f"--run-dir {str(directory)!r} exists, is not empty and is not a run folder")
    with _precision(experiment.training.precision):
        return _train(experiment, directory, console)


@contextmanager
def _precision(policy: str):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _train(experiment: Experiment, directory: Path, console: Console) -> Run:
    settings = experiment.training
    say = lambda line: console.print(line, highlight=False, soft_wrap=True)  # noqa: E731
    task = make_task(experiment)
    task.check(experiment)
    origin = _origin(experiment) if settings.init_from else None
    state_file = directory / "checkpoints" / "state.npz"
    backbone = open_backbone(experiment) if experiment.backbone.init_from and not state_file.exists() else None
    start = origin or backbone
    texts = (start.text if start else None, origin.target_text if origin else None)
    if experiment.backbone.init_from and is_run(directory):  # the run it started from may be gone by now
        texts = open_texts(directory)
    learned = {"labels": origin.labels, "facts": origin.assets.facts} if origin else {}
    prepared = prepare(experiment, text=texts[0], target_text=texts[1], **learned, progress=say)
    stores, assets = prepared.stores, prepared.assets
    _check_same_data(directory, experiment, prepared)

    keras.utils.set_random_seed(settings.seed)
    model = task.model(experiment.backbone, assets)
    batches, held_out = task.training_batches(model, stores, prepared.labels, settings)
    steps = settings.save_every or batches.steps_per_epoch
    rounds = -(-settings.epochs * batches.steps_per_epoch // steps)  # the last round is whole
    optimizer, optimizer_callbacks = make_optimizer(settings, rounds * steps, groups=model.layer_groups())
    metrics = task.metrics(prepared.labels)
    _check_monitor(settings.monitor, task.loss_metric, metrics, task.monitors)
    jit_compile = settings.xla if keras.backend.backend() == "tensorflow" else "auto"
    model.compile(optimizer, task.loss(), weighted_metrics=metrics, jit_compile=jit_compile)
    model.optimizer.build(model.trainable_variables)
    say(f"{model.count_params():,} parameters; {rounds} rounds of {steps} steps, {batches.description}")
    if not state_file.exists() and origin:
        with without_optimizer(model):
            model.load_weights(origin.weights())
    elif not state_file.exists():
        if backbone:
            say(backbone.copy_to(model.backbone))
        for line in task.start_weights(model, prepared.text, stores["train"]):
            say(line)
    if not is_run(directory):
        _begin(directory, experiment, prepared)

    mode = monitor_mode(settings.monitor)
    log = RoundLog(task.loss_metric, steps)
    checkpoints = Checkpoints(directory / "checkpoints", settings.monitor, mode)
    stateful = [log, *optimizer_callbacks, checkpoints]
    stateful[1:1] = task.interval_callbacks(
        experiment, model, stores, assets, console
    )  # before those that read the logs
    if settings.average_checkpoints:
        number, of = settings.average_checkpoints, settings.average_of
        stateful.append(KeepRounds(directory / "checkpoints", number, of, settings.monitor, mode))
    if settings.patience:
        stateful.append(keras.callbacks.EarlyStopping(settings.monitor, mode=mode, patience=settings.patience))
    progress = ProgressBar(rounds, steps, checkpoints, console)
    state = TrainingState(state_file, stateful)
    with only_process(directory, f"another process is training in {directory}"):
        for leftover in (directory / "checkpoints").glob(".*"):  # of a process that was killed while it wrote
            leftover.unlink()
        done = state.load(model)
        _cut_history(directory / "history.csv", done)
        if done:
            say(f"going on after round {done}")
        callbacks = [EvaluateAverage(), *stateful, StopOnNaN(directory, steps)]
        callbacks.append(keras.callbacks.CSVLogger(str(directory / "history.csv"), append=True))
        if settings.tensorboard:
            callbacks.append(keras.callbacks.TensorBoard(str(directory / "tensorboard"), write_graph=False))
        callbacks += [progress, state]
        try:
            if done < rounds and not state.stopped:
                model.fit(
                    feed(batches.batch, done * steps),
                    epochs=rounds,
                    initial_epoch=done,
                    steps_per_epoch=steps,
                    **validation_feed(held_out.batch, held_out.steps_per_epoch),
                    callbacks=callbacks,
                    verbose=0,
                    shuffle=False,
                )
            else:
                state.on_train_begin()
        finally:
            progress.close()
        if settings.average_checkpoints:
            averaged = kept_rounds(directory / "checkpoints")
            average_rounds(model, directory / "checkpoints", averaged)
            say(f"averaged the weights of rounds {', '.join(map(str, averaged))}")
        best = {"round": checkpoints.best_epoch, "metric": settings.monitor, "value": checkpoints.best}
        outcome = {"state": "finished", "parameters": model.count_params(), "seconds": log.seconds, "best": best}
        write_info(directory, read_info(directory) | outcome)
    return Run(directory)


def _origin(experiment: Experiment) -> Run:
    """The run to start from, which must have this network and this text layer."""
    origin = Run(experiment.training.init_from)
    lines = differences(origin.experiment, experiment)
    network = ("task.", "text.", "target_text", "backbone.", "data.labels:")
    lines = [line for line in lines if line.startswith(network)]
    if lines:
        listed = "\n  ".join(lines)
        raise ConfigError(
            f"training.init_from: {origin.directory} has another network or text layer. "
            f"What differs (there → here):\n  {listed}"
        )
    return origin


def _check_same_data(directory: Path, experiment: Experiment, prepared: Prepared) -> None:
    """Refuses to go on with a run whose data have changed since it began."""
    if not is_run(directory):
        return
    info = read_info(directory)
    assets = open_assets(experiment, directory, info["labels"], info.get("facts", {}))
    if (_identity(assets), info["statistics"]) != (_identity(prepared.assets), prepared.statistics):
        raise RunError(
            f"the data have changed since the run in {directory} began, so it cannot go on; give another --run-dir, "
            f"or train on from it there with training.init_from={directory}"
        )


def _identity(assets: Assets) -> list:
    """What differs where assets do."""
    texts = (assets.text, assets.target_text)
    return [*(text and text.fingerprint for text in texts), list(assets.labels), dict(assets.facts)]


def _check_monitor(monitor: str, loss_metric: str, metrics, measured=()) -> None:
    names = ["loss", *(metric.name for metric in metrics if metric.name != loss_metric)]
    known = [*measured, *(prefix + name for prefix in ("val_", "") for name in names)]
    if monitor not in known:
        raise ConfigError(f"training.monitor: {unknown('metric', monitor, known)}")


def _begin(directory: Path, experiment: Experiment, prepared: Prepared) -> None:
    """Makes the run folder in one piece."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with hidden_folder(directory.parent, f".{directory.name}-") as hidden:
        temporary = hidden / "run"
        (temporary / "checkpoints").mkdir(parents=True)
        save_texts(temporary, prepared.text, prepared.target_text)
        replace_file(temporary / "config.yaml", experiment.to_yaml())
        info = {"schema": SCHEMA, "state": "running", "labels": prepared.labels, "statistics": prepared.statistics}
        info |= {"facts": prepared.assets.facts} if prepared.assets.facts else {}
        write_info(temporary, {**info, "backend": keras.backend.backend(), **environment()})
        place_folder(temporary, directory)


def _cut_history(path: Path, rounds: int) -> None:
    """Leaves the first `rounds` rows of the history, so that a resumed run holds each round once."""
    if not path.exists():
        return
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    kept = io.StringIO()
    csv.writer(kept, lineterminator="\n").writerows(rows[: rounds + 1] if rounds else [])
    replace_file(path, kept.getvalue()) if rounds else path.unlink()
