"""Which host a request may name: exactly one, and what the page asks only a name that no other site can have.

A site can let its own name resolve to this server's address (DNS rebinding); a browser then takes page and server for parts
of that site, and lets its scripts read what this server answers.
"""

import ipaddress
import re
import socket
from collections.abc import Mapping
from typing import Any

from nlp_suite.serving.flags import Options
from nlp_suite.serving.status import Code, ServingError, invalid_argument

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s\[\]:/?#@\\\"<>,]*)(?::[0-9]*)?")


class Hosts:
    """The check of a request's Host header.

    Args:
        options: `page`, `page_hosts`, `host`, and whether pages of other origins may ask.
    """

    def __init__(self, options: Options):
        machine = socket.gethostname().lower()
        named = [name.strip().lower() for name in options.page_hosts.split(",")]
        self._names = {"", "localhost", machine, machine.split(".")[0], options.host.lower(), *named}
        self._page_checked = options.page and "*" not in named
        self._interface_checked = self._page_checked and not options.rest_api_enable_cors_support

    def check(self, scope: Mapping[str, Any], of_page: bool) -> None:
        """Refuses a request without a definite host, and one of a browser under a name that is not allowed.

        The REST interface itself is asked under any name, as in a stock server, but not by a script that was loaded under a
        name where there would be no page.

        Args:
            scope: ASGI's.
            of_page: whether it asks for a part of the page.

        Raises:
            ServingError: INVALID_ARGUMENT or PERMISSION_DENIED.
        """
        headers = [(name, value.decode("latin-1")) for name, value in scope["headers"]]
        given = [value for name, value in headers if name == b"host"]
        if len(given) > 1 or (not given and scope["http_version"] not in ("0.9", "1.0")):
            raise invalid_argument(f"a request has exactly one Host header, this one has {len(given)}")
        host = _name(given[0]) if given else ""
        if host is None:
            raise invalid_argument(f"the Host header {given[0]!r} is no host")
        if of_page:
            refused = self._page_checked and not self._allowed(host)
        else:
            origins = [_name(value.partition("://")[2]) for name, value in headers if name == b"origin"]
            of_that_name = any(origin in (host, "") for origin in origins)  # "": `null`, which a script can bring about
            refused = self._interface_checked and of_that_name and not self._allowed(host)
        if refused:
            raise ServingError(
                Code.PERMISSION_DENIED,
                f"browsers may not ask this server as {host!r}; allowed: IP addresses, localhost, this machine's name and "
                f"those of --page_hosts (--page_hosts={host} allows this one)",
            )

    def _allowed(self, host: str) -> bool:
        if host in self._names or host.endswith(".localhost"):
            return True
        try:
            ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return False
        return True


def _name(authority: str) -> str | None:
    """The host in `host:port`, in lower case and without a last dot; None where it is none."""
    match = _HOST.fullmatch(authority)
    return match[1].lower().removesuffix(".") if match else None
