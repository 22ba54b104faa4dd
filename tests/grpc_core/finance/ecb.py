"""Documents as the ECB publishes them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

RATES: Mapping[str, str] = {
    "USD": "1.0921", "JPY": "158.29", "CZK": "24.610", "DKK": "7.4591", "GBP": "0.86120", "HUF": "378.53",
    "SEK": "11.2005", "CHF": "0.9303", "ISK": "150.70", "NOK": "11.2995", "AUD": "1.6317", "CAD": "1.4586",
    "CNY": "7.8129", "NZD": "1.7556",
}  # fmt: skip


def document(*days: date | str, rates: Mapping[str, str] = RATES, **others: str) -> str:
    """Returns a document of days, the newest first, each with the same rates but for the others."""
    return "".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>\n',
            '<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01"',
            ' xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">\n',
            "\t<gesmes:subject>Reference rates</gesmes:subject>\n\t<gesmes:Sender>\n",
            "\t\t<gesmes:name>European Central Bank</gesmes:name>\n\t</gesmes:Sender>\n\t<Cube>\n",
            *(
                f"\t\t<Cube time='{day}'>\n"
                + "".join(
                    f"\t\t\t<Cube currency='{code}' rate='{rate}'/>\n"
                    for code, rate in {**rates, **others}.items()
                )
                + "\t\t</Cube>\n"
                for day in days
            ),
            "\t</Cube>\n</gesmes:Envelope>",
        ]
    )
