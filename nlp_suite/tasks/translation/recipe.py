"""What `nlp-suite init` chooses for translation: short rules on what was seen, each with its reason.

| what was seen | what follows |
|---|---|
| main scripts of both sides | the same: one vocabulary and one table for all; others: a vocabulary a side |
| fewer than 50,000 pairs | a GRU with Bahdanau's attention, which learns from little |
| more | a Transformer, which learns from much in less time |
| number of pairs | vocabulary, sizes, dropout, epochs, tokens of a batch |
| lengths | `max_length` and `max_tokens` hold 99 % of the sentences of both sides, with room for sub-words |
| one in a hundred pairs whose sides differ in length more than threefold | such pairs are left out of training |
"""

from nlp_suite.data.init.seen import Choice, Recipe, Seen

FEW_PAIRS = 50_000
SIZES = (  # up to so many pairs: vocabulary, units, dropout, that of the encoder, tokens of a batch
    (
        5000,
        2000,
        128,
        0.25,
        0.1,
        320,
    ),  # few tokens, for steps: on 2,500 pairs of Tatoeba a validation BLEU of 4.0, not 0.8 as below
    (20_000, 4000, 256, 0.4, 0.3, 1280),
    (FEW_PAIRS, 8000, 256, 0.4, 0.3, 1280),
    (500_000, 8000, 192, 0.1, 0.1, 4096),
    (float("inf"), 16_000, 256, 0.1, 0.1, 4096),
)
PAIRS_READ = 1_000_000  # of training over all epochs, where there are not more
SUB_WORDS = 2  # a word or mark has at most so many, for most
MAX_RATIO = 3.0


def translation_recipe(seen: Seen) -> Recipe:
    """Sections `task`, `text`, `target_text`, `backbone` and `training` for pairs of sentences.

    Args:
        seen: texts in the fields `source` and `target`.
    """
    pairs, size = seen.train_rows, f"{seen.train_rows:,} pairs"
    _, vocabulary, units, dropout, of_encoder, batch = next(size for size in SIZES if pairs <= size[0])
    few = pairs <= FEW_PAIRS
    source, target = (next(iter(seen.texts[side].scripts), "none") for side in ("source", "target"))
    joint = source == target
    script = f"both sides are in {source} script" if joint else f"{source} and {target} script share no sub-words"
    tokenizer = Choice({"name": "sentencepiece", "vocabulary_size": vocabulary}, f"sub-words; {size}")
    length, longest = _length(seen)
    transformer = {"name": "transformer", "layers": 3, "heads": 4, "feed_forward": 4 * units, "dropout": dropout}
    gru = {"name": "gru", "units": units, "attention": "bahdanau", "conditional": True, "context_dropout": dropout}
    recipe = {
        "task": {
            "decoder": Choice(
                gru if few else transformer,
                f"{size}: {'few, a GRU learns from them' if few else 'enough for a Transformer'}",
            ),
            "tie_embeddings": Choice("all" if joint else "target", script),
            "dropout": Choice(dropout if few else 0.0, size),
            "label_smoothing": Choice(0.1),
            "max_tokens": Choice(length, f"pairs with longer sides are left out of training; {longest}"),
            **_ratio(seen),
        },
        "text": {"tokenizer": tokenizer, "max_length": Choice(length, longest)},
        "backbone": _encoder(few, units, of_encoder, size),
        "training": _training(few, pairs, batch, size),
    }
    if not joint:
        recipe["target_text"] = {"tokenizer": Choice(tokenizer.value, f"a vocabulary of its own: {script}")}
    return recipe


def _length(seen: Seen) -> tuple[int, str]:
    longest = max(seen.texts[side].lengths["tokens"].get("p99", 0) for side in ("source", "target"))
    length = max(32, min(512, -(-int(SUB_WORDS * longest) // 16) * 16))
    return length, f"99 % of the sentences have {longest:,.0f} words and marks or fewer"


def _ratio(seen: Seen) -> dict[str, Choice]:
    ratios = seen.report.get("splits", {}).get("train", {}).get("length_ratio", {})
    middle, high = ratios.get("p50", 1), ratios.get("p99", 1)
    if not middle or high <= MAX_RATIO * max(1, middle):
        return {}
    return {
        "max_ratio": Choice(
            MAX_RATIO * max(1.0, round(middle, 1)),
            f"one pair in a hundred has {high:.1f} target words or more a source word",
        )
    }


def _encoder(few: bool, units: int, dropout: float, size: str) -> dict[str, Choice]:
    if few:
        return {
            "name": Choice("gru", "the encoder, in both directions"),
            "embedding_size": Choice(units, size),
            "units": Choice(units, size),
            "embedding_dropout": Choice(dropout, size),
        }
    return {
        "name": Choice("transformer", "the encoder"),
        "embedding_size": Choice(units, size),
        "layers": Choice(3),
        "heads": Choice(4),
        "feed_forward": Choice(4 * units),
        "dropout": Choice(dropout, size),
    }


def _training(few: bool, pairs: int, batch: int, size: str) -> dict[str, Choice]:
    choices = {
        "epochs": Choice(max(3, min(40, round(PAIRS_READ / max(1, pairs)))), size),
        "batch_tokens": Choice(batch, "of both languages"),
        "learning_rate": Choice(0.0015 if few else 0.002, "Adam, the highest of the schedule"),
        "schedule": Choice({"name": "one_cycle", "rise": 0.1}),
        "clip_norm": Choice(1.0),
        "monitor": Choice("val_bleu", "chooses the epoch"),
    }
    if pairs > FEW_PAIRS:
        choices["ema"] = Choice(0.999, "a moving average of the weights is what is evaluated")
    return choices
