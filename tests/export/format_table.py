"""Which format expresses which network: the declaration that saved_models/README.md shows and test_format_table.py proves."""

TASKS = {
    "classifier": ("bag", "cnn", "rnn", "lstm", "gru", "transformer", "preset"),
    "language model": ("rnn", "lstm", "gru", "transformer"),
    "translation": ("lstm", "gru", "transformer"),
    "forecasting": ("bag", "cnn", "rnn", "lstm", "gru", "transformer"),
}
ROWS = [(task, backbone) for task, backbones in TASKS.items() for backbone in backbones]
FORMATS = (
    "saved_model", "keras", "keras-plain", "keras-layers", "onnx", "litert", "safetensors", "huggingface", "ctranslate2",
)  # fmt: skip
CLASSIFIERS_ONLY = r"cannot express|no format|is for|only"


def refused(format: str, task: str, backbone: str) -> str:
    """What the refusal of a cell says, as a regular expression; empty: the format expresses it."""
    return ""


def table() -> list[str]:
    """The lines of the table in saved_models/README.md."""
    lines = [f"| | {' | '.join(FORMATS)} |", "|---|" + "---|" * len(FORMATS)]
    for task, backbone in ROWS:
        cells = ["–" if refused(format, task, backbone) else "yes" for format in FORMATS]
        lines.append(f"| {task}, `{backbone}` | {' | '.join(cells)} |")
    return lines
