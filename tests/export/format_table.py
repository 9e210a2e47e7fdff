"""Which format expresses which network: the declaration that saved_models/README.md shows and test_format_table.py proves."""

TASKS = {
    "classifier": ("bag", "cnn", "rnn", "lstm", "gru", "transformer", "preset"),
    "language model": ("rnn", "lstm", "gru", "transformer"),
    "translation": ("lstm", "gru", "transformer"),
    "forecasting": ("cnn", "rnn", "lstm", "gru", "transformer"),
}
ROWS = [(task, backbone) for task, backbones in TASKS.items() for backbone in backbones]
FORMATS = (
    "saved_model", "keras", "keras-plain", "keras-layers", "onnx", "litert", "safetensors", "huggingface", "ctranslate2",
)  # fmt: skip
OF_STOCK_LAYERS = ("cnn", "rnn", "lstm", "gru")
OF_TASK = {"keras-layers": "classifier", "huggingface": "classifier", "ctranslate2": "translation"}


def refused(format: str, task: str, backbone: str) -> str:
    """What the refusal of a cell says, as a regular expression; empty: the format expresses it."""
    if OF_TASK.get(format, task) != task:
        return f"format .{format}. cannot express a run of "
    if format == "keras-layers" and backbone not in OF_STOCK_LAYERS:
        return (
            r"cannot express backbone\.ngrams 2, only 1"
            if backbone == "bag"
            else "stock layers without keras.ops cannot express"
        )
    if format == "ctranslate2" and backbone != "transformer":
        return "CTranslate2"
    if format == "huggingface" and backbone != "preset":
        return "preset"
    if format == "litert":
        if task == "translation":
            return "LiteRT files have fixed shapes"
        if task == "forecasting":  # by default
            return "task.linear_path: LiteRT's converter"
        if backbone == "bag":
            return "built-in operators lack"
    return ""


def table() -> list[str]:
    """The lines of the table in saved_models/README.md."""
    lines = [f"| | {' | '.join(f'`{format}`' for format in FORMATS)} |", "|---|" + "---|" * len(FORMATS)]
    for task, backbone in ROWS:
        cells = ["–" if refused(format, task, backbone) else "yes" for format in FORMATS]
        lines.append(f"| {task}, `{backbone}` | {' | '.join(cells)} |")
    return lines
