"""All of tickets, as the settings have it: who gives them, who takes them, and where they are kept."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.admission.error import AdmissionError
from gateway.admission.tickets.authenticator import Confirm, TicketAuthenticator
from gateway.admission.tickets.issuer import TicketIssuer
from gateway.admission.tickets.settings import TicketSettings
from gateway.admission.tickets.store import FolderStore, TicketStore
from gateway.admission.tickets.streams import Streams
from gateway.store.store import Store


class Tickets:
    """Tickets of one edge.

    Attributes:
        store: keeps them; an async context manager.
        issuer: gives them.
        authenticator: takes them.
    """

    def __init__(
        self,
        settings: TicketSettings,
        streams: Streams,
        confirm: Mapping[str, Confirm],
        store: Store | None = None,
    ) -> None:
        """Makes the store.

        Args:
            settings: of tickets.
            streams: of the contract.
            confirm: kind of an identity -> confirms that it is still in force when its ticket is used.
            store: which replicas share.

        Raises:
            AdmissionError: the folder of the tickets cannot be used, or the store cannot keep them.
        """
        self.store = _store(settings, store)
        self.issuer = TicketIssuer(settings, self.store, streams)
        self.authenticator = TicketAuthenticator(settings, self.store, confirm)


def _store(settings: TicketSettings, store: Store | None) -> TicketStore:
    max_open, max_open_per_caller = settings.max_open, settings.max_open_per_caller
    if not settings.shared:
        return FolderStore(
            settings.folder, max_open=max_open, max_open_per_caller=max_open_per_caller
        )
    if store is None:
        raise AdmissionError("tickets_shared: there is no store to keep them in; set feed_store")
    if settings.folder is not None:
        raise AdmissionError("tickets_shared: tickets_folder is another place for them; unset one")
    if store.secret is None:
        raise AdmissionError(
            "tickets_shared: set store_secret_file; without it, who writes to the store makes tickets"
        )
    try:
        from gateway.admission.tickets.shared_store import SharedStore  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise AdmissionError(
            f"tickets_shared needs the package {error.name}; pip install 'protoway[redis]'"
        ) from error
    return SharedStore(
        store, store.secret, max_open=max_open, max_open_per_caller=max_open_per_caller
    )
