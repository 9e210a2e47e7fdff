"""The next steps of a series, each with its interval."""

from collections.abc import Mapping
from typing import Any

from nlp_suite.serving.client.forms import FORMS, AnswerForm, shortened


@FORMS.register()
class Forecast(AnswerForm):
    """`112 118 ? 129` and below it a line a step, such as `  1  121.4  (112.9 to 130.2)`."""

    outputs = frozenset({"forecast"})

    @staticmethod
    def lines(text: str, row: Mapping[str, Any]) -> str:
        """The history; then the number of each step, its forecast, and its lowest and highest quantile."""
        shown = [shortened(text)]
        for step, value in enumerate(row["forecast"]):
            quantiles = row["quantiles"][step] if len(row.get("quantiles", ())) else []
            interval = f"  ({quantiles[0]:.5g} to {quantiles[-1]:.5g})" if len(quantiles) > 1 else ""
            shown.append(f"  {step + 1:>3}  {value:.5g}{interval}")
        return "\n".join(shown)
