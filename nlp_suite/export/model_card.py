"""The model card: what the model is, what it was trained on, how well it does, and where it should not be trusted."""

import datetime
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nlp_suite.files import read_json
from nlp_suite.training.run import Run

OMITTED_METRICS = (
    "mistakes",
    "reliability",
    "history",
    "excerpt",
    "next_tokens",
    "samples",
    "worst",
    "attention",
    "points",
    "ranges",
)
"""Keys of a report that hold long tables."""


def model_card(run: Run, model: Any, name: str) -> dict[str, Any]:
    """Everything the card says, as one JSON-able mapping.

    Args:
        run: the run folder; its `report.json` gives the metrics where it was evaluated.
        model: its network, built.
        name: of the exported model.
    """
    experiment = run.experiment
    info = run.info
    return {
        "name": name,
        "description": experiment.export.description,
        "license": experiment.export.license,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "task": experiment.task.name,
        "reads_and_writes": run.task.card_facts(experiment),
        "task_settings": experiment.task.model_dump(mode="json", exclude={"name"}),
        "labels": list(run.labels),
        "parameters": int(model.count_params()),
        "weight_bytes": sum(np.asarray(v).nbytes for v in model.weights),
        **_network(run),
        **_of_targets(run),
        **({"pretrained": info["pretrained"]} if "pretrained" in info else {}),
        "data": {**experiment.data.source.model_dump(mode="json"), "splits": info.get("statistics") or {}},
        "metrics": _metrics(run),
        "training": {key: info[key] for key in ("best", "seconds", "hardware", "versions") if key in info},
        "limits": list(run.task.card_limits),
    }


def _network(run: Run) -> dict[str, Any]:
    """The backbone and the text layer; of an ensemble those of every member, and no text layer of its own."""

    def of(experiment: Any, assets: Any) -> dict[str, Any]:
        text = {**experiment.text.model_dump(mode="json"), "vocabulary_size": assets.vocabulary_size}
        return {"backbone": experiment.backbone.model_dump(mode="json"), "text": text}

    if not (members := run.assets.members):
        return of(run.experiment, run.assets)
    parts = {name: of(*member) for name, member in members.items()}
    return {"backbone": {"name": run.network}, "text": {"vocabulary_size": 0}, "members": parts}


def _of_targets(run: Run) -> dict[str, Any]:
    """The text layer of the targets, where it is another one."""
    if run.target_text is None or run.target_text is run.text:
        return {}
    settings = run.target_text.settings.model_dump(mode="json")
    return {"target_text": {**settings, "vocabulary_size": run.target_text.vocabulary_size}}


def _metrics(run: Run) -> dict[str, Any]:
    """Numbers of the run's report, without its long tables; empty where it was never evaluated, or the report removed."""
    if not (run.directory / "report.json").exists():
        return {}
    report = read_json(run.record.check("report.json"), f"make it again: nlp-suite evaluate {run.directory}")
    return {key: value for key, value in report.items() if key not in OMITTED_METRICS}


def as_markdown(card: Mapping[str, Any]) -> str:
    """The card as a page to read."""
    metrics = card["metrics"]
    lines = [f"# {card['name']}", "", card["description"] or f"A {card['task']} model.", ""]
    facts = {
        "Task": card["task"],
        **({"Labels": ", ".join(card["labels"])} if card["labels"] else {}),
        "Backbone": card["backbone"]["name"],
        **_decoder(card),
        "Parameters": f"{card['parameters']:,} ({card['weight_bytes'] / 2**20:.1f} MiB of weights)",
        **_tokenizer(card),
        **_target_tokenizer(card),
        **card["reads_and_writes"],
        **_pretrained(card),
        "Licence": card["license"],
        "Exported": card["created"],
    }
    lines += [f"* **{key}:** {value}" for key, value in facts.items()]
    lines += ["", "## Data", "", f"Source `{card['data']['name']}`."]
    for split, statistics in card["data"]["splits"].items():
        lines.append(f"* {split}: {_size(statistics)}")
    lines += ["", "## Metrics", ""]
    if metrics:
        lines += ["| metric | value |", "| --- | --- |"]
        lines += [f"| {key} | {_number(value)} |" for key, value in _flat(metrics)]
    else:
        lines.append(
            card.get("not_measured", "Not evaluated: run `nlp-suite evaluate` on the run folder before exporting.")
        )
    lines += ["", "## Limits", "", *(f"* {limit}" for limit in card["limits"]), ""]
    return "\n".join(lines)


def _size(statistics: Mapping[str, Any]) -> str:
    """How much a split has: texts and tokens or, of a corpus kind without texts, all that is counted of it."""
    keys = ("texts", "tokens") if "texts" in statistics else [k for k, v in statistics.items() if isinstance(v, int)]
    return ", ".join(f"{statistics[key]:,} {key}" for key in keys)


def _tokenizer(card: Mapping[str, Any]) -> dict[str, str]:
    """None of a corpus kind without texts."""
    text = card["text"]
    if not text["vocabulary_size"]:
        return {}
    return {"Tokenizer": f"{text['tokenizer']['name']}, {text['vocabulary_size']:,} tokens"}


def _decoder(card: Mapping[str, Any]) -> dict[str, str]:
    decoder = card["task_settings"].get("decoder")
    return {"Decoder": decoder["name"]} if decoder else {}


def _target_tokenizer(card: Mapping[str, Any]) -> dict[str, str]:
    text = card.get("target_text")
    return (
        {"Tokenizer of the target": f"{text['tokenizer']['name']}, {text['vocabulary_size']:,} tokens"} if text else {}
    )


def _pretrained(card: Mapping[str, Any]) -> dict[str, str]:
    if not (origin := card.get("pretrained")):
        return {}
    return {"Weights began as": f"{origin['from']}, whose licence is {origin['licence'] or 'not stated there'}"}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, int | float | str]]:
    """Names and plain numbers or words of nested mappings; lists are left out."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key} · ")
        elif isinstance(value, int | float | str):
            yield f"{prefix}{key}", value


def _number(value: int | float | str) -> str:
    if isinstance(value, str):
        return value.replace("|", "\\|")  # as in sacreBLEU's signatures; bare, it ends the cell
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}"


def write_card(directory: Path, card: Mapping[str, Any]) -> None:
    """Writes `model_card.json` and `model_card.md` into a folder."""
    (directory / "model_card.json").write_text(json.dumps(card, indent=1, ensure_ascii=False), "utf-8")
    (directory / "model_card.md").write_text(as_markdown(card), "utf-8")
