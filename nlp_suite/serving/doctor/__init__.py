"""Will a stock TensorFlow Serving serve this SavedModel? Told from its files, without a server and without loading it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlp_suite.export.op_check import server_version as check_server_version
from nlp_suite.serving.doctor.checks import Check

_MARKS = {True: ("✓", "green"), False: ("✗", "bold red"), None: ("!", "yellow")}


@dataclass
class DoctorReport:
    """The results for one version of a model.

    Attributes:
        path: the version folder that was examined.
        server_version: the version of TensorFlow Serving it was compared with.
        checks: in order; `ok` is `False` for what prevents the server from serving it properly, `None` for what is worth
            knowing.
    """

    path: Path
    server_version: str
    checks: list[Check] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return all(check.ok is not False for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON takes it."""
        checks = [{"name": check.name, "ok": check.ok, "what": check.message} for check in self.checks]
        return {"path": str(self.path), "server_version": self.server_version, "ok": self.ok, "checks": checks}


def examine(path: str | Path, server_version: str = "2.19", *, measure_cost: bool = False) -> DoctorReport:
    """Examines a version folder, or the newest version in a model's folder.

    Reads the graph, the list of ops, the signatures, the variables with their checksums, the assets and the warm-up
    file.

    Args:
        path: a folder with `saved_model.pb`, or one whose children are versions.
        server_version: of TensorFlow Serving, such as `"2.19"`.
        measure_cost: whether to load it in another process, and to measure what a row costs.

    Returns:
        The report; a broken file is a failed check, not an error.

    Raises:
        ExportError: an unknown server version, or no SavedModel in `path`.

    Example:
        >>> examine("saved_models/sentiment").ok
        True
    """
    from nlp_suite.serving.doctor import cost, files, graph, ops, warmup

    check_server_version(server_version)
    folder = files.version_folder(Path(path))
    report = DoctorReport(folder, str(server_version))
    report.checks.append(files.check_versions(folder))
    checks, meta_graph = graph.read(folder)
    report.checks += checks
    if meta_graph is None:
        return report
    checks, broken = ops.check(folder, meta_graph, str(server_version))
    report.checks += checks
    report.checks += graph.check_signatures(meta_graph)
    report.checks.append(graph.check_labels(folder, meta_graph))
    report.checks.append(files.check_variables(folder, meta_graph))
    report.checks.append(files.check_assets(folder, meta_graph))
    report.checks.append(warmup.check(folder, meta_graph, broken))
    report.checks += files.check_sizes(folder, meta_graph)
    if measure_cost:
        report.checks.append(cost.check(folder))
    return report


def format_report(report: DoctorReport) -> Any:
    """The report as a rich table."""
    from rich.table import Table
    from rich.text import Text

    verdict = "ready" if report.ok else "not ready"
    title = Text(f"{report.path} for TensorFlow Serving {report.server_version}: {verdict}")
    table = Table("check", "", "what was found", title=title, title_justify="left")
    for check in report.checks:
        mark, style = _MARKS[check.ok]
        table.add_row(Text(check.name), Text(mark, style), Text(check.message))
    return table
