"""All of tickets, as the settings have it: who gives them, who takes them, and where they are kept."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.admission.tickets.authenticator import Confirm, TicketAuthenticator
from gateway.admission.tickets.issuer import TicketIssuer
from gateway.admission.tickets.settings import TicketSettings
from gateway.admission.tickets.store import FolderStore
from gateway.admission.tickets.streams import Streams


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
    ) -> None:
        """Makes the store.

        Args:
            settings: of tickets.
            streams: of the contract.
            confirm: kind of an identity -> confirms that it is still in force when its ticket is used.

        Raises:
            AdmissionError: the folder of the tickets cannot be used.
        """
        self.store = FolderStore(
            settings.folder,
            max_open=settings.max_open,
            max_open_per_caller=settings.max_open_per_caller,
        )
        self.issuer = TicketIssuer(settings, self.store, streams)
        self.authenticator = TicketAuthenticator(settings, self.store, confirm)
