"""Text to speech as a service. See docs/protocol.md."""
