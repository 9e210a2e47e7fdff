"""TLS of the clients: an authority's certificate to trust, and a certificate to show, as PEM files."""

import ssl
from pathlib import Path
from typing import Any, NamedTuple

from nlp_suite.errors import UsageError


class TlsFiles(NamedTuple):
    """PEM files of a client; none: the system's authorities, and no certificate is shown.

    Attributes:
        ca: certificates of the authorities to trust in place of the usual ones.
        cert: the client's certificate, for servers that ask for one.
        key: its private key; default: it is in `cert`.
    """

    ca: str | Path | None = None
    cert: str | Path | None = None
    key: str | Path | None = None

    def context(self) -> ssl.SSLContext:
        """For HTTPS.

        Raises:
            UsageError: a file that cannot be used, named, or a key without a certificate.
        """
        if self.key is not None and self.cert is None:
            raise UsageError(f"key {str(self.key)!r} belongs to a certificate: give cert (--cert FILE) too")
        try:
            context = ssl.create_default_context(cadata=None if self.ca is None else _text(self.ca, "ca"))
        except ssl.SSLError as error:
            raise UsageError(f"ca {str(self.ca)!r}: no certificates in PEM: {error}") from error
        if self.cert is not None:
            _text(self.cert, "cert")
            _text(self.key or self.cert, "key")
            try:
                context.load_cert_chain(self.cert, self.key, password=_no_password)
            except (ssl.SSLError, _EncryptedKeyError) as error:
                raise UsageError(
                    f"cert {str(self.cert)!r} and key {str(self.key or self.cert)!r} are no PEM certificate and the "
                    f"unencrypted private key that belongs to it: {error}"
                ) from error
        return context

    def refuse_without_tls(self, address: str, scheme: str) -> None:
        """Refuses files for a connection that is not encrypted.

        Raises:
            UsageError: there is a file; the message names the scheme that is needed.
        """
        if given := [name for name, path in self._asdict().items() if path is not None]:
            raise UsageError(f"{address!r} has no TLS, so {', '.join(given)} would do nothing: write {scheme}HOST:PORT")

    def grpc_credentials(self) -> Any:
        """For gRPC; see `context`, which refuses the same."""
        import grpc

        self.context()
        read = {name: None if path is None else Path(path).read_bytes() for name, path in self._asdict().items()}
        key = read["key"] or read["cert"]
        return grpc.ssl_channel_credentials(read["ca"], key, read["cert"])


class _EncryptedKeyError(Exception):
    pass


def _no_password() -> str:
    """Instead of asking for one on the terminal."""
    raise _EncryptedKeyError("the key is encrypted")


def _text(path: str | Path, name: str) -> str:
    """The text of a PEM file.

    Raises:
        UsageError: it cannot be read, or holds no PEM.
    """
    try:
        text = Path(path).read_text("ascii", "replace")
    except OSError as error:
        raise UsageError(f"{name} {str(path)!r}: {error.strerror}") from error
    if "-----BEGIN " not in text:
        raise UsageError(f"{name} {str(path)!r}: no PEM file (a line -----BEGIN … is expected)")
    return text
