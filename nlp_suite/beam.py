"""Apache Beam, which is imported where it is asked for, and the machines that it may use."""

from collections.abc import Sequence
from typing import Any

from nlp_suite.errors import UsageError

RUNNERS = {"direct": "DirectRunner", "flink": "FlinkRunner", "spark": "SparkRunner", "dataflow": "DataflowRunner"}


class BeamRunner:
    """What runs a pipeline of Apache Beam.

    Args:
        name: direct (in this process), flink, spark or dataflow.
        options: its own, as `--flink_master=…`.

    Attributes:
        beam: the package.

    Raises:
        UsageError: there is no such runner, or Apache Beam is not installed.
    """

    def __init__(self, name: str = "direct", options: Sequence[str] = ()):
        if name not in RUNNERS:
            raise UsageError(f"runner {name!r}; allowed: {', '.join(RUNNERS)}")
        try:
            import apache_beam
        except ImportError as error:
            raise UsageError(f"--runner needs Apache Beam: pip install 'nlp-suite[beam]' ({error})") from error
        self.beam, self.name = apache_beam, name
        self._arguments = ["--runner", RUNNERS[name], *options]

    def pipeline(self) -> Any:
        """A new pipeline; it runs when its context ends."""
        from apache_beam.options.pipeline_options import PipelineOptions

        return self.beam.Pipeline(options=PipelineOptions(self._arguments))
