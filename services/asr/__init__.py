"""Speech to text as a service. See docs/protocol.md."""
