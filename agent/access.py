"""Who may call: the access token, and which web pages.

A server on the loopback needs no token, but any web site that its owner visits could try to reach it through the
owner's browser. So a request of a page must come from our own origin, and on the loopback must name a loopback host
(a site that rebinds its DNS name to 127.0.0.1 names itself).
"""

import hmac
from collections.abc import Mapping

from agent.errors import OriginRefused, TokenRequired
from configs.addresses import is_loopback, netloc
from configs.settings import ServerSettings

COOKIE = "voice_agent_token"


class Access:
    """Checks requests against the settings."""

    def __init__(self, settings: ServerSettings):
        self._token = settings.token.get_secret_value().strip() if settings.token else None
        self._loopback_only = settings.is_loopback
        self._origins = {origin.rstrip("/").lower() for origin in settings.allowed_origins}
        self._hosts = {netloc(origin) for origin in self._origins}

    @property
    def needs_token(self) -> bool:
        """Whether callers must show a token."""
        return self._token is not None

    def accepts(self, token: str | None) -> bool:
        """Whether this is the token. Takes the same time for every wrong one."""
        return self._token is None or hmac.compare_digest(
            (token or "").encode(errors="surrogatepass"), self._token.encode()
        )

    def check_token(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> None:
        """Raises `TokenRequired` unless the request shows the token, as a bearer token or as our cookie."""
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        token = shown.strip() if scheme.lower() == "bearer" else cookies.get(COOKIE)
        if not self.accepts(token):
            raise TokenRequired(
                "This agent wants an access token." if token is None else "That access token is not the right one.",
                where="Authorization",
                expected="Bearer <token>",
            )

    def check_origin(self, headers: Mapping[str, str]) -> None:
        """Raises `OriginRefused` if the request was made by a page of another site."""
        host = headers.get("host", "").lower()
        if self._loopback_only and not is_loopback(host) and host not in self._hosts:
            raise OriginRefused(
                f"This agent answers on this machine only, and not as {host!r}.",
                where="Host",
                expected="a loopback address, or a host of VOICE_AGENT_SERVER__ALLOWED_ORIGINS",
            )
        origin = headers.get("origin", "").lower()
        if origin and origin not in self._origins and netloc(origin) != host:
            raise OriginRefused(
                f"Pages of {origin} may not call this agent.",
                where="Origin",
                expected="this agent's own page, or an origin of VOICE_AGENT_SERVER__ALLOWED_ORIGINS",
            )
