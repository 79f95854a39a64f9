"""Runs the text-to-speech service as operators do, as a process of its own."""

from contextlib import AbstractContextManager

from tests.services.process import ServiceProcess, started


def service_process(port: int, **settings: str) -> AbstractContextManager[ServiceProcess]:
    """The service, ready, with settings of the section `tts_service`."""
    return started("tts", port, section="tts_service", **settings)
