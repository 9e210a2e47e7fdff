"""Training an experiment into a run folder, from the start or from where it was interrupted."""

import csv
import io
import math
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
from rich.console import Console

from nlp_suite.config import ConfigError, Experiment, differences
from nlp_suite.data.batches import BucketedBatches
from nlp_suite.data.prepare import Prepared, prepare
from nlp_suite.training.callbacks import (
    Checkpoints,
    EvaluateAverage,
    ProgressBar,
    RoundLog,
    StopOnNaN,
)
from nlp_suite.training.feed import feed
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
        TrainingError: the loss is not a number, or `training.monitor` is no metric.

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
    origin = Run(settings.init_from) if settings.init_from else None
    prepared = prepare(
        experiment, text=origin.text if origin else None, labels=origin.labels if origin else None, progress=say
    )
    if "validation" not in prepared.stores:
        raise ConfigError("there is no validation split to choose the best checkpoint on")
    _begin(directory, experiment, prepared)

    keras.utils.set_random_seed(settings.seed)
    task = make_task(experiment)
    model = task.model(experiment.backbone, prepared.text.vocabulary_size, len(prepared.labels))
    if origin:
        model.load_weights(origin.directory / "checkpoints" / "best.weights.h5")
    stores = prepared.stores
    batches = BucketedBatches(stores["train"].lengths, settings.batch_size, settings.buckets, settings.seed)
    held_out = BucketedBatches(stores["validation"].lengths, settings.batch_size, settings.buckets, None)
    weights = class_weights(settings.class_weights, prepared.labels, stores["train"].labels)
    steps = settings.save_every or batches.steps_per_epoch
    rounds = max(1, math.ceil(settings.epochs * batches.steps_per_epoch / steps))
    say(
        f"{model.count_params():,} parameters; {rounds} rounds of {steps} steps, batch lengths "
        f"{', '.join(map(str, batches.bounds))} ({batches.padding:.0%} padding)"
    )

    optimizer, schedule_callbacks = make_optimizer(settings, rounds * steps)
    jit_compile = settings.xla if keras.backend.backend() == "tensorflow" else "auto"
    model.compile(optimizer, task.loss(), weighted_metrics=task.metrics(), jit_compile=jit_compile)
    model.optimizer.build(model.trainable_variables)

    def training_batch(n):
        rows, row_weights, length = batches[n]
        return task.batch(stores["train"], rows, row_weights * weights[stores["train"].labels[rows]], length)

    def validation_batch(n):
        return task.batch(stores["validation"], *held_out[n % held_out.steps_per_epoch])

    mode = monitor_mode(settings.monitor)
    log = RoundLog(task.loss_metric, steps)
    checkpoints = Checkpoints(directory / "checkpoints", settings.monitor, mode)
    stateful = [log, *schedule_callbacks, checkpoints]
    if settings.patience:
        stateful.append(keras.callbacks.EarlyStopping(monitor=settings.monitor, mode=mode, patience=settings.patience))
    progress = ProgressBar(rounds, steps, checkpoints, console)
    state = TrainingState(directory / "checkpoints" / "state.npz", stateful)
    done = state.load(model)
    if not done and not origin:
        for line in task.start_weights(model, prepared.text, stores["train"]):
            say(line)
    _cut_history(directory / "history.csv", done)
    if done:
        say(f"going on after round {done}")
    callbacks = [EvaluateAverage(), *stateful, StopOnNaN(directory, steps)]
    callbacks.append(keras.callbacks.CSVLogger(str(directory / "history.csv"), append=True))
    if settings.tensorboard and keras.backend.backend() == "tensorflow":
        callbacks.append(keras.callbacks.TensorBoard(str(directory / "tensorboard"), write_graph=False))
    callbacks += [progress, state]
    try:
        if done < rounds and not state.stopped:
            model.fit(
                feed(training_batch, done * steps),
                epochs=rounds,
                initial_epoch=done,
                steps_per_epoch=steps,
                validation_data=feed(validation_batch),
                validation_steps=held_out.steps_per_epoch,
                callbacks=callbacks,
                verbose=0,
                shuffle=False,
            )
        else:
            state.on_train_begin()
    finally:
        progress.close()
    info = read_info(directory)
    info |= {
        "state": "finished",
        "parameters": model.count_params(),
        "seconds": log.seconds,
        "best": {"round": checkpoints.best_epoch, "metric": settings.monitor, "value": checkpoints.best},
    }
    write_info(directory, info)
    return Run(directory)


def _begin(directory: Path, experiment: Experiment, prepared: Prepared) -> None:
    """Makes the run folder in one piece, unless it is there."""
    if is_run(directory):
        return
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        temporary.chmod(0o755)
        (temporary / "checkpoints").mkdir()
        prepared.text.save(temporary / "text")
        replace_file(temporary / "config.yaml", experiment.to_yaml())
        info = {"schema": SCHEMA, "state": "running", "labels": prepared.labels, "statistics": prepared.statistics}
        write_info(temporary, {**info, "backend": keras.backend.backend(), **environment()})
        temporary.replace(directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def class_weights(setting, labels: list[str], label_ids) -> np.ndarray:
    """Weight of every class, float32 `[C]`.

    Args:
        setting: `"none"`, `"balanced"` (examples / (classes · examples of the class)) or a mapping label → weight.
        labels: label names.
        label_ids: label id of every training example.

    Raises:
        ConfigError: the mapping names a label that does not exist.
    """
    counts = np.bincount(label_ids, minlength=len(labels))
    if setting == "none":
        return np.ones(len(labels), "float32")
    if setting == "balanced":
        return (len(label_ids) / (len(labels) * np.maximum(counts, 1))).astype("float32")
    wrong = sorted(set(setting) - set(labels))
    if wrong:
        raise ConfigError(f"training.class_weights names {wrong}; the labels are {', '.join(labels)}")
    return np.array([setting.get(label, 1.0) for label in labels], "float32")


def _cut_history(path: Path, rounds: int) -> None:
    """Leaves the first `rounds` rows of the history, so that a resumed run holds each round once."""
    if not path.exists():
        return
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    kept = io.StringIO()
    csv.writer(kept, lineterminator="\n").writerows(rows[: rounds + 1] if rounds else [])
    replace_file(path, kept.getvalue()) if rounds else path.unlink()
