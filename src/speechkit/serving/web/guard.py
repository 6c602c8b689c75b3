"""ASGI middlewares that keep strangers and other web pages away from the server.

A page of another site can make a browser send requests to this server. Three checks stop it: the
Host header has to name this server (against DNS rebinding), the Origin of a request that changes
something, and of a WebSocket, has to be the server's own, and other sites can't embed its answers.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse

from speechkit.serving.web.request_errors import (
    Forbidden,
    RequestError,
    TokenMissing,
    WrongHost,
)

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; media-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
}


class SecurityHeaders:
    """Adds to every answer the headers that restrict what a browser does with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def restricted(message: Message) -> None:
            if message["type"].endswith("http.response.start"):
                headers = MutableHeaders(scope=message)
                headers.setdefault("Cache-Control", "no-store")
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        await self._app(scope, receive, restricted)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens: ``host`` as it was given, the ``ip`` it stands for, the port.

    ``names``: further ones that a proxy goes by, in small letters.
    """

    host: str
    ip: str
    port: int
    names: tuple[str, ...] = ()

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.ip).is_loopback

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    def is_named(self, name: str) -> bool:
        """Whether a name in a Host header, without its port, is this server's.

        The port may be another one: that of a tunnel. Addresses can't be rebound as names can, so a
        server that listens on all addresses goes by each.
        """
        if name in self.names:
            return True
        if self.is_loopback:
            return name in (*LOOPBACK_NAMES, self.host.lower())
        if not ipaddress.ip_address(self.ip).is_unspecified:
            return name in (self.host.lower(), self.ip)
        return name in (*LOOPBACK_NAMES, socket.gethostname().lower()) or _is_ip(name)


class Guard:
    """Lets requests through that name this server, come from no other site, and know the token."""

    def __init__(self, app: ASGIApp, *, address: Address, token: str | None) -> None:
        self._app = app
        self._address = address
        self._token = token
        # A cookie is sent to every port of a host, so each server has a name of its own for it.
        self._cookie_name = f"speechkit-{address.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            self._require_host(headers)
            self._require_origin(scope, headers)
            if self._token is not None and not self._is_known(headers, self._token):
                if not self._enters(scope, self._token):
                    raise TokenMissing(
                        "this server needs its token: Authorization: Bearer TOKEN, or open "
                        "/?token=TOKEN in the browser"
                    )
                await self._welcome(self._token)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _require_host(self, headers: Headers) -> None:
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            raise RequestError("a request has one Host header")
        if not self._address.is_named(_host_name(hosts[0])):
            raise WrongHost("this server does not go by the name in the Host header")

    def _require_origin(self, scope: Scope, headers: Headers) -> None:
        """Browsers state the origin; other clients may leave it out."""
        if scope["type"] == "http" and scope["method"] in SAFE_METHODS:
            return
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != headers["host"].lower():
            raise Forbidden("requests from other sites are refused")

    def _is_known(self, headers: Headers, token: str) -> bool:
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _equal(credentials.strip(), token):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._cookie_name)
        except CookieError:
            return False
        return cookie is not None and _equal(cookie.value, _cookie_value(token))

    def _enters(self, scope: Scope, token: str) -> bool:
        """Whether this opens the page with the token in its address."""
        if scope["type"] != "http" or scope["path"] != "/":
            return False
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        return len(given) == 1 and _equal(given[0], token)

    def _welcome(self, token: str) -> RedirectResponse:
        """To the page without the token in its address, which would stay in the history."""
        response = RedirectResponse("/", 303)
        response.set_cookie(
            self._cookie_name, _cookie_value(token), httponly=True, samesite="strict"
        )
        return response


def _host_name(host: str) -> str:
    """The name in a Host header, in small letters, without port, brackets and a closing dot."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_ip(name: str) -> bool:
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def _equal(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode(), secret.encode())


def _cookie_value(token: str) -> str:
    """What the cookie holds instead of the token, in characters that a cookie can have."""
    return hmac.new(token.encode(), b"speechkit's cookie", hashlib.sha256).hexdigest()
