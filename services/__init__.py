"""The services: one engine each, behind HTTP and WebSocket."""
