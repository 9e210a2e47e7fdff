"""The YAML of a config: one reader and one writer, so that what is written is read back equal.

The reader takes the part of YAML that a config needs, in time that grows with the length of the text alone: a repeated key, an
alias and nesting without end are refused. A date is a text, and 1e-4 is a number, as everybody expects (YAML 1.1 wants
1.0e-4).
"""

import math
import re
from collections.abc import Hashable
from typing import Any

import yaml

from nlp_suite.errors import ConfigError

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 32  # mappings and lists within one another; a config has 5
TOO_DEEP = f"more than {MAX_DEPTH} mappings and lists within one another"
MAX_INTEGER = 2**63 - 1
_FLOAT = "tag:yaml.org,2002:float"
_PLAIN = {"tag:yaml.org,2002:" + name for name in ("null", "bool", "int", "float")}  # what is not a text without quotes
_TAGS = _PLAIN | {"tag:yaml.org,2002:" + name for name in ("str", "seq", "map")}
_EXPONENT = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$")


class WrittenInteger(int):
    """An integer that was written otherwise than its digits, such as 01, 1_000 or 0x1F.

    Attributes:
        written: how.
    """

    written: str


class WrittenFloat(float):
    """A number that was written otherwise than Python writes it, such as 1e3 or 2.10.

    Attributes:
        written: how.
    """

    written: str


class _Loader(yaml.SafeLoader):
    """Reads what a config needs of YAML."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag in _PLAIN]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str):
        super().__init__(text)
        self._depth = 0

    def fetch_flow_collection_start(self, token: Any) -> None:
        if self.flow_level > MAX_DEPTH:  # found here already, as the scanner reads far ahead
            raise _error(TOO_DEEP, self.get_mark())
        super().fetch_flow_collection_start(token)

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _error(f"the alias *{event.anchor} is not supported: write out what it stands for", event.start_mark)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _error(TOO_DEEP, event.start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        if node.tag not in _TAGS:
            raise _error(
                f"the tag {node.tag.replace('tag:yaml.org,2002:', '!!')} is not supported: leave it out",
                node.start_mark,
            )
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, TypeError, OverflowError):
            kind = node.tag.removeprefix("tag:yaml.org,2002:")
            raise _error(f"{_shortened(node.value)} cannot be read as {kind}", node.start_mark) from None

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        keys = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in keys:
                raise _error(f"the key {_shortened(key)} is there twice", key_node.start_mark)
            keys.add(key) if isinstance(key, Hashable) else None
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: Any) -> int:
        written = self.construct_scalar(node)
        if len(written) > 70:  # 64 binary digits, sign and prefix
            raise _error(
                f"the integer {_shortened(written)} of {len(written):,} characters is too large", node.start_mark
            )
        value = super().construct_yaml_int(node)
        if abs(value) > MAX_INTEGER:
            raise _error(f"the integer {written} is too large; allowed: up to {MAX_INTEGER}", node.start_mark)
        return value if str(value) == written else _as_written(WrittenInteger(value), written)

    def construct_yaml_float(self, node: Any) -> float:
        value = super().construct_yaml_float(node)
        if not math.isfinite(value):
            raise _error(f"{_shortened(node.value)} is not a finite number", node.start_mark)
        return value if repr(value) == node.value else _as_written(WrittenFloat(value), node.value)


_Loader.add_implicit_resolver(_FLOAT, _EXPONENT, list("-+.0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor(_FLOAT, _Loader.construct_yaml_float)


class _Dumper(yaml.SafeDumper):
    """Writes texts in quotes wherever this reader, or another one, would take them for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_text(self, text: str) -> Any:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_implicit_resolver(_FLOAT, _EXPONENT, list("-+.0123456789"))
_Dumper.add_representer(str, _Dumper.represent_text)


def _as_written(number: Any, written: str) -> Any:
    number.written = written
    return number


def _error(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _shortened(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:20]}…{shown[-10:]}"


def read_yaml(text: str, where: str) -> Any:
    """The value that a YAML text means.

    Args:
        text: YAML.
        where: what it is, as the message of an error begins.

    Raises:
        ConfigError: it is not YAML, or YAML that no config needs; the message names line and column.
    """
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(f"{where}: {len(text):,} characters are no config; allowed: up to {MAX_CHARACTERS:,}")
    try:
        loader = _Loader(text)
        loader.name = where
        return loader.get_single_data()
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not valid YAML: {error}") from None


def write_yaml(values: Any) -> str:
    """A value of mappings, lists, texts, numbers, truth values and None as YAML that `read_yaml` reads back equal."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=math.inf)


def write_inline(value: Any) -> str:
    """The same on one line, to stand after a key.

    Example:
        >>> write_inline({"name": "bag", "hidden": []})
        '{name: bag, hidden: []}'
    """
    text = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf
    )
    return text.removesuffix("\n").removesuffix("\n...")


def shown(value: Any) -> str:
    """A value for a message: as it was written, on one line and not longer than that."""
    text = getattr(value, "written", None) or repr(value)
    return text if len(text) <= 200 else f"{text[:150]} … ({len(text):,} characters)"


def quotes_hint(value: Any) -> str:
    """What to do about a value that stands where a text is wanted, if it was one before YAML read it; else nothing."""
    if isinstance(value, bool):
        return f" (YAML reads {'true, yes and on' if value else 'false, no and off'} so): put the word in quotes"
    return f": put it in quotes, '{shown(value)}'" if isinstance(value, int | float) else ""


def label_texts(value: Any) -> Any:
    """Label names as YAML gives them, in a list or as the keys of a mapping: a number is its digits.

    Raises:
        ValueError: something that was perhaps a text before YAML read it.
    """
    if isinstance(value, list):
        return [_label_text(item) for item in value]
    if isinstance(value, dict):
        texts = {_label_text(key): item for key, item in value.items()}
        if len(texts) < len(value):
            raise ValueError(f"a label is there twice, as a number and as a text: {', '.join(map(shown, value))}")
        return texts
    return value


def _label_text(label: Any) -> str:
    if isinstance(label, str) or (isinstance(label, int) and not isinstance(label, bool | WrittenInteger)):
        return str(label)
    raise ValueError(f"a label is a text, got {shown(label)}{quotes_hint(label)}")


def plain_values(value: Any) -> Any:
    """A value of which anything may be part, as what YAML can hold: numbers however they were written, no object.

    Raises:
        ValueError: something else in it.
    """
    if isinstance(value, dict):
        return {key: plain_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(item) for item in value]
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int) and abs(value) <= MAX_INTEGER:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    raise ValueError(f"allowed are texts, finite numbers, true, false, null, lists and mappings, got {shown(value)}")
