"""Runs the speech-to-text service as operators do, as a process of its own."""

from contextlib import AbstractContextManager

from tests.services import process
from tests.services.process import ROOT, STOP_SECS, ServiceProcess, environment, started
from tests.services.serving import free_port

__all__ = ["ROOT", "STOP_SECS", "ServiceProcess", "command", "environment", "free_port", "service_process"]


def command(*flags: str) -> list[str]:
    """How the service is started."""
    return process.command("asr", *flags)


def service_process(port: int, **settings: str) -> AbstractContextManager[ServiceProcess]:
    """The service, ready, with settings of the section `asr`."""
    return started("asr", port, section="asr", **settings)
