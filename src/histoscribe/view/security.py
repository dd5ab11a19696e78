"""Who may ask the viewer: whoever shows its token, from a page of its own, under a name of its own.

The server listens on this computer only, but every program and every web page open on it can reach it. A random token
keeps other users and programs out; Host is checked against DNS rebinding, Origin against other web pages. The page may
load nothing from elsewhere and run no script that does not come as a file of this server.
"""

import secrets
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN = "token"  # noqa: S105  (the name of the parameter)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_REFUSED = (
    "403: this address lacks the viewer's token, or its token is of an earlier start.\n"
    "To fix it: open the address that `histoscribe view` printed.\n"
)


class Guard:
    """Lets through what shows the token as a cookie; the first visit shows it in the address and gets the cookie.

    Parameters
    ----------
    app
        What is guarded.
    token
        Random text.
    hosts
        Names, with their port, under which this server may be asked.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: Collection[str]) -> None:
        self.app, self._token, self._hosts = app, token, frozenset(hosts)
        # two viewers on two ports share the cookies of their host
        self._cookie = f"histoscribe_{secrets.token_hex(4)}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        refusal = self._answer(scope)
        await (self.app if refusal is None else refusal)(scope, receive, send_with_headers)

    def _answer(self, scope: Scope) -> Response | None:
        """Answer what is not let through; None for what is."""
        if scope["type"] != "http":  # the viewer has no web sockets
            return PlainTextResponse("403\n", 403)
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in self._hosts:
            return PlainTextResponse(f"403: the viewer does not answer to the name {host!r}.\n", 403)
        if origin is not None and origin.partition("://")[2] not in self._hosts:
            return PlainTextResponse("403: another web page asked for this.\n", 403)
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if scope["path"] == "/" and self._fits(query.get(TOKEN, [""])[0]):
            rest = urlencode({name: values[0] for name, values in query.items() if name != TOKEN})
            answer = RedirectResponse(f"/?{rest}" if rest else "/", 303)
            answer.set_cookie(self._cookie, self._token, httponly=True, samesite="strict", path="/")
            return answer
        if self._fits(self._shown(headers.get("cookie", ""))):
            return None
        return PlainTextResponse(_REFUSED, 403)

    def _fits(self, token: str) -> bool:
        return secrets.compare_digest(token.encode(), self._token.encode())

    def _shown(self, cookies: str) -> str:
        try:
            found = SimpleCookie(cookies).get(self._cookie)
        except CookieError:
            return ""
        return found.value if found else ""
