"""What the HTTP side of every service does alike: errors in OpenAI's shape, and clients that hang up."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from loguru import logger
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from engines.errors import EngineError
from services.common.errors import Refusal, refusal_of, where_it_failed

T = TypeVar("T")
OF_STATUS = {404: "not_found", 405: "method_not_allowed"}


def error_handlers(refused: Callable[[str], None]) -> dict[Any, Any]:
    """Starlette's exception handlers.

    Args:
        refused: Told the code of each refusal.
    """

    def answer(refusal: Refusal) -> Response:
        refused(refusal.code)
        return JSONResponse(refusal.body(), refusal.status, headers=refusal.headers())

    def of_refusal(_: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return answer(error)

    def of_engine(_: Request, error: Exception) -> Response:
        assert isinstance(error, EngineError)
        return answer(refusal_of(error))

    def of_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = OF_STATUS.get(error.status_code, "bad_request")
        return answer(Refusal(code, f"{request.method} {request.url.path}: {error.detail}"))

    def of_anything(request: Request, error: Exception) -> Response:
        logger.error(f"{request.method} {request.url.path} failed: {where_it_failed(error)}")
        return answer(Refusal("internal", "the service failed at this request; its log says more"))

    return {Refusal: of_refusal, EngineError: of_engine, HTTPException: of_http, Exception: of_anything}


async def unless_hung_up(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client hangs up. The request's body has been read.

    Raises:
        asyncio.CancelledError: The client hung up.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait([working, watching], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            working.cancel()
        return await working
    finally:
        watching.cancel()
        working.cancel()


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
