"""What an operator may choose, from the environment.

Rule: every setting has a default that serves a developer on one machine, and a wrong one is named.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from grpc_core.transport import TransportName

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    """The settings of the core. `CORE_PORT` sets `port`, and so on; an empty variable is unset.

    Attributes:
        host: Where to listen. The default is reached only from this machine, since the core asks
            nobody who they are; in a container it is `0.0.0.0` or `::`.
        port: The TCP port; 0 picks a free one.
        transport: Which gRPC serves: `wire`, which is `grpc_wire`, or `grpcio`.
        workers: How many processes serve; all tell the same rates at the same tick.
        tls_certificate: PEM file with the certificate of the core, and those it is signed by.
        tls_key: PEM file with its private key.
        tls_client_ca: PEM file with the CAs of clients; a client without a certificate is refused.
        ticker: Whether rates move (`on` or `off`). Moving rates are simulated around the reference
            rates; without, they are the reference rates themselves.
        tick_period: Seconds between two moves.
        seed: What the simulated moves are drawn from; the same seed gives the same moves.
        shutdown_grace: Seconds that running calls have to finish after SIGTERM or SIGINT.
        max_message_bytes: The largest request message that is accepted.
        max_metadata_bytes: The largest metadata of a request, as HTTP/2 counts header fields.
        log_level: The least severity that is logged.
    """

    model_config = SettingsConfigDict(env_prefix="CORE_", env_ignore_empty=True, frozen=True)

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Port = 50051
    transport: TransportName = "wire"
    workers: Annotated[int, Field(ge=1)] = 1
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    ticker: Literal["on", "off"] = "on"
    tick_period: Seconds = 1.0
    seed: int = 0
    shutdown_grace: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 5.0
    max_message_bytes: Annotated[int, Field(ge=1, le=2**31 - 1)] = 4 * 1024 * 1024
    max_metadata_bytes: Annotated[int, Field(ge=1024, le=2**31 - 1)] = 16 * 1024
    log_level: Literal["debug", "info", "warning", "error"] = "info"
