"""The tools that come with the agent.

They are over at once, so an interruption may end them: Pipecat tells a brain with tools that go on much more.
"""

import zoneinfo
from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Annotated, Any, Protocol

from pipecat.adapters.llm.schemas.direct_function import tool_options
from pipecat.frames.frames import FunctionCallResultProperties
from pipecat.services.llm_service import FunctionCallParams
from pydantic import Field

from agent.tools.tool import ToolError

Clock = Callable[[tzinfo | None], datetime]


class CallControl(Protocol):
    """What tools may do to the call; `PipelineWorker(app_resources=…)` brings it to them."""

    def hang_up_when_heard(self, words: str) -> None:
        """End the call when what is being said, and then these words, have been heard."""
        ...


def shipped_functions(time_zone: str | None, now: Clock = datetime.now) -> list[Callable[..., Any]]:
    """The functions that are tools out of the box.

    Args:
        time_zone: Where `current_time` tells the time, a name of the IANA database; None is the machine's.
        now: The time in a zone; None is the machine's.
    """
    home = time_zone

    @tool_options(cancel_on_interruption=True)
    def current_time(
        time_zone: Annotated[
            str | None, Field(description="IANA name such as Asia/Tokyo, only where another place is asked about")
        ] = None,
    ) -> dict[str, str]:
        """Tells the time, the date and the day of the week."""
        here = now(_zone(time_zone or home)).astimezone(_zone(time_zone or home))
        return {
            "time": here.strftime("%H:%M"),
            "weekday": here.strftime("%A"),
            "date": here.date().isoformat(),
            "time_zone": time_zone or home or here.tzname() or "local",
        }

    return [current_time, hang_up]


@tool_options(cancel_on_interruption=True)
async def hang_up(
    params: FunctionCallParams,
    farewell: Annotated[str, Field(description="short words of goodbye, in the caller's language", max_length=300)],
) -> None:
    """Ends the call after a goodbye. Use it only when the caller has said goodbye or has asked to end the call."""
    control: CallControl | None = params.app_resources
    if control is None:
        raise ToolError("this conversation cannot be ended from here")
    # A brain that has already said its goodbye beside the call need not say another.
    has_spoken = getattr(params.llm, "has_spoken", False)
    control.hang_up_when_heard("" if has_spoken else farewell)
    await params.result_callback(
        "the call ends when the caller has heard the goodbye", properties=FunctionCallResultProperties(run_llm=False)
    )


def _zone(name: str | None) -> tzinfo | None:
    if name is None:
        return None
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ToolError(
            f"time_zone = {name!r}: there is no such zone; expected an IANA name such as Europe/Berlin"
        ) from None
