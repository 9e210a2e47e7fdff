"""The form of the server's log on standard error: a line of text or a JSON object for each event, whatever was logged."""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any

LEVELS = ("debug", "info", "warning", "error")
_PLAIN = re.compile(r"[^\s\"\\=\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def configure_logging(level: str = "info", as_json: bool = False) -> None:
    """Writes log lines of this process to standard error, those of the package from a level on, of others from warnings.

    Args:
        level: of `LEVELS`.
        as_json: JSON objects in place of text.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else TextLines())
    logging.basicConfig(level="ERROR" if level == "error" else "WARNING", handlers=[handler])
    logging.getLogger("nlp_suite").setLevel(level.upper())


class TextLines(logging.Formatter):
    """Time, level, message and the fields as `name=value`; characters that would end the line are escaped.

    Example:
        2026-01-31T12:00:00.123Z INFO request model=sentiment version=3 status=OK milliseconds=1.9 rows=1
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        pairs = [f"{name}={_value(value)}" for name, value in _fields(record).items() if value not in (None, "")]
        message = _CONTROL.sub(lambda match: json.dumps(match[0])[1:-1], record.getMessage())
        line = " ".join([_time(record), record.levelname, message, *pairs])
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonLines(logging.Formatter):
    """An object with `time`, `level`, `message` and the fields.

    Example:
        {"time": "2026-01-31T12:00:00.123Z", "level": "INFO", "message": "request", "model": "sentiment", "rows": 1}
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {"time": _time(record), "level": record.levelname, "message": record.getMessage(), **_fields(record)}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return getattr(record, "fields", {})


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _value(value: Any) -> str:
    """A value of a field; what is not one plain word stands as JSON."""
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    text = json.dumps(value, ensure_ascii=False)
    return _CONTROL.sub(lambda match: json.dumps(match[0])[1:-1], text)
