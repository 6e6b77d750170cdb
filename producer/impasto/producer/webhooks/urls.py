"""A webhook's URL: what it may look like, and how it is shown."""

from __future__ import annotations

from typing import Final

import httpx

from impasto.producer.webhooks.addresses import Allowed
from impasto.shared.deployment import SECRET_MASK
from impasto.shared.errors import BadSettings

_LONGEST: Final = 2048
_PORTS: Final = {"https": 443, "http": 80}


def checked_url(text: str, allowed: Allowed) -> str:
    """The URL as it will be posted to. Raises BadSettings that shows no credentials."""
    try:
        url = httpx.URL(text.strip())
    except (httpx.InvalidURL, ValueError) as error:
        raise BadSettings(f"that is no URL of a webhook ({error}): write https://host/path") from None
    if len(text) > _LONGEST:
        raise BadSettings(f"a webhook's URL has at most {_LONGEST} characters, and this has {len(text)}")
    if url.scheme not in _PORTS or not url.host:
        raise BadSettings(f"{shown_url(text)!r} is no URL of a webhook: write https://host/path")
    if url.scheme == "http" and not allowed.names(url.host):
        raise BadSettings(
            f"{shown_url(text)!r} is sent unencrypted: write https://, or name {url.host} in "
            "IMPASTO_WEBHOOK_ALLOW if http may be used there"
        )
    return str(url.copy_with(fragment=None))


def same_url(text: str) -> str:
    """The URL as it is kept, however people write it; what is no URL stays as it is."""
    try:
        return str(httpx.URL(text.strip()).copy_with(fragment=None))
    except (httpx.InvalidURL, ValueError):
        return text


def host_and_port(url: str) -> tuple[str, int]:
    """Of a URL that was checked."""
    parsed = httpx.URL(url)
    return parsed.raw_host.decode("ascii"), parsed.port or _PORTS[parsed.scheme]


def shown_url(text: str) -> str:
    """The URL without what may be secret in it: user, password, and the values of its query."""
    try:
        url = httpx.URL(text.strip()).copy_with(fragment=None)
    except (httpx.InvalidURL, ValueError):
        return "the URL"
    shown = (
        f"{url.scheme}://{SECRET_MASK + '@' if url.userinfo else ''}{url.netloc.decode('ascii')}{url.path}"
    )
    if url.params:
        shown += "?" + "&".join(f"{name}={SECRET_MASK}" for name in url.params)
    return shown
