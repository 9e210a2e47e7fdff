"""Settings of a language model that do not belong together, refused before Keras is imported and any data are read."""

from nlp_suite.data.memory import check_batch
from nlp_suite.errors import ConfigError
from nlp_suite.registry import BACKBONES


def check_language_model(experiment, task) -> None:
    """Refuses what cannot be.

    Args:
        experiment: the resolved config.
        task: the settings of the task.

    Raises:
        ConfigError: naming the keys, and what to set.
    """
    training = experiment.training
    backbone = experiment.backbone
    if not backbone.is_causal:
        if changes := backbone.changes_to_be_causal:
            listed = ", ".join(f"backbone.{key}: {value}" for key, value in changes.items())
            raise ConfigError(f"a language model must not see the future: set {listed.lower()}")
        causal = [name for name in BACKBONES.names() if BACKBONES.settings(name).causal_overrides is not None]
        raise ConfigError(
            f"backbone {backbone.description!r} is not causal; a language model takes: {', '.join(causal)}"
        )
    if backbone.max_tokens is not None:
        _check_positions(backbone, task)
    if training.epochs and backbone.is_frozen and not backbone.has_output_bias:
        raise ConfigError(
            f"backbone.freeze: {backbone.freeze} leaves nothing to train, as a language model has no layer above a pretrained "
            "backbone: give a smaller number, or training.epochs: 0 for the model as it is"
        )
    if not (backbone.has_output_bias or (task.tie_embeddings and task.softmax == "full")):
        raise ConfigError(
            "a pretrained model has an output of its own: leave task.tie_embeddings: true and task.softmax: full"
        )
    if task.batching == "stream" and not backbone.carries_state:
        raise ConfigError(f"task.batching: a {backbone.name} carries no state; use windows or documents")
    if task.random_window and not backbone.carries_state:
        raise ConfigError(f"task.random_window: a {backbone.name} reads no streams; leave it out")
    if training.xla and task.softmax == "adaptive":
        raise ConfigError("training.xla: an adaptive softmax cannot be compiled; use softmax: full or xla: false")
    rows = training.batch_size if task.batching in ("stream", "windows") else 1
    if rows > 1 or backbone.context_key:  # else documents may be much shorter than the window
        check_batch(
            f"task.window {task.window:,} and training.batch_size {training.batch_size:,}",
            rows,
            task.window,
            backbone,
        )
    if not backbone.carries_state:
        _check_window(backbone, task)
        _check_length(backbone, task)


def _check_window(backbone, task) -> None:
    """The backbone's context limit is `task.window`: another one must not be set. The config of a run names every key, though."""
    key, fields = backbone.context_key, type(backbone).model_fields
    if key is None:
        return
    limit, is_set = getattr(backbone, key), key in backbone.model_fields_set
    if backbone.model_fields_set >= set(fields):
        is_set = limit != fields[key].default
    if is_set and limit != task.window:
        raise ConfigError(
            f"backbone.{key}: {limit}; a language model sees task.window {task.window} tokens: "
            f"leave backbone.{key} out, or set both to the same number"
        )


def _check_positions(backbone, task) -> None:
    """What is read at a time must not be longer than the positions that a pretrained network has."""
    prompt = task.max_prompt + task.max_generated
    for keys, tokens in (
        (f"task.window {task.window:,}", task.window),
        (f"task.max_prompt {task.max_prompt:,} + task.max_generated {task.max_generated:,}", prompt),
    ):
        if tokens > backbone.max_tokens:
            raise ConfigError(
                f"{keys}: backbone {backbone.name} has positions for {backbone.max_tokens:,} tokens; lower "
                f"{' or '.join(part.split()[0] for part in keys.split(' + '))}"
            )


def _check_length(backbone, task) -> None:
    """Where the backbone's sequences end with the window, as those with learned positions do, generation must end there too."""
    if backbone.length_bound and task.max_prompt + task.max_generated > task.window:
        what, remedy = backbone.length_bound
        raise ConfigError(
            f"backbone.{what} end with task.window {task.window}, but task.max_prompt "
            f"{task.max_prompt} + task.max_generated {task.max_generated} go beyond; lower them, or {remedy}"
        )
