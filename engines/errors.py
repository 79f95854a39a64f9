"""The one tree of engine errors.

EngineError
├── WeightsError        a model file is missing, damaged or not the pinned one
├── EngineRefused       the request is not one that this engine takes
├── EngineBusy          the engine's queue is full; the newest request is refused at once
├── EngineOvertaken     a partial was overtaken by newer audio of its stream
├── EngineFailed        the model raised; this request is lost, the engine goes on
├── EngineUnreachable   the service behind the engine cannot be reached
└── EngineClosed        the engine has been shut down
"""


class EngineError(Exception):
    """An engine could not do what it was asked. The message is a sentence for the operator."""


class WeightsError(EngineError):
    """A model file is missing, damaged or not the pinned one."""


class EngineRefused(EngineError):
    """The request is not one that this engine takes: an unknown language, an odd number of bytes."""


class EngineBusy(EngineError):
    """The engine's queue is full; the newest request is refused at once."""


class EngineOvertaken(EngineError):
    """A partial was overtaken by newer audio of its stream; nobody waits for it any more."""


class EngineFailed(EngineError):
    """The model raised; this request is lost, the engine goes on."""


class EngineUnreachable(EngineError):
    """The service behind the engine cannot be reached, at none of its addresses."""


class EngineClosed(EngineError):
    """The engine has been shut down."""
