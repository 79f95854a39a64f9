"""Logging: loguru to standard error, with the call's id on every line of a call."""

import logging
import re
import sys
from typing import TYPE_CHECKING

from loguru import logger

from configs.settings import LogSettings

if TYPE_CHECKING:
    from loguru import Record

TEXT = (
    "<green>{time:YYYY-MM-DD HH:mm:ss.SSS}</green> <level>{level: <7}</level> <cyan>{extra[call_id]}</cyan> "
    "{name} - {message}"
)


ORDINARY = (
    "No video transceiver",
    "No screen video transceiver",
    "Media stream error while reading the audio",
    "Timeout: No audio frame received",
)
"""Beginnings of what Pipecat warns of in every call without a camera or a microphone, and at every hang-up."""


QUOTING = (
    "Ignoring not RTVI message",
    "Invalid RTVI transport message",
    "Invalid message",
    "Error parsing JSON message",
    "not speaking",
    "Error transforming text",
    "Dropping word",
    "force-complete: raw_remaining",
)
"""Beginnings of what Pipecat follows by words of the caller or the agent, which are logged at DEBUG only."""

TOLD_ELSEWHERE = re.compile(r"Something went wrong: ErrorFrame|Error during completion: |exception \(")
"""Pipecat's copies of a failure that `agent.session` logs; they quote the endpoint, which may quote the caller."""

PIPECAT = "pipecat"
DEBUG = 10


class _ToLoguru(logging.Handler):
    """Passes the standard library's records on, so that there is one log."""

    def emit(self, record: logging.LogRecord) -> None:
        logger.opt(exception=record.exc_info, depth=6).log(record.levelname, record.getMessage())


def configure_logs(settings: LogSettings) -> None:
    """Set up the log of this process. Lines outside a call have the call id `-`."""
    logger.remove()
    logger.configure(extra={"call_id": "-"})
    as_json = settings.format == "json"
    # Values of variables in tracebacks may be what a caller said.
    logger.add(
        sys.stderr,
        level=settings.level,
        format="{message}" if as_json else TEXT,
        serialize=as_json,
        backtrace=False,
        diagnose=False,
        enqueue=True,
        filter=_worth_logging,
    )
    logging.basicConfig(handlers=[_ToLoguru()], level=logging.WARNING, force=True)


def _worth_logging(record: "Record") -> bool:
    message = record["message"]
    if not (record["name"] or "").startswith(PIPECAT):
        return True
    if message.startswith(ORDINARY) or TOLD_ELSEWHERE.search(message):
        return False
    for beginning in QUOTING:
        if beginning in message and record["level"].no > DEBUG:
            record["message"] = f"{message[: message.index(beginning)]}{beginning} …"
            record["exception"] = None
    return True
