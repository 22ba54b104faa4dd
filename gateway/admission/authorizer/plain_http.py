"""An authorizer over plain HTTP, as nginx's `auth_request`, Traefik and Caddy ask one.

It gets a GET without a body, at one URL, with the headers that the settings list, and with the request's HTTP
method, scheme, host, path and client in `X-Forwarded-Method`, `-Proto`, `-Host`, `-Uri` and `-For`. 2xx
allows. 5xx is a fault of the authorizer. Anything else refuses, and goes to the client.

Rule: no cookie, redirect, proxy or password of the environment has a part in it.
"""

from __future__ import annotations

import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final, Self

import httpx

from gateway.admission.authorizer.verdict import (
    MAX_ANSWER,
    AuthorizerError,
    CheckedRequest,
    Verdict,
    metadata_of,
    refusal,
    response_headers_of,
)

_TO_CLIENT: Final = frozenset(
    {
        *("cache-control", "content-type", "location", "retry-after", "set-cookie"),
        "www-authenticate",
    }
)
"""Headers of a refusal that go to the client."""
_IDENTITY: Final = "identity"


class HttpAuthorizer:
    """The connections to an authorizer, open as long as the block."""

    def __init__(self, url: str, cas: bytes | None, metadata: frozenset[str]) -> None:
        """Takes where it is; nothing connects before the first question.

        Args:
            url: that is asked.
            cas: PEM of the CAs of its certificate; None: httpx's default ones.
            metadata: lower-case names of the headers of an allowing answer that go upstream.
        """
        self._url = url
        self._metadata = metadata
        # the default CAs take half a second to read
        self._verify: ssl.SSLContext | bool = not url.startswith("http:")
        if cas is not None:
            self._verify = ssl.create_default_context(cadata=cas.decode())
        self._client: httpx.AsyncClient

    async def __aenter__(self) -> Self:
        """Prepares for questions."""
        self._client = httpx.AsyncClient(
            verify=self._verify,
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # noqa: S113 - who asks has a deadline for all of it
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=20),
        )
        self._client.headers.clear()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def check(self, checked: CheckedRequest, seconds: float) -> Verdict:
        """Asks about a request; who asks ends it after so many seconds.

        Raises:
            AuthorizerError: there is no decision.
        """
        del seconds
        headers = {
            name.encode("ascii"): value.encode("utf-8", "replace")
            for name, value in (dict(checked.headers) | _forwarded(checked)).items()
        }
        try:
            async with self._client.stream("GET", self._url, headers=headers) as response:
                body = b"" if response.is_success else await _body(response)
        except httpx.HTTPError as error:
            raise AuthorizerError(f"its answer fails: {type(error).__name__}") from None
        return self._verdict(response, body)

    def _verdict(self, response: httpx.Response, body: bytes) -> Verdict:
        pairs = [(name.decode("latin-1").lower(), value) for name, value in response.headers.raw]
        if response.is_success:
            kept = [pair for pair in pairs if pair[0] in self._metadata]
            return Verdict(allowed=True, metadata=metadata_of(kept))
        if response.status_code >= 500 or response.status_code < 200:
            raise AuthorizerError(f"it answers with {response.status_code}")
        headers = response_headers_of(pair for pair in pairs if pair[0] in _TO_CLIENT)
        return refusal(response.status_code, headers, body)


def _forwarded(checked: CheckedRequest) -> dict[str, str]:
    """Returns the headers that say what the request is; they win over the client's."""
    return {
        "accept-encoding": _IDENTITY,
        "x-forwarded-method": checked.http_method,
        "x-forwarded-proto": checked.scheme,
        "x-forwarded-host": checked.host,
        "x-forwarded-uri": checked.path,
        "x-forwarded-for": checked.client,
        "x-request-id": checked.request_id,
    }


async def _body(response: httpx.Response) -> bytes:
    """Reads the body of a refusal.

    Raises:
        AuthorizerError: it is too large, or compressed, which nobody has asked for.
    """
    if response.headers.get("content-encoding", _IDENTITY) != _IDENTITY:
        raise AuthorizerError("its answer is compressed")
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > MAX_ANSWER:
            raise AuthorizerError(f"its answer is larger than {MAX_ANSWER} bytes")
    return bytes(body)
