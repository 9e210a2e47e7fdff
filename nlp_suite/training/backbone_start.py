"""Starting a backbone from a trained language model (Dai & Le 2015; Howard & Ruder 2018)."""

from nlp_suite.config import ConfigError
from nlp_suite.text.text_layer import TextLayer
from nlp_suite.training.run import Run

_OWN = {"max_length", "max_characters", "truncation", "add_start", "add_end"}  # each task's own business
_FREE = {"causal", "max_length"}  # settings of a network that do not change what its weights mean


class BackboneStart:
    """The backbone of a trained run, for another model.

    Attributes:
        text: the run's tokenizer and normalisation with the experiment's own length and truncation.
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
        self.text = TextLayer(experiment.text, run.text.tokenizer)

    def copy_to(self, backbone) -> str:
        """Copies the weights into a built backbone; returns a line that says so.

        Raises:
            ConfigError: another kind of backbone, or settings (dropouts aside) under which the weights mean something else.
        """
        origin = self._run.model().backbone
        if type(origin) is not type(backbone):
            raise ConfigError(
                f"backbone.init_from: {self._run.directory} has a {type(origin).__name__}, not a {type(backbone).__name__}"
            )
        theirs, ours = origin.settings, backbone.settings
        keys = [key for key in theirs if "drop" not in key and theirs[key] != ours[key]]
        same_shapes = [w.shape for w in origin.weights] == [w.shape for w in backbone.weights]
        if not same_shapes or set(keys) - _FREE:
            listed = ", ".join(f"{key}: {theirs[key]} → {ours[key]}" for key in keys)
            raise ConfigError(
                f"backbone.init_from: the backbone of {self._run.directory} is another network (there → here): {listed}"
            )
        for weight, value in zip(backbone.weights, origin.weights):
            weight.assign(value)
        return f"backbone: {len(backbone.weights)} arrays of {self._run.directory}"


def open_backbone(experiment) -> BackboneStart:
    """What `backbone.init_from` names."""
    return BackboneStart(Run(experiment.backbone.init_from), experiment)
