"""What every export format is: settings in, a run folder turned into something on disk."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from nlp_suite.config import ComponentSettings
from nlp_suite.export.quantized import describe_quantized
from nlp_suite.training.run import Run


class ExporterSettings(ComponentSettings):
    """Settings of a format that has none."""


@dataclass
class ExportResult:
    """What an export made.

    Attributes:
        path: the version folder or file.
        signatures: signature → inputs and outputs, as `{"inputs": {name: "string [B]"}, "outputs": {…}}`; empty for a
            `.keras` file.
        curl: a command that asks a TensorFlow Serving REST endpoint on this machine; empty for a `.keras` file.
        seconds: wall-clock time.
        report: JSON-able: what the self-check saw, or why it was `unchecked`; sizes; `remarks`, sentences on what is not as
            in the run; the op report where there is one.
        use: a line of the program that the files are for, which opens them; empty where there is `curl`.
    """

    path: Path
    signatures: dict[str, Any] = field(default_factory=dict)
    curl: str = ""
    seconds: float = 0.0
    report: dict[str, Any] = field(default_factory=dict)
    use: str = ""

    def describe(self) -> str:
        """The result as lines for a terminal."""
        lines = [f"{self.path}: {self.report.get('bytes', 0) / 2**20:.1f} MiB in {self.seconds:.0f} s"]
        if check := self.report.get("self_check"):
            allowed = f" ({check['tolerance']:g} allowed)" if "tolerance" in check else ""
            difference = f"{check['largest_difference']:.1g}{allowed}"
            lines.append(f"self-check: {check['rows']} answers, largest difference {difference}")
        if weights := self.report.get("weights"):
            lines.append(
                f"weights: stored as {weights['stored_as']}; the rounding changes an answer by at most "
                f"{weights['largest_change']:.1g}, and the self-check is with rounded weights"
            )
        if quantized := self.report.get("quantized"):
            lines.append(describe_quantized(quantized))
        if unchecked := self.report.get("unchecked"):
            lines.append(f"self-check: none, {unchecked}")
        lines += [f"note: {remark}" for remark in self.report.get("remarks", ())]
        for name, signature in self.signatures.items():
            sides = ["  ".join(f"{key}: {kind}" for key, kind in signature[s].items()) for s in ("inputs", "outputs")]
            lines.append(f"  {name}\n    {sides[0]}\n    → {sides[1]}")
        if self.curl:
            lines.append(f"ask TensorFlow Serving:\n  {self.curl}")
        if self.use:
            lines.append(f"open it:\n  {self.use}")
        return "\n".join(lines)


class Exporter(ABC):
    """One format; its constructor takes the fields of its settings.

    Attributes:
        for_named_tasks: whether it can express only tasks that name it in `Task.exports_to`.
    """

    for_named_tasks: ClassVar[bool] = False

    def check(self, run: Run, to: Path) -> None:  # noqa: B027  not every format refuses something
        """Refuses what can be refused without opening the network; asked before `export`, and before Keras is imported.

        Args:
            run: the run folder.
            to: the destination.

        Raises:
            ExportError: a destination or settings that the format cannot use.
        """

    @abstractmethod
    def export(self, run: Run, to: Path) -> ExportResult:
        """Writes the best weights of a run.

        Args:
            run: the run folder.
            to: the destination.

        Raises:
            ExportError: refused or failed; nothing is left behind.
        """
