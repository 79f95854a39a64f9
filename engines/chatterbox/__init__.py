"""Chatterbox, streamed and batched across calls."""
