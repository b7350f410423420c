"""`LeanClient`: an HTTP client for `openai` without what one POST to one address does not need.

httpx's client merges cookies, headers and addresses, follows redirects and runs hooks for each request; here a request is built
once and handed to aiohttp, its body read whole.
"""

from __future__ import annotations

import aiohttp
import httpx2


class LeanClient(httpx2.AsyncClient):
    """An `httpx2.AsyncClient` that sends through one aiohttp session; no cookies, redirects, hooks or proxies."""

    _session: aiohttp.ClientSession | None = None

    def __init__(self, timeout: float):
        # a transport that is never used: httpx's own would load certificates for nothing
        super().__init__(timeout=timeout, transport=httpx2.AsyncBaseTransport())

    def build_request(self, method, url, *, content=None, headers=None, timeout=None, **_) -> httpx2.Request:
        """The request as given."""
        return httpx2.Request(method, url, headers=headers, content=content, extensions={"timeout": timeout})

    async def send(self, request: httpx2.Request, **_) -> httpx2.Response:
        """The whole response; httpx's own exceptions, which `openai` knows, for a failure to connect or read."""
        try:
            async with self._opened(request.url.scheme).request(
                request.method, str(request.url), headers=request.headers.multi_items(), data=request.content,
                allow_redirects=False,
            ) as answer:  # fmt: skip
                content = await answer.read()
                return httpx2.Response(answer.status, headers=_plain(answer.headers), content=content, request=request)
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
                cookie_jar=aiohttp.DummyCookieJar(),
            )  # fmt: skip
        return self._session


def _plain(headers) -> list[tuple[str, str]]:
    """Headers of a body that aiohttp has decoded already."""
    return [
        (name, value) for name, value in headers.items() if name.lower() not in ("content-encoding", "content-length")
    ]
