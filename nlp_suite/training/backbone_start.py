"""Starting a backbone from a trained language model (Dai & Le 2015; Howard & Ruder 2018)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nlp_suite.config import Experiment
from nlp_suite.errors import ConfigError
from nlp_suite.registry import TOKENIZERS
from nlp_suite.text.text_layer import TextLayer
from nlp_suite.training.preset_start import PresetStart
from nlp_suite.training.run import Run, is_run

TEXT_MAY_DIFFER = {"max_length", "max_characters", "truncation", "add_start", "add_end"}  # each task's own business
NETWORK_MAY_DIFFER = {  # settings that do not change what the weights mean
    "causal",
    "max_length",
    "freeze",
    "lora_rank",
    "lora_alpha",
}


class BackboneStart:
    """The backbone of a trained run, for another model.

    Attributes:
        text: the run's tokenizer and normalisation with the length and truncation of the experiment.
        pretrained: what the run says of a pretrained model that it began with; None where there was none.

    Raises:
        ConfigError: the run is an ensemble; or as far as the two configs say, the weights do not suit: other text settings,
            another kind of backbone, or settings (dropouts aside) under which the weights mean something else.
    """

    def __init__(self, run: Run, experiment: Experiment):
        self._run, self.pretrained = run, run.info.get("pretrained")
        if run.text is None:
            raise ConfigError(
                f"backbone.init_from: {run.directory} reads no text, so it has no text layer to start with"
            )
        if run.assets.members:
            raise ConfigError(
                f"backbone.init_from: {run.directory} is an ensemble; start with the run of one of its members "
                f"({', '.join(run.assets.members)})"
            )
        self._check_text(run.experiment.text.model_dump(mode="json"), experiment.text.model_dump(mode="json"))
        theirs, ours = run.experiment.backbone, experiment.backbone
        if theirs.name != ours.name:
            raise ConfigError(f"backbone.init_from: {run.directory} has the backbone {theirs.name}, not {ours.name}")
        if set(_differing(theirs.arguments(), ours.arguments())) - NETWORK_MAY_DIFFER:
            raise self._another_network(theirs.arguments(), ours.arguments())
        self.text = TextLayer(experiment.text, run.text.tokenizer)

    def _check_text(self, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
        differing = [key for key in theirs if key not in TEXT_MAY_DIFFER and theirs[key] != ours[key]]
        if differing:
            listed = "\n  ".join(f"text.{key}: {theirs[key]} → {ours[key]}" for key in differing)
            raise ConfigError(
                f"backbone.init_from: {self._run.directory} reads another text, so its vocabulary does not match. What "
                f"differs (there → here):\n  {listed}"
            )

    def copy_to(self, backbone: Any) -> str:
        """Copies the weights into a built backbone; returns a line that says so.

        Raises:
            ConfigError: arrays of other shapes, as of another number of learned positions.
        """
        from nlp_suite.layers.lora import weights_without_updates

        origin, weights = self._run.model().backbone, weights_without_updates(backbone)
        left_out = set() if backbone.output_weights() else {id(weight) for weight in origin.output_weights()}
        theirs = [weight for weight in origin.weights if id(weight) not in left_out]
        if [w.shape for w in theirs] != [w.shape for w in weights]:
            raise self._another_network(origin.settings, backbone.settings)
        for weight, value in zip(weights, theirs, strict=True):
            weight.assign(value)
        return f"backbone: {len(weights)} arrays of {self._run.directory}"

    def _another_network(self, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> ConfigError:
        listed = ", ".join(f"{key}: {theirs[key]} → {ours[key]}" for key in _differing(theirs, ours))
        return ConfigError(
            f"backbone.init_from: the backbone of {self._run.directory} is another network (there → here): {listed}"
        )


def _differing(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """Settings of two backbones of one kind that differ; dropouts are each one's own."""
    return [key for key in theirs if "drop" not in key and theirs[key] != ours[key]]


def open_backbone(experiment: Experiment) -> BackboneStart | PresetStart:
    """What `backbone.init_from` names: a run, or for a backbone `preset` the folder of a pretrained model."""
    origin = experiment.backbone.init_from
    if experiment.backbone.name == "preset" and not is_run(origin):
        return PresetStart(experiment)
    if (Path(origin) / "config.json").is_file() and not is_run(origin):
        raise ConfigError(
            f"backbone.init_from: {origin} is the folder of a pretrained model, which is for the backbone preset, not "
            f"{experiment.backbone.name}"
        )
    return BackboneStart(Run(origin), experiment)


def text_of_origin(experiment: Experiment) -> TextLayer | None:
    """The text layer that comes with the backbone's weights, for a tokenizer that learns no vocabulary; None for others.

    Raises:
        ConfigError: the config names no origin of weights, or one without that tokenizer.
    """
    name = experiment.text.tokenizer.name
    if TOKENIZERS.get(name).learns:
        return None
    if not experiment.backbone.init_from:
        raise ConfigError(
            f"text.tokenizer {name} has the vocabulary of a pretrained model, and backbone.init_from names none: give "
            "backbone: {name: preset, init_from: FOLDER}, or another tokenizer"
        )
    return open_backbone(experiment).text
