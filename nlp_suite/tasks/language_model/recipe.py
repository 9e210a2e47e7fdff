"""What `nlp-suite init` chooses for a language model: short rules on what was seen, each with its reason.

| what was seen | what follows |
|---|---|
| fewer than 30,000 words and marks | characters, and spaces as they are: sub-words would have too few examples |
| more | sub-words with bytes for what is unknown, so that nothing is; 1,000 to 16,000 of them, by the size of the text |
| size of the text | units, dropout and epochs: the more text, the larger the network and the fewer its passes |
| steps of an epoch | streams: 64 at most, and so few that an epoch has 90 steps or more |
| a line longer than the defaults allow | a larger bound: lines of running text are never cut |
"""

from nlp_suite.data.init.seen import Choice, Recipe, Seen

TINY = 30_000  # words and marks
WINDOW = 64
SIZES = (  # up to so many words and marks: vocabulary, units, dropout
    (300_000, 2000, 256, 0.4),
    (3_000_000, 4000, 384, 0.3),
    (30_000_000, 8000, 512, 0.2),
    (float("inf"), 16_000, 650, 0.1),
)
STEPS = (
    90  # of an epoch at least; of so little text, a few hundred large steps in all would learn less than n-grams know
)
TOKENS_READ = 4_000_000  # of training over all epochs, where the text is not larger


def language_model_recipe(seen: Seen) -> Recipe:
    """Sections `task`, `text`, `backbone` and `training` for running text.

    Args:
        seen: texts in the field `text`.
    """
    texts = seen.texts["text"]
    _, vocabulary, units, dropout = next(size for size in SIZES if texts.tokens <= size[0])
    size = f"about {texts.tokens:,} words and marks"
    if texts.tokens < TINY:
        units, dropout, read = 128, 0.3, texts.characters
        text = {
            "tokenizer": Choice("character", f"{size}: too few for sub-words"),
            "collapse_spaces": Choice(False, "every character counts, also a second space"),
        }
    else:
        read = round(1.4 * texts.tokens)  # sub-words
        text = {
            "tokenizer": Choice(
                {"name": "sentencepiece", "vocabulary_size": vocabulary}, f"sub-words, nothing is unknown; {size}"
            )
        }
    batch = max(4, min(64, 2 ** (read // (WINDOW * STEPS)).bit_length() // 2))
    return {
        "task": {
            "tie_embeddings": Choice(
                texts.tokens >= TINY,
                "one table of sub-words for input and output"
                if texts.tokens >= TINY
                else "few characters: nothing to save",
            ),
            "dropout": Choice(dropout, f"on the output features; {size}"),
            "window": Choice(WINDOW, "tokens of truncated BPTT; the state is carried on"),
        },
        "text": text | _longest_line(seen),
        "backbone": {
            "name": Choice("lstm", "carries its state through the text"),
            "embedding_size": Choice(units if texts.tokens >= TINY else 64),
            "units": Choice(units, size),
        },
        "training": {
            "epochs": Choice(max(2, min(20, round(TOKENS_READ / max(1, read)))), f"about {read:,} tokens an epoch"),
            "batch_size": Choice(batch, f"streams; about {max(1, read // (batch * WINDOW)):,} steps an epoch"),
            "learning_rate": Choice(0.004, "Adam, the highest of the schedule"),
            "schedule": Choice("one_cycle"),
            "clip_norm": Choice(1.0),
        },
    }


def _longest_line(seen: Seen) -> dict[str, Choice]:
    longest = seen.report["splits"]["train"]["line_characters"]["max"]
    if longest <= 100_000:
        return {}
    reason = f"there is a line of {longest:,} characters, and a line must not be cut"
    return {"max_length": Choice(2 * longest, reason), "max_characters": Choice(max(1_000_000, 2 * longest), reason)}
