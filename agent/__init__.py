"""The mind: one call, the order of its pipeline, what answers, and the command."""
