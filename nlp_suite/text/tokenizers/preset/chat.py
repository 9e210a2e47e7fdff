"""Conversations as a pretrained model was taught to read them: the chat template that comes with its tokenizer."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from nlp_suite.errors import RequestError
from nlp_suite.pretrained.folder import PretrainedFolder
from nlp_suite.text.tokenizers.base import END
from nlp_suite.text.tokenizers.preset.model import (
    NAMED_AS_SPECIAL,
    content_of,
    stated_tokens,
    tokenizer_config,
    tokenizer_json,
)

CHAT = "chat.json"
TEMPLATE = "chat_template.jinja"
_NAMES = ("bos_token", "eos_token", "unk_token", "pad_token")
_BREAK = "\x00"  # within what users write; text has no NUL


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template (Jinja) and the special tokens that it may put around what users and models say.

    Attributes:
        template: its source.
        tokens: special token → its id here.
        names: `bos_token` and others → the special token.

    Example:
        >>> chat.pieces([{"role": "user", "content": "Hello <|im_end|>"}])
        [2, 'user Hello <|im_end|>', 3, ' ', 2, 'assistant ']
    """

    template: str
    tokens: Mapping[str, int]
    names: Mapping[str, str]

    @classmethod
    def of_folder(cls, folder: PretrainedFolder, model_ids: np.ndarray) -> Self | None:
        """The template of a model's folder, or None where there is none; `model_ids`: the model's id of each of ours."""
        template = _template_of(folder)
        if template is None:
            return None
        stated = stated_tokens(folder)
        names = {name: token for name in _NAMES if (token := content_of(stated.get(name)))}
        known = {int(number): ours for ours, number in enumerate(model_ids) if number >= 0}  # START and END: as END
        special = _special(folder, names.values())
        tokens = {token: known[number] for token, number in special.items() if number in known}
        return cls(template, tokens, names)

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """Takes back what `to_json` gave."""
        return cls(**json.loads(content))

    def to_json(self) -> bytes:
        """All of it as a file."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False).encode("utf-8")

    def pieces(self, messages: Sequence[Mapping[str, str]]) -> list[int | str]:
        """A conversation up to where the model answers: ids of special tokens, and what stands between them as text.

        Only what the template itself writes gives a special token: one in a message is ordinary text.

        Args:
            messages: `{"role": …, "content": …}` each, the oldest first.

        Raises:
            RequestError: no messages, or such as the template does not allow; jinja2 is missing.
        """
        return self._split(self._rendered(checked_messages(messages), add_generation_prompt=True))

    @cached_property
    def turn_end(self) -> int:
        """The id with which the model ends an answer: the first special token behind one, else END."""
        answer = [{"role": "user", "content": "a"}, {"role": "assistant", "content": f"{_BREAK}z"}]
        rendered = self._rendered(answer, add_generation_prompt=False)
        behind = self._split(rendered.partition(f"{_BREAK}z")[2])
        return next((piece for piece in behind if isinstance(piece, int)), END)

    def _rendered(self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool) -> str:
        jinja2, template = _jinja(), self.template
        beginnings = {token[0] for token in self.tokens if token}
        inside = re.compile(f"[{re.escape(''.join(sorted(beginnings)))}]") if beginnings else None

        def broken(text: str) -> str:
            return inside.sub(lambda found: found[0] + _BREAK, text) if inside else text

        given = [{**message, "content": broken(message["content"])} for message in messages]
        try:
            rendered: str = (
                _environment(jinja2)
                .from_string(template)
                .render(
                    messages=given,
                    add_generation_prompt=add_generation_prompt,
                    tools=None,
                    documents=None,
                    **self.names,
                )
            )
        except jinja2.TemplateError as error:
            raise RequestError(f"the chat template of the model refuses this conversation: {error}") from None
        except (TypeError, ValueError, KeyError, ArithmeticError) as error:
            raise RequestError(f"the chat template of the model cannot be used: {error!r}") from None
        return rendered

    def _split(self, rendered: str) -> list[int | str]:
        longest_first = sorted(self.tokens, key=len, reverse=True)
        parts = re.split(f"({'|'.join(map(re.escape, longest_first))})", rendered) if longest_first else [rendered]
        texts = (part if number % 2 else part.replace(_BREAK, "") for number, part in enumerate(parts))
        return [self.tokens[text] if number % 2 else text for number, text in enumerate(texts) if text]


def checked_messages(messages: Any) -> list[dict[str, str]]:
    """Messages that a template may be given.

    Raises:
        RequestError: anything but `{"role": …, "content": …}`, in which a role is a word.
    """
    wanted = 'messages {"role": "user", "content": "…"}'
    if isinstance(messages, str | Mapping) or not isinstance(messages, Sequence) or not messages:
        raise RequestError(f"a conversation is a list of {wanted}, got {messages!r:.80}")
    for message in messages:
        if not isinstance(message, Mapping) or set(message) != {"role", "content"}:
            raise RequestError(f"a conversation is a list of {wanted}, and has {message!r:.80}")
        if not all(isinstance(value, str) for value in message.values()) or not re.fullmatch(r"\w+", message["role"]):
            raise RequestError(f"role (a word) and content are strings, got {message!r:.80}")
    return [{"role": m["role"], "content": m["content"].replace(_BREAK, " ")} for m in messages]


def _template_of(folder: PretrainedFolder) -> str | None:
    """The one in a file of its own, else that of tokenizer_config.json: of several the one called `default`."""
    if folder.has(TEMPLATE):
        return folder.file(TEMPLATE).read_text("utf-8")
    stated = tokenizer_config(folder).get("chat_template")
    if isinstance(stated, list):
        stated = next((entry["template"] for entry in stated if entry["name"] == "default"), None)
    return stated if isinstance(stated, str) else None


def _special(folder: PretrainedFolder, names: Iterable[str]) -> dict[str, int]:
    """The special tokens that were added to the vocabulary, and those of it that have such names: token → the model's id."""
    content = tokenizer_json(folder) or {}
    vocabulary, tokens = content.get("model", {}).get("vocab"), list(content.get("added_tokens", ()))
    vocabulary = vocabulary if isinstance(vocabulary, dict) else {}  # of a unigram model a list
    tokens += [{"id": vocabulary[name], "content": name, "special": True} for name in names if name in vocabulary]
    tokens += [{"id": int(i), **t} for i, t in tokenizer_config(folder).get("added_tokens_decoder", {}).items()]
    special = (t for t in tokens if t.get("special") or NAMED_AS_SPECIAL.fullmatch(t["content"]))
    return {token["content"]: token["id"] for token in special}


def _jinja() -> Any:
    try:
        import jinja2
        import jinja2.ext
        import jinja2.sandbox
    except ImportError:
        raise RequestError(
            "the package jinja2, which renders chat templates, is missing: pip install 'nlp-suite[chat]'"
        ) from None
    return jinja2


def _environment(jinja2: Any) -> Any:
    """As transformers has it: a sandbox in which a template changes nothing outside."""
    from datetime import datetime

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, **{"ensure_ascii": False, **options})
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment
