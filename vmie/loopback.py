"""Who may talk to a server of ours: programs of this machine, and no page of a website that a browser here has open.

A browser sends any page's requests to a loopback port: with `Origin` where the page could change something, with
`Sec-Fetch-Site` where it only embeds, and under the site's own name as `Host` where that name has been made to lead
here (DNS rebinding). Programs send the address that they were given as `Host`, and none of the others.
Sources: https://fetch.spec.whatwg.org/#origin-header, https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from urllib.parse import urlsplit

#: names that mean this machine
LOCAL = ("localhost", "localhost.localdomain")


def is_loopback(name: str) -> bool:
    """Is this a name or an address of this machine alone?"""
    if name in LOCAL:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def split_host(host: str) -> tuple[str, int]:
    """Name and port of a `Host`; ("", 0) for what is none."""
    try:
        parts = urlsplit(f"//{host}")
        port = parts.port or 80
    except ValueError:
        return "", 0
    return (parts.hostname or "", port) if parts.netloc == host and "@" not in host else ("", 0)


def own_origin(origin: str, port: int) -> bool:
    """Is this origin, or the origin of this address, the server's own, at `port` of loopback?"""
    try:
        parts = urlsplit(origin)
        theirs = parts.port or 80
    except ValueError:
        return False
    return parts.scheme == "http" and is_loopback(parts.hostname or "") and theirs == port


def from_elsewhere(header: Callable[[str], str | None], port: int) -> bool:
    """Was a request made by a page of another origin? `header` gives a header by its name, None for none."""
    named = [header("Origin"), header("Referer")]
    if any(origin is not None and not own_origin(origin, port) for origin in named):
        return True
    return (header("Sec-Fetch-Site") or "none") not in ("none", "same-origin")
