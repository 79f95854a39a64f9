"""Pipecat frame processors and strategies: speech to text, text to speech, turns, latency."""
