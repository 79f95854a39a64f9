"""The one tree of what a service refuses, and the one place where errors become HTTP statuses and close codes.

ServiceError
├── StartError          the service cannot start; the message says how to mend it
└── Refusal             a request or a connection is refused
"""

import traceback
from typing import Any

from engines.errors import EngineError
from engines.wire import CloseCode, code_of


class ServiceError(Exception):
    """Something the service could not do, as a plain sentence."""


class StartError(ServiceError):
    """The service cannot start."""


class Refusal(ServiceError):
    """A request or a connection is refused.

    Attributes:
        code: The kind, as metrics and clients see it.
        status: The HTTP status.
        close_code: The WebSocket's close code, where the refusal ends the connection.
        param: The field of the request at fault.
    """

    def __init__(self, code: str, message: str, *, param: str | None = None):
        super().__init__(message)
        self.code = code
        self.param = param
        self.status, self.close_code = MEANINGS[code]

    def body(self) -> dict[str, Any]:
        """The JSON body of the response, in the shape of OpenAI's errors."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """The headers of the response."""
        if self.status == 401:
            return {"WWW-Authenticate": "Bearer"}
        headers = {"Retry-After": "1"} if self.code in ("busy", "not_ready", "draining", "too_many") else {}
        if self.code in ("too_large", "idle", "draining", "not_ready", "too_many"):
            # The body may not have been read: the server would read what is left of it to reach the next request.
            headers["Connection"] = "close"
        return headers


MEANINGS: dict[str, tuple[int, CloseCode]] = {
    "bad_message": (400, CloseCode.BAD_MESSAGE),
    "bad_request": (400, CloseCode.BAD_MESSAGE),
    "bad_audio": (400, CloseCode.BAD_MESSAGE),
    "odd_audio": (400, CloseCode.BAD_MESSAGE),
    "unknown_id": (400, CloseCode.BAD_MESSAGE),
    "too_long": (400, CloseCode.BAD_MESSAGE),
    "unauthorized": (401, CloseCode.UNAUTHORIZED),
    "origin_refused": (403, CloseCode.UNAUTHORIZED),
    "not_found": (404, CloseCode.BAD_MESSAGE),
    "model_not_found": (404, CloseCode.BAD_MESSAGE),
    "method_not_allowed": (405, CloseCode.BAD_MESSAGE),
    "unsupported": (400, CloseCode.UNSUPPORTED),
    "idle": (408, CloseCode.IDLE),
    "too_large": (413, CloseCode.TOO_BIG),
    "slow_reader": (503, CloseCode.SLOW_READER),
    "too_many": (503, CloseCode.TOO_MANY),
    "not_ready": (503, CloseCode.NOT_READY),
    "draining": (503, CloseCode.NOT_READY),
    "internal": (500, CloseCode.INTERNAL),
    # Of the engines; see engines.wire.
    "refused": (400, CloseCode.BAD_MESSAGE),
    "busy": (503, CloseCode.TOO_MANY),
    "overtaken": (409, CloseCode.BAD_MESSAGE),
    "failed": (500, CloseCode.INTERNAL),
    "unreachable": (502, CloseCode.INTERNAL),
    "closed": (503, CloseCode.NOT_READY),
    "weights": (500, CloseCode.INTERNAL),
}
"""HTTP status and close code of each kind."""


def where_it_failed(error: BaseException) -> str:
    """An unexpected error for the log: its kind and its lines of code, not its text, which may quote what was said."""
    lines = traceback.extract_tb(error.__traceback__)
    return " < ".join([type(error).__name__, *(f"{line.name} ({line.filename}:{line.lineno})" for line in lines[::-1])])


def refusal_of(error: EngineError) -> Refusal:
    """The refusal that an engine's error amounts to."""
    return Refusal(code_of(error), str(error))
