"""The remarks of a report, as a section of its page."""

from nlp_suite.evaluation.page import Html, Section, escape


def remarks_section(report: dict) -> list[Section]:
    """What a user should know of the numbers: one section, or none where there are no `remarks`."""
    if not report.get("remarks"):
        return []
    items = "\n".join(f"<li>{escape(remark)}</li>" for remark in report["remarks"])
    return [Section("What to know of these numbers", Html(f"<ul>\n{items}\n</ul>"))]
