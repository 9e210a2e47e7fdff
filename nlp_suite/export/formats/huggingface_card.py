"""README.md of a folder in Hugging Face's layout, and what sentence-transformers reads beside the model."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from nlp_suite.export.model_card import as_markdown

_POOLINGS = {"first": "pooling_mode_cls_token", "max": "pooling_mode_max_tokens", "mean": "pooling_mode_mean_tokens"}
"""Kinds that sentence-transformers has, in the order in which it joins several."""

_USE = {
    "class": """from transformers import pipeline

print(pipeline("text-classification", model=FOLDER)(TEXT, truncation=True))
""",
    "file": """import sys
from pathlib import Path

sys.path.insert(0, FOLDER)
import head  # head.py of this folder

print(head.answers(ROWS, folder=Path(FOLDER)))
""",
    "": """from transformers import AutoModel, AutoTokenizer

tokenizer, encoder = AutoTokenizer.from_pretrained(FOLDER), AutoModel.from_pretrained(FOLDER)
print(encoder(**tokenizer(TEXTS, truncation=True, return_tensors="pt")).last_hidden_state)
""",
}
_TEXTS = {  # what stands in `_USE`, for one text and for a pair of texts
    "TEXT": ('"A text."', '{"text": "A text.", "text_pair": "Another one."}'),
    "TEXTS": ('"A text."', '"A text.", "Another one."'),
    "ROWS": ('["A text."]', '["A text."], ["Another one."]'),
}
_HELD = {
    "class": "The two layers of the classifier are made to compute what one or two of nlp-suite's compute: to train on, start "
    "from the encoder, or from nlp-suite's run.",
    "file": "`AutoModelForSequenceClassification` would begin with a classifier of random weights: the trained one is in "
    "`head.safetensors`.",
    "": "The folder has the encoder only.",
}


def readme(card: Mapping[str, Any], held_in: str, remarks: Sequence[str], has_vectors: bool, pairs: bool) -> str:
    """The model card with the front matter that Hugging Face's libraries read.

    Args:
        card: see `model_card`.
        held_in: where the classifier is: `"class"`, `"file"` or nowhere.
        remarks: sentences on what is not as in nlp-suite.
        has_vectors: whether sentence-transformers can read the folder.
        pairs: whether it classifies pairs of texts.
    """
    stated = card["license"] if card["license"] != "unspecified" else (card.get("pretrained") or {}).get("licence")
    front = {"library_name": "transformers", "pipeline_tag": "text-classification", "license": stated}
    lines = ["---", *(f"{key}: {json.dumps(value)}" for key, value in front.items() if value), "---", ""]
    lines += [as_markdown(card), "## Use", "", "```python", f"FOLDER = {card['name']!r}  # where it is"]
    code = re.sub(r"\b(TEXTS?|ROWS)\b", lambda name: _TEXTS[name[0]][pairs], _USE[held_in])
    lines += [f"{code}```", "", _HELD[held_in], ""]
    if has_vectors:
        lines += [
            "`sentence_transformers.SentenceTransformer(FOLDER).encode(texts)` gives the vectors of the texts.",
            "",
        ]
    if remarks:
        lines += ["What is not as in nlp-suite:", "", *(f"* {remark}" for remark in remarks), ""]
    return "\n".join(lines)


def sentence_transformers_files(pooling: Sequence[str], features: int, max_length: int) -> dict[str, bytes]:
    """File name → content; nothing where sentence-transformers lacks the pooling, or joins it in another order.

    Args:
        pooling: kinds of pooling, concatenated.
        features: D of a token.
        max_length: tokens of a text.
    """
    if list(pooling) != [kind for kind in _POOLINGS if kind in pooling]:
        return {}
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate((("", "Transformer"), ("1_Pooling", "Pooling")))
    ]
    modes = {mode: kind in pooling for kind, mode in _POOLINGS.items()}
    files = {
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": max_length, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": features, **modes},
    }
    return {name: json.dumps(value, indent=1).encode() for name, value in files.items()}
