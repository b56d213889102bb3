"""Log lines as text or as JSON; each line that is written while a request is answered carries the request's id."""

import json
import logging
import time
from typing import Any, Literal

from pipelines.serving.ops.facts import CURRENT

Format = Literal["text", "json"]


def use(format: Format) -> None:
    """Write the log in this format from now on, wherever it goes."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonLines() if format == "json" else TextLines(handler.formatter or logging.Formatter()))


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, the request's id, and the facts of the record."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_request(),
            **facts_of(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)


class TextLines(logging.Formatter):
    """The message as another formatter writes it, then facts and the request's id as key=value."""

    def __init__(self, plain: logging.Formatter) -> None:
        super().__init__()
        self._plain = plain.before if isinstance(plain, TextLines) else plain

    @property
    def before(self) -> logging.Formatter:
        return self._plain

    def format(self, record: logging.LogRecord) -> str:
        head, line, rest = self._plain.format(record).partition("\n")  # a traceback follows the first line
        facts = {**facts_of(record), **_request()}
        return " ".join([head, *(f"{key}={value}" for key, value in facts.items())]) + line + rest


def facts_of(record: logging.LogRecord) -> dict[str, Any]:
    """What `log.info(…, extra={"facts": {…}})` put into the record."""
    facts = getattr(record, "facts", {})
    return {key: value for key, value in facts.items() if value is not None}


def _request() -> dict[str, str]:
    request = CURRENT.get()
    return {} if request is None else {"request": request.id}
