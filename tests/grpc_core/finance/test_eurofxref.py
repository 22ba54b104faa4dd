"""The ECB's document, and what is none."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpc_core.finance.eurofxref import (
    MAX_BYTES,
    MINIMAL,
    DayRates,
    InvalidRatesError,
    parse,
    render,
)
from tests.grpc_core.finance.ecb import RATES, document

FRIDAY, MONDAY = date(2026, 11, 27), date(2026, 11, 30)
GOOD = document(FRIDAY)
BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


def test_it_is_read_exactly() -> None:
    """Each rate is the decimal that is written there."""
    assert parse(GOOD.encode()) == [
        DayRates(FRIDAY, {code: Decimal(rate) for code, rate in RATES.items()})
    ]


def test_a_document_of_several_days_is_read() -> None:
    """The ECB publishes one of 90 days in the same form."""
    assert [each.day for each in parse(document(MONDAY, FRIDAY).encode())] == [MONDAY, FRIDAY]


@given(st.lists(st.dates(), min_size=1, max_size=3, unique=True), st.data())
def test_what_is_written_is_read_again(days: list[date], data: st.DataObject) -> None:
    """`render` and `parse` are inverse."""
    rate = st.decimals("0.000000001", "999999999", places=9)
    rates = st.fixed_dictionaries(dict.fromkeys(MINIMAL, rate))
    found = [DayRates(day, data.draw(rates)) for day in sorted(days, reverse=True)]

    assert parse(render(found)) == found


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ("", "is no XML: no element found"),
        ("not found", "is no XML: syntax error"),
        (GOOD[:-30], "is no XML: "),
        (GOOD.replace("UTF-8", "klingon"), "is no XML: "),
        (GOOD + GOOD, "is no XML: "),
        (" " * MAX_BYTES + GOOD, "has more than 262144 bytes"),
        (GOOD.replace("<gesmes:E", "<!DOCTYPE gesmes:Envelope><gesmes:E", 1), "has a document type"),
        (
            GOOD.replace("<gesmes:E", BOMB + "<gesmes:E", 1).replace("1.0921", "&b;"),
            "has a document type or an entity",
        ),
        (
            GOOD.replace("<gesmes:E", '<!DOCTYPE x SYSTEM "file:///etc/passwd"><gesmes:E', 1),
            "has a document type",
        ),
        (GOOD.replace("1.0921", "&unknown;"), "is no XML: undefined entity"),
        ("<html><body>soon</body></html>", "is no envelope"),
        (GOOD.replace("2002-08-01/eurofxref", "2003-01-01/eurofxref"), "is no envelope"),
        (GOOD.replace("xml/2002-08-01", "xml/2003"), "is no envelope"),
        (GOOD.replace("Reference rates", "Estimated rates"), "has a subject with other text"),
        (GOOD.replace("European Central Bank", "Bank"), "has a name with other text"),
        (GOOD.replace("<gesmes:name>", "<gesmes:mail>").replace("/gesmes:name", "/gesmes:mail"),
         "has a sender without a name"),
        (GOOD.replace("<gesmes:subject>", "<gesmes:subject x='1'>"), "has a subject with other attrib"),
        (GOOD.replace("\t<Cube>\n", "\t<Cube a='b'>\n"), "has a Cube with other attributes"),
        (document(), "has no day"),
        (document("2026-11-31"), "has a day '2026-11-31'"),
        (document("20261127"), "has a day '20261127'"),
        (document("2026-W48-5"), "has a day '2026-W48-5'"),
        (document("9" * 99), "has a day '9{40}...'"),
        (document(FRIDAY, FRIDAY), "has days that do not descend"),
        (document(FRIDAY, MONDAY), "has days that do not descend"),
        (document(FRIDAY, rates={}), "lacks AUD, CAD, CHF"),
        (GOOD.replace("'USD'", "'PLN'"), "lacks USD on 2026-11-27"),
        (GOOD.replace("'CZK'", "'USD'"), "has USD twice"),
        (document(FRIDAY, EUR="1"), "has a currency 'EUR'"),
        (document(FRIDAY, XAU="1"), "has a currency 'XAU'"),
        (document(FRIDAY, pln="1"), "has a currency 'pln'"),
        (GOOD.replace("currency='USD'", ""), "has a Cube with other attributes"),
        (GOOD.replace("currency='USD'", "currency='USD' x='y'"), "has a Cube with other attributes"),
        (GOOD.replace("<Cube currency='USD'", "<Cupe currency='USD'"), "has an element 'Cupe'"),
        (GOOD.replace("<Cube currency='USD'", "<!-- 1 --> 7 <Cube currency='USD'"), "other text"),
        (GOOD.replace("rate='1.0921'/>", "rate='1.0921'><Cube/></Cube>"), "with elements in it"),
        *(
            (document(FRIDAY, USD=rate), "has a rate '.*' of USD")
            for rate in ("0", "0.000", "-1", "+1", "1e3", "NaN", "inf", "1,09", "", " 1", "1_0",
                         ".5", "1.", "0x1", "\u0661", "1" * 10, "0." + "1" * 10)
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_anywhere_is_refused_as_a_whole(wrong: str, problem: str) -> None:
    """The error says what is wrong, in a line."""
    with pytest.raises(InvalidRatesError, match=problem.replace("(", r"\(")) as caught:
        parse(wrong.encode())

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@given(st.binary(max_size=200), st.integers(0, len(GOOD)), st.integers(0, 40))
def test_whatever_comes_is_rates_or_an_error(junk: bytes, at: int, without: int) -> None:
    """No document makes anything else of it."""
    text = GOOD.encode()
    try:
        days = parse(text[:at] + junk + text[at + without :])
    except InvalidRatesError:
        return
    assert all(rate > 0 and rate.is_finite() for day in days for rate in day.per_euro.values())
