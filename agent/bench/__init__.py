"""Measurements under load. Runs without Pipecat, Typer and the settings, on a machine that has only the engines."""
