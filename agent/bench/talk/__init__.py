"""Spoken dialogues over real calls, and the agent's manners in them, next to plain Pipecat's."""
