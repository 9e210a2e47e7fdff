"""Starting a backbone from a trained language model (Dai & Le 2015; Howard & Ruder 2018)."""

from nlp_suite.errors import ConfigError
from nlp_suite.text.text_layer import TextLayer
from nlp_suite.training.run import Run

_OWN = {"max_length", "max_characters", "truncation", "add_start", "add_end"}  # each task's own business
_FREE = {"causal", "max_length"}  # settings of a network that do not change what its weights mean


class BackboneStart:
    """The backbone of a trained run, for another model.

    Attributes:
        text: the run's tokenizer and normalisation with the experiment's own length and truncation.

    Raises:
        ConfigError: as far as the two configs say, the weights do not suit: other text settings, another kind of
            backbone, or settings (dropouts aside) under which the weights mean something else.
    """

    def __init__(self, run: Run, experiment):
        self._run = run
        theirs, ours = (e.text.model_dump(mode="json") for e in (run.experiment, experiment))
        differ = [
            f"text.{key}: {theirs[key]} → {ours[key]}" for key in theirs if key not in _OWN and theirs[key] != ours[key]
        ]
        if differ:
            listed = "\n  ".join(differ)
            raise ConfigError(
                f"backbone.init_from: {run.directory} reads another text, so its vocabulary does not match. What differs "
                f"(there → here):\n  {listed}"
            )
        theirs, ours = run.experiment.backbone, experiment.backbone
        if theirs.name != ours.name:
            raise ConfigError(f"backbone.init_from: {run.directory} has the backbone {theirs.name}, not {ours.name}")
        theirs, ours = theirs.arguments(), ours.arguments()
        if set(_differing(theirs, ours)) - _FREE:
            raise self._another_network(theirs, ours)
        self.text = TextLayer(experiment.text, run.text.tokenizer)

    def copy_to(self, backbone) -> str:
        """Copies the weights into a built backbone; returns a line that says so.

        Raises:
            ConfigError: arrays of other shapes, as of another number of learned positions.
        """
        origin = self._run.model().backbone
        if [w.shape for w in origin.weights] != [w.shape for w in backbone.weights]:
            raise self._another_network(origin.settings, backbone.settings)
        for weight, value in zip(backbone.weights, origin.weights):
            weight.assign(value)
        return f"backbone: {len(backbone.weights)} arrays of {self._run.directory}"

    def _another_network(self, theirs: dict, ours: dict) -> ConfigError:
        listed = ", ".join(f"{key}: {theirs[key]} → {ours[key]}" for key in _differing(theirs, ours))
        return ConfigError(
            f"backbone.init_from: the backbone of {self._run.directory} is another network (there → here): {listed}"
        )


def _differing(theirs: dict, ours: dict) -> list[str]:
    """Settings of two backbones of one kind that differ; dropouts are each one's own."""
    return [key for key in theirs if "drop" not in key and theirs[key] != ours[key]]


def open_backbone(experiment) -> BackboneStart:
    """What `backbone.init_from` names."""
    return BackboneStart(Run(experiment.backbone.init_from), experiment)
