"""What was said stays out of the log above DEBUG."""

import subprocess
import sys

import pytest

PROGRAM = """
from configs.settings import LogSettings
from agent.logs import configure_logs
from loguru import logger
configure_logs(LogSettings(level="{level}", format="{format}"))
logger.error("brain failed: Error during completion: no answer within 2 s")
logger = logger.patch(lambda record: record.update(name="pipecat.x"))
logger.warning("Ignoring not RTVI message: my card number is 1234")
logger.warning("Invalid message: 1 validation error, input_value=['my card number is 1234']")
logger.error("Error parsing JSON message my card number is 1234, no type")
logger.error("BrainLLMService#0 exception (x.py:1): Error during completion: my card number is 1234")
logger.debug("heard [my card number is 1234]")
logger.warning("a plain warning")
"""


@pytest.mark.parametrize("format_", ["text", "json"])
@pytest.mark.parametrize(("level", "quoted"), [("INFO", 0), ("DEBUG", 1)])
def test_words_of_callers_are_logged_at_debug_only(format_: str, level: str, quoted: int):
    program = PROGRAM.format(level=level, format=format_)
    log = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stderr
    lines = [line for line in log.splitlines() if "card number" in line]
    assert len(lines) == quoted
    assert "a plain warning" in log
    assert "no answer within 2 s" in log
    assert "Ignoring not RTVI message" in log
