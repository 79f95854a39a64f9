"""The log of a service: loguru to standard error."""

import logging
import sys

from loguru import logger

from configs.settings import LogSettings

TEXT = "<green>{time:YYYY-MM-DD HH:mm:ss.SSS}</green> <level>{level: <7}</level> {name} - {message}"


class _ToLoguru(logging.Handler):
    """Passes the standard library's records on, so that there is one log."""

    def emit(self, record: logging.LogRecord) -> None:
        # uvicorn follows an error of the app by its traceback, whose last line may quote what was said.
        logger.opt(depth=6).log(record.levelname, record.getMessage().strip())


def configure_logs(settings: LogSettings) -> None:
    """Set up the log of this process."""
    logger.remove()
    as_json = settings.format == "json"
    logger.add(
        sys.stderr,
        level=settings.level,
        format="{message}" if as_json else TEXT,
        serialize=as_json,
        backtrace=False,
        diagnose=False,
        enqueue=True,
    )
    logging.basicConfig(handlers=[_ToLoguru()], level=logging.WARNING, force=True)
