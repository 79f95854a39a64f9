#!/usr/bin/env python
"""How much memory the agent holds: at rest, and with calls that have each taken a turn (Linux).

scripts/bench_memory.py [--calls 4] [--json]
"""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from scripts.bench_turns import machine
from scripts.questions import QUESTIONS, speak_questions
from scripts.served import ServedAgent, served
from transports.caller import CallOptions, place_call

SETTLE_SECS = 10


async def measure(agent: ServedAgent, question: Path, calls: int) -> list[float]:
    """Resident memory in MiB with no call, one, two, … of them."""
    resident, running = [agent.resident_mib()], []
    for _ in range(calls):
        options = CallOptions(agent.url, [question], answer_timeout_secs=60, hold_secs=600)
        running.append(asyncio.create_task(place_call(options)))
        await asyncio.sleep(SETTLE_SECS)
        resident.append(agent.resident_mib())
    for call in running:
        call.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    return resident


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="How much memory the agent holds.")
    parser.add_argument("--calls", type=int, default=4)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served() as agent:
        question = speak_questions(Path(folder), QUESTIONS[:1])[0]
        resident = asyncio.run(measure(agent, question, options.calls))
    further = (resident[-1] - resident[1]) / max(1, options.calls - 1)
    if options.json:
        result = {"what": "memory", "machine": machine(), "resident_mib": resident, "further_call_mib": further}
        print(json.dumps(result))
        return
    print(machine())
    for count, mib in enumerate(resident):
        print(f"{count} calls: {mib:.0f} MiB resident")
    print(f"each further call: {further:.1f} MiB")


if __name__ == "__main__":
    main()
