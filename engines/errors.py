"""The one tree of engine errors.

EngineError
├── WeightsError      a model file is missing, damaged or not the pinned one
├── EngineBusy        the engine's queue is full; the newest request is refused at once
├── EngineFailed      the model raised; this request is lost, the engine goes on
└── EngineClosed      the engine has been shut down
"""


class EngineError(Exception):
    """An engine could not do what it was asked. The message is a sentence for the operator."""


class WeightsError(EngineError):
    """A model file is missing, damaged or not the pinned one."""


class EngineBusy(EngineError):
    """The engine's queue is full; the newest request is refused at once."""


class EngineFailed(EngineError):
    """The model raised; this request is lost, the engine goes on."""


class EngineClosed(EngineError):
    """The engine has been shut down."""
