"""The ECB's file of reference rates: `eurofxref-daily.xml`, and those with several days.

Rule: a document is what the ECB publishes, or it is refused as a whole. No DOCTYPE, no entity, no other
namespace, element, attribute or text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from grpc_core.finance.currencies import ISO_4217
from grpc_core.finance.rates import EURO

MAX_BYTES: Final = 256 * 1024
"""Maximum size of a document; the daily one has 2 KiB, that of 90 days 150."""
MINIMAL: Final = frozenset(
    ["AUD", "CAD", "CHF", "CNY", "DKK", "GBP", "JPY", "NOK", "NZD", "SEK", "USD"]
)
"""Currencies that each day has to have."""

_GESMES: Final = "http://www.gesmes.org/xml/2002-08-01"
_RATES: Final = "http://www.ecb.int/vocabulary/2002-08-01/eurofxref"
_ENVELOPE: Final = [
    f"{{{_GESMES}}}Envelope",
    f"{{{_GESMES}}}subject",
    f"{{{_GESMES}}}Sender",
    f"{{{_RATES}}}Cube",
]
_SENDER: Final = f"{{{_GESMES}}}name"
_CUBE: Final = f"{{{_RATES}}}Cube"
_SUBJECT_TEXT: Final = "Reference rates"
_SENDER_TEXT: Final = "European Central Bank"
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_RATE: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_SHOWN: Final = 40
"""Maximum characters of a value in an error."""


class InvalidRatesError(ValueError):
    """The document is none of the ECB's, or its rates cannot be believed."""


@dataclass(frozen=True, slots=True)
class DayRates:
    """The reference rates of one day.

    Attributes:
        day: The day, in Frankfurt.
        per_euro: Currency -> its units per euro, without the euro.
    """

    day: date
    per_euro: dict[str, Decimal]


def parse(document: bytes) -> list[DayRates]:
    """Reads a document; returns its days, the newest first.

    Raises:
        InvalidRatesError: It is not exactly what the ECB publishes; the text says where.
    """
    if len(document) > MAX_BYTES:
        raise InvalidRatesError(f"has more than {MAX_BYTES} bytes")
    try:
        root: Element = fromstring(document, forbid_dtd=True)
    except DefusedXmlException:
        raise InvalidRatesError("has a document type or an entity") from None
    except (
        ParseError,
        ValueError,
        LookupError,
    ) as error:  # what is no XML, or in no known encoding
        raise InvalidRatesError(f"is no XML: {error}") from None
    days = [_day(each) for each in _days(root)]
    if any(older.day >= newer.day for newer, older in pairwise(days)):
        raise InvalidRatesError("has days that do not descend")
    return days


def render(days: Sequence[DayRates]) -> bytes:
    """Returns the document of some days, the newest first; `parse` reads it."""
    lines = ["<?xml version='1.0' encoding='UTF-8'?>"]
    lines += [f'<gesmes:Envelope xmlns:gesmes="{_GESMES}" xmlns="{_RATES}">']
    lines += [f"<gesmes:subject>{_SUBJECT_TEXT}</gesmes:subject>"]
    lines += [f"<gesmes:Sender><gesmes:name>{_SENDER_TEXT}</gesmes:name></gesmes:Sender>", "<Cube>"]
    for each in days:
        lines += [f"<Cube time='{each.day}'>"]
        lines += [f"<Cube currency='{c}' rate='{r:f}'/>" for c, r in each.per_euro.items()]
        lines += ["</Cube>"]
    return "\n".join([*lines, "</Cube>", "</gesmes:Envelope>", ""]).encode()


def _days(root: Element) -> list[Element]:
    """Returns the elements of the days, and checks all around them."""
    children = list(root)
    if [root.tag, *(each.tag for each in children)] != _ENVELOPE:
        raise InvalidRatesError("is no envelope with subject, sender and rates")
    subject, sender, rates = children
    _check(root, ())
    _check(subject, (), text=_SUBJECT_TEXT, has_children=False)
    _check(sender, ())
    if [each.tag for each in sender] != [_SENDER]:
        raise InvalidRatesError("has a sender without a name")
    _check(sender[0], (), text=_SENDER_TEXT, has_children=False)
    _check(rates, ())
    if not len(rates):
        raise InvalidRatesError("has no day")
    return list(rates)


def _day(element: Element) -> DayRates:
    _check_cube(element, ("time",))
    text = element.attrib["time"]
    try:
        day = date.fromisoformat(text if _DAY.fullmatch(text) else "")
    except ValueError:
        raise InvalidRatesError(f"has a day {_shown(text)}") from None
    per_euro: dict[str, Decimal] = {}
    for each in element:
        code, rate = _rate(each)
        if code in per_euro:
            raise InvalidRatesError(f"has {code} twice on {day}")
        per_euro[code] = rate
    if missing := MINIMAL - per_euro.keys():
        raise InvalidRatesError(f"lacks {', '.join(sorted(missing))} on {day}")
    return DayRates(day, per_euro)


def _rate(element: Element) -> tuple[str, Decimal]:
    _check_cube(element, ("currency", "rate"), has_children=False)
    code, text = element.attrib["currency"], element.attrib["rate"]
    if code not in ISO_4217 or code == EURO:
        raise InvalidRatesError(f"has a currency {_shown(code)}")
    rate = Decimal(text) if _RATE.fullmatch(text) else Decimal(0)
    if not rate:
        raise InvalidRatesError(f"has a rate {_shown(text)} of {code}")
    return code, rate


def _check_cube(
    element: Element, attributes: tuple[str, ...], *, has_children: bool = True
) -> None:
    if element.tag != _CUBE:
        raise InvalidRatesError(
            f"has an element {_shown(element.tag.rpartition('}')[2])} among the rates"
        )
    _check(element, attributes, has_children=has_children)


def _check(
    element: Element, attributes: tuple[str, ...], *, text: str = "", has_children: bool = True
) -> None:
    """Checks that an element has these attributes, this text, and nothing else."""
    name = element.tag.rpartition("}")[2]
    if element.attrib.keys() != set(attributes):
        raise InvalidRatesError(f"has a {name} with other attributes than {list(attributes)}")
    between = [each.tail or "" for each in element]
    if (element.text or "").strip() != text or any(each.strip() for each in between):
        raise InvalidRatesError(f"has a {name} with other text")
    if len(element) and not has_children:
        raise InvalidRatesError(f"has a {name} with elements in it")


def _shown(value: str) -> str:
    return repr(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}...")
