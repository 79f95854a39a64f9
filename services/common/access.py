"""Who may use a service: the access token, and no web page of another site.

A service on the loopback needs no token, but any web site that its owner visits could try to reach it through the
owner's browser: such a request names the site as its origin, or, where the site has rebound its DNS name to 127.0.0.1,
as its host.
"""

import hmac
from collections.abc import Mapping

from configs.addresses import is_loopback, netloc
from configs.settings import Listener
from services.common.errors import Refusal


class Access:
    """Checks requests against the settings."""

    def __init__(self, settings: Listener):
        self._token = settings.token.get_secret_value().strip().encode() if settings.token else None
        self._loopback_only = settings.is_loopback

    def check(self, headers: Mapping[str, str]) -> None:
        """Raises `Refusal` unless the request shows the token and is not made by a page of another site."""
        self.check_site(headers)
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        token = shown.strip() if scheme.lower() == "bearer" else ""
        if self._token is None or hmac.compare_digest(token.encode(errors="surrogatepass"), self._token):
            return
        problem = "that access token is not the right one" if token else "an access token is needed"
        raise Refusal("unauthorized", f"{problem}; expected the header Authorization: Bearer <token>")

    def check_site(self, headers: Mapping[str, str]) -> None:
        """Raises `Refusal` if the request was made by a page of another site."""
        host = headers.get("host", "").lower()
        if self._loopback_only and self._token is None and not is_loopback(host):
            raise Refusal("origin_refused", f"this service answers on this machine only, and not as {host!r}")
        origin = headers.get("origin", "").lower()
        if origin and netloc(origin) != host:
            raise Refusal("origin_refused", f"pages of {origin} may not use this service")
