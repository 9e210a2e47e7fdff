"""What a language model reads and writes: texts to rows of token ids, and back."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from nlp_suite.errors import RequestError
from nlp_suite.predictor import Predictor
from nlp_suite.tasks.language_model.text import split_lines
from nlp_suite.tasks.shared.request_checks import checked_texts, round_up
from nlp_suite.text.statistics import TokensRead
from nlp_suite.text.text_layer import END


class Prompts(NamedTuple):
    """What a language model goes on with.

    Attributes:
        rows: token ids of each.
        starts: whether what begins a document is read before them.
        end: the id that ends a continuation.
        ends: whether it does.
    """

    rows: list[np.ndarray]
    starts: bool
    end: int
    ends: bool


class TextRows(Predictor):
    """The half of a predictor that deals with texts.

    A text is read after an END, as a document is in training; its lines end with END, the last one too. The last line
    of a prompt does not, since the continuation belongs to it. For a pretrained model a text is one line, and read after
    what the model's own texts begin with (`Tokenizer.document_start`); a prompt only if they all do.

    Args:
        text: the `TextLayer` that the model was trained with.
        max_prompt: tokens of a prompt that are read.

    Attributes:
        start: the id that is read before a document.
    """

    def __init__(self, text, max_prompt: int):
        self.text, self._max_prompt = text, max_prompt
        self.start, self._whole = text.tokenizer.document_start, text.tokenizer.reads_line_breaks
        self._read = TokensRead(text)

    def remarks(self) -> list[str]:
        """See `Predictor.remarks`."""
        return self._read.remarks()

    def encode(self, texts: Sequence[str | bytes]) -> list[np.ndarray]:
        """Token ids of whole texts, END after every line."""
        return self.encode_checked(texts)[0]

    def encode_checked(self, texts: Sequence[str | bytes]) -> tuple[list[np.ndarray], list[bool]]:
        """Token ids of whole texts, and of which of them a line was cut."""
        split = [self.lines(text) for text in checked_texts(texts)]
        lines_of_all = [line for lines in split for line in lines]
        rows, full = self.text.encode_with_lengths(lines_of_all)
        self._read.add(lines_of_all, rows)
        cut = full > [len(row) for row in rows]
        ends = np.cumsum([len(lines) for lines in split])
        of_texts = [slice(end - len(lines), end) for end, lines in zip(ends, split)]
        return [np.concatenate(rows[s]) for s in of_texts], [bool(cut[s].any()) for s in of_texts]

    def encode_prompts(self, prompts: Sequence[str | bytes]) -> list[np.ndarray]:
        """Token ids of prompts without the END of their last line; only the last `max_prompt` are kept."""
        max_prompt, added = self._max_prompt, int(self.text.settings.add_end)
        split = [self.lines(prompt, complete=False) for prompt in checked_texts(prompts)]
        rows = self.text.encode_tail([line for lines in split for line in lines], max_prompt + added)
        ends = np.cumsum([len(lines) for lines in split])
        rows = [np.concatenate(rows[end - len(lines) : end]) for end, lines in zip(ends, split)]
        # Without an end of its own, an empty text is END.
        return [(row[:-1] if added else row[row != END])[-max_prompt:] for row in rows]

    def read_prompts(self, prompts: Sequence[str | bytes], chat: Sequence, stop_at_end: bool) -> Prompts:
        """Prompts, or conversations in place of them.

        Raises:
            RequestError: both; or see `encode_chats`.
        """
        if not chat:
            return Prompts(self.encode_prompts(prompts), self.text.tokenizer.starts_prompts, END, stop_at_end)
        if len(prompts):
            raise RequestError("there are prompts and a chat: give one of them")
        chats = [chat] if isinstance(chat[0], Mapping) else chat
        rows = self.encode_chats(chats)
        return Prompts(rows, False, self.text.tokenizer.chat.turn_end, True)

    def encode_chats(self, chats: Sequence[Sequence[Mapping[str, str]]]) -> list[np.ndarray]:
        """Token ids of conversations up to where the model answers, by the chat template that came with the tokenizer.

        Raises:
            RequestError: there is no template, it refuses a conversation, one is longer than `max_prompt`, or a message has
                what the tokenizer always takes for a special token.
        """
        template = getattr(self.text.tokenizer, "chat", None)
        if template is None:
            raise RequestError(
                "this model has no chat template: one comes with the tokenizer of a pretrained model that was trained on "
                "conversations (chat_template in its tokenizer_config.json); give a prompt"
            )
        if self.text.tokenizer.spaces_first:
            raise RequestError(
                "the tokenizer of this model puts a space before a text, and where its chats have one is not known here: "
                "give a prompt"
            )
        pieces = [template.pieces(chat) for chat in chats]
        added, limit = int(self.text.settings.add_end), self._max_prompt + 1
        texts = [piece for chat in pieces for piece in chat if isinstance(piece, str)]
        encoded = iter(self.text.encode_tail(texts, limit + added))
        rows, special = [], set(template.tokens.values())
        for chat in pieces:
            parts = [np.zeros(0, "int32")]
            for piece in chat:
                ids = np.array([piece], "int32") if isinstance(piece, int) else next(encoded)[: -added or None]
                if isinstance(piece, str) and special.intersection(ids.tolist()):
                    raise RequestError(f"a message has what this tokenizer takes for a special token: {piece!r:.80}")
                parts.append(ids)
            rows.append(np.concatenate(parts))
            if len(rows[-1]) > self._max_prompt:
                raise RequestError(
                    f"a conversation has more tokens than task.max_prompt {self._max_prompt}: leave its oldest messages out"
                )
        return rows

    def lines(self, text: str | bytes, complete: bool = True) -> list[bytes]:
        """The lines of a text; all of it where line breaks are tokens like any other."""
        lines = split_lines(text, complete and not self._whole)
        return [b"\n".join(lines)] if self._whole else lines

    def decode(self, tokens) -> str:
        """The text of token ids, a line break for every END."""
        tokens = np.asarray(tokens)
        if self._whole:
            return self.text.decode([tokens])[0]
        lines = np.split(tokens, np.flatnonzero(tokens == END) + 1)
        return "\n".join(self.text.decode([line[line != END] for line in lines]))

    def continuation(self, prompt, tokens) -> str:
        """What the text of `prompt + tokens` has after that of `prompt`."""
        prompt_text, text = self.decode(prompt), self.decode(np.concatenate([prompt, tokens]))
        return text[len(prompt_text) :] if text.startswith(prompt_text) else self.decode(tokens)

    def padded(
        self, rows: Sequence[np.ndarray], starts: bool, window: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The prompt after what is read before it, or the last `window` of these, padded to a width that seldom changes.

        Args:
            rows: token ids of prompts.
            starts: whether anything is read before those that are not empty.
            window: see above.

        Returns:
            `[B, P]`, `[B]`.
        """
        rows = [np.concatenate([[self.start][: starts or not len(row)], row]).astype("int32") for row in rows]
        if window:
            rows = [row[-window:] for row in rows]
        length = np.array([len(row) for row in rows], "int32")
        width = round_up(int(length.max()))
        return self.text.pad(rows, width), length
