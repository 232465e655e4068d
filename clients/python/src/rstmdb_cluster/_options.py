"""How a client reaches its cluster and how it behaves."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, Optional, Union

from . import _frame
from .errors import ConfigError, TlsError

DEFAULT_PORT = 7401
#: A token, or a function that gives the one to use now: it is asked for each new connection.
Token = Union[str, Callable[[], str], None]
FEATURES: tuple[str, ...] = ("idempotency", "batch", "wal_read", "cluster", "lifecycle")


@dataclass(frozen=True)
class Address:
    """Where a node listens for clients."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @staticmethod
    def parse(text: str) -> "Address":
        """Reads ``host``, ``host:port``, ``[ipv6]:port`` or a bare IPv6 address."""
        host, port = text.strip(), ""
        if host.startswith("["):
            host, bracket, port = host[1:].partition("]")
            wrong = not bracket or (port != "" and not port.startswith(":"))
            port_given, port = port != "", port[1:]
        else:
            wrong = False
            port_given = host.count(":") == 1
            if port_given:
                host, _, port = host.partition(":")
        if not port_given:
            port = str(DEFAULT_PORT)
        if wrong or not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
            raise ConfigError(f"addresses: {text!r} is not HOST, HOST:PORT or [IPV6]:PORT")
        return Address(host, int(port))


@dataclass(frozen=True)
class TLS:
    """How the server is authenticated, and the client to it."""

    #: PEM file with the roots to trust; the system's if absent.
    ca: Optional[str] = None
    #: PEM file with the client's chain, for servers that ask for one.
    cert: Optional[str] = None
    #: PEM file with the key of ``cert``, if it is not in the same file.
    key: Optional[str] = None
    #: The name that the certificate must carry; the host of the address if absent.
    server_name: Optional[str] = None
    #: Accept ANY certificate. An attacker on the network can then read and change everything. For tests only.
    insecure: bool = False
    #: A context that was set up elsewhere; the options above but ``server_name`` are then not used.
    context: Optional[ssl.SSLContext] = None

    def make_context(self) -> ssl.SSLContext:
        """The context for connections."""
        if self.context is not None:
            return self.context
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key)
        except (OSError, ValueError) as error:
            files = ", ".join(repr(file) for file in (self.ca, self.cert, self.key) if file)
            raise TlsError(f"the certificates cannot be used ({files or 'system'}): {error}") from error
        # From 3.13 on Python refuses authorities that do not say what their key is for, as openssl makes them.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


@dataclass(frozen=True)
class Options:
    """Everything that the clients' constructors take; they describe it."""

    addresses: tuple[Address, ...]
    token: Token = None
    tls: Optional[TLS] = None
    timeout: float = 10.0
    connect_timeout: float = 3.0
    wire_mode: str = _frame.BINARY
    client_name: str = "rstmdb-cluster-py"
    auto_keys: bool = True
    discover: bool = True
    prefer_leader: bool = False
    backoff_min: float = 0.01
    backoff_max: float = 1.0
    watch_keepalive: float = 5.0
    watch_resume_timeout: float = 60.0

    def __post_init__(self) -> None:
        if not self.addresses:
            raise ConfigError("addresses: no server address is given")
        if self.wire_mode not in (_frame.BINARY, _frame.JSONL):
            raise ConfigError(f"wire_mode: {self.wire_mode!r} is neither {_frame.BINARY!r} nor {_frame.JSONL!r}")
        for name in ("timeout", "connect_timeout", "backoff_min", "backoff_max"):
            check_seconds(name, getattr(self, name))
        for name in ("watch_keepalive", "watch_resume_timeout"):
            check_seconds(name, getattr(self, name))


def check_seconds(name: str, value: object) -> float:
    """Every wait has an end, so a time must be a positive, finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e8:
        raise ConfigError(f"{name}: {value!r} is not a number of seconds above 0")
    return float(value)


def check_wait(value: Optional[float]) -> Optional[float]:
    """How long a watch waits for its next event; None: as long as it takes."""
    if value is None or value == float("inf"):
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1e8 < value < 1e8:
        raise ConfigError(f"timeout: {value!r} is not a number of seconds")
    return max(0.0, float(value))


def parse_addresses(given: Union[str, Sequence[str]]) -> tuple[Address, ...]:
    """Reads a list of addresses, or one text with commas in between. One named twice counts once."""
    if isinstance(given, str):
        given = [part for part in given.split(",") if part.strip()]
    parsed: list[Address] = []
    for text in given:
        if not isinstance(text, str):
            raise ConfigError(f"addresses: {text!r} is not a text")
        address = Address.parse(text)
        if address not in parsed:
            parsed.append(address)
    return tuple(parsed)
