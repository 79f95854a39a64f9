"""The one tree of the agent's errors, and the one place where errors become HTTP statuses.

AgentError
├── StartError            the agent cannot start; the message says how to mend it
└── RequestError          a request is refused
    ├── BadRequest        400  the request is malformed
    ├── TokenRequired     401  no access token, or a wrong one
    ├── OriginRefused     403  a page of another site
    ├── NotFound          404  no such session or call
    ├── TooLarge          413  the body is larger than the limit
    ├── ServerFull        503  as many calls as the server takes
    └── NotReady          503  the server is starting or stopping
"""

from typing import Any


class AgentError(Exception):
    """Something the agent could not do, as a plain sentence."""


class StartError(AgentError):
    """The agent cannot start."""


class RequestError(AgentError):
    """A request is refused.

    Attributes:
        where: The part of the request at fault, e.g. `sdp`.
        expected: What was expected there.
        retry_after_secs: When it makes sense to try again.
    """

    status = 400
    code = "bad_request"

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        retry_after_secs: int | None = None,
    ):
        super().__init__(message)
        self.where = where
        self.expected = expected
        self.retry_after_secs = retry_after_secs

    def body(self) -> dict[str, Any]:
        """The JSON body of the response."""
        error = {"code": self.code, "message": str(self), "where": self.where, "expected": self.expected}
        return {"error": {key: value for key, value in error.items() if value is not None}}

    def headers(self) -> dict[str, str]:
        """The headers of the response."""
        if self.status == 401:
            return {"WWW-Authenticate": "Bearer"}
        return {} if self.retry_after_secs is None else {"Retry-After": str(self.retry_after_secs)}


class BadRequest(RequestError):
    """The request is malformed."""


class TokenRequired(RequestError):
    """No access token, or a wrong one."""

    status = 401
    code = "token_required"


class OriginRefused(RequestError):
    """A page of another site may not place calls."""

    status = 403
    code = "origin_refused"


class NotFound(RequestError):
    """No such session or call."""

    status = 404
    code = "not_found"


class TooLarge(RequestError):
    """The body is larger than the limit."""

    status = 413
    code = "too_large"


class ServerFull(RequestError):
    """As many calls as the server takes are running."""

    status = 503
    code = "server_full"


class NotReady(RequestError):
    """The server is starting or stopping."""

    status = 503
    code = "not_ready"
