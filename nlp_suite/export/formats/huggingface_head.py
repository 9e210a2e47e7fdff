"""The classifier over the encoder in this folder, whose form no class of transformers has.

    python head.py "A text." "Another one."
    python head.py --pairs "A text." "Its second one."

prints what it answers, of pairs with two arguments each. Needs torch, transformers and safetensors. Written by `nlp-suite export --format huggingface`.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

Head = tuple[dict[str, torch.Tensor], list[str]]


def open_head(folder: Path) -> Head:
    """The tensors of head.safetensors, and the kinds of pooling."""
    with safe_open(folder / "head.safetensors", "pt") as file:
        names = file.keys()
        return {name: file.get_tensor(name) for name in names}, file.metadata()["pooling"].split(",")


def pool(features: torch.Tensor, mask: torch.Tensor, head: Head) -> torch.Tensor:
    """Features `[B, T, D]` of the tokens, of which mask `[B, T]` has those that are no padding, to a vector `[B, P]`."""
    tensors, kinds = head
    mask = mask.bool().unsqueeze(-1)  # [B, T, 1]
    count = mask.sum(1)  # [B, 1]

    def attention() -> torch.Tensor:
        scores = (features @ tensors["attention.weight"].T).masked_fill(~mask, -1e9)  # [B, T, 1]
        return (features * scores.softmax(1)).sum(1)

    pooled = {
        "first": lambda: features[:, 0],
        "last": lambda: features[torch.arange(len(features)), count[:, 0] - 1],
        "mean": lambda: (features * mask).sum(1) / count,
        "max": lambda: features.masked_fill(~mask, -6e4).amax(1),
        "attention": attention,
    }
    return torch.cat([pooled[kind]() for kind in kinds], -1)


def logits(features: torch.Tensor, mask: torch.Tensor, head: Head) -> torch.Tensor:
    """What the dense layers, with a ReLU between two, make of the pooled features: `[B, C]`."""
    x, tensors = pool(features, mask, head), head[0]
    for number in range(sum(name.endswith(".bias") for name in tensors)):
        x = x.relu() if number else x
        x = x @ tensors[f"dense.{number}.weight"].T + tensors[f"dense.{number}.bias"]
    return x


def answers(texts: list[str], others: list[str] | None = None, *, folder: Path) -> list[dict[str, float]]:
    """Label → probability of every text, or of every pair with `others`; of a regression the number."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    inputs = tokenizer(texts, others, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        x: Any = logits(model(**inputs).last_hidden_state, inputs["attention_mask"], open_head(folder))
    problem = model.config.problem_type
    if problem != "regression":
        x = x.softmax(-1) if problem == "single_label_classification" else x.sigmoid()
    return [{model.config.id2label[number]: value for number, value in enumerate(row)} for row in x.tolist()]


if __name__ == "__main__":
    given = sys.argv[1:]
    rows = (given[1::2], given[2::2]) if given[:1] == ["--pairs"] else (given,)
    for answer in answers(*rows, folder=Path(__file__).parent):
        print(answer)
