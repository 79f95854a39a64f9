"""What a request's `Host` and `Origin` name: the agent and the services check them alike."""

import ipaddress
from urllib.parse import urlsplit


def netloc(origin: str) -> str:
    """Host and port of an origin; empty if it is malformed."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether a `Host`, with or without a port, names this machine's own loopback."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
