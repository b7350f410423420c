"""`LeanClient`: an HTTP client for `openai` without what one POST to one address does not need.

httpx's client merges cookies, headers and addresses, follows redirects and runs hooks for each request; here a request is handed
to aiohttp as it is, and its answer is read whole.
"""

from __future__ import annotations

import aiohttp
import httpx2

HEADERS = ("content-type", "retry-after", "retry-after-ms")  # of an answer, as far as anyone reads them


class LeanClient(httpx2.AsyncClient):
    """An `httpx2.AsyncClient` that sends through one aiohttp session; no cookies, redirects or hooks."""

    _session: aiohttp.ClientSession | None = None

    def __init__(self, timeout: float):
        # a transport that is never used: httpx's own would load certificates for nothing
        super().__init__(timeout=timeout, transport=httpx2.AsyncBaseTransport())
        self._addresses: dict[str, httpx2.URL] = {}

    def build_request(self, method, url, *, content=None, headers=None, **_) -> httpx2.Request:
        """A request whose headers and body lie apart: those who keep it, as exceptions do, keep neither key nor body."""
        if url not in self._addresses:
            self._addresses[url] = httpx2.URL(url)
        return httpx2.Request(
            method, self._addresses[url], extensions={"headers": headers, "content": content}
        )

    async def send(self, request: httpx2.Request, **_) -> httpx2.Response:
        """The whole response; httpx's own exceptions, which `openai` knows, for a failure to connect or read."""
        headers, content = request.extensions.pop("headers"), request.extensions.pop("content")
        try:
            async with self._opened(request.url.scheme).request(
                request.method, str(request.url), headers=headers, data=content, allow_redirects=False
            ) as answer:
                kept = [(name, answer.headers[name]) for name in HEADERS if name in answer.headers]
                return httpx2.Response(
                    answer.status, headers=kept, content=await answer.read(), request=request
                )
        except TimeoutError:
            raise httpx2.ConnectTimeout("no connection in time", request=request) from None
        except (aiohttp.ClientError, OSError) as error:
            raise httpx2.ConnectError(f"{type(error).__name__}: {error}", request=request) from None

    async def aclose(self) -> None:
        """None; closes every connection."""
        if self._session is not None:
            await self._session.close()
        await super().aclose()

    def _opened(self, scheme: str) -> aiohttp.ClientSession:
        """The session. The desk limits concurrency and the caller sets the clock, so neither is done twice here."""
        if self._session is None:
            certificates = httpx2.create_ssl_context() if scheme == "https" else False
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30, ssl=certificates)
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.timeout.connect),
                cookie_jar=aiohttp.DummyCookieJar(), trust_env=True,  # HTTPS_PROXY and NO_PROXY are honoured
            )  # fmt: skip
        return self._session
