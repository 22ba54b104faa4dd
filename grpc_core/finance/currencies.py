"""Currencies, and the digits that their amounts are rounded to.

Source: ISO 4217, table A.1, column "minor unit".
"""

from decimal import ROUND_HALF_UP, Context, Decimal

from grpc_core.finance.errors import NotFoundError, Violation
from grpc_core.finance.rates import Snapshot

USUAL_DIGITS = 2
_ISO_4217 = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD
    CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF
    GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK
    LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD
    OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN
    SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XCG XOF
    XPF YER ZAR ZMW ZWG
"""
_NO_DIGITS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THREE_DIGITS = "BHD IQD JOD KWD LYD OMR TND"
ISO_4217 = frozenset(_ISO_4217.split())
"""Codes of currencies, without those of funds, of metals and for tests."""
DIGITS = dict.fromkeys(_NO_DIGITS.split(), 0) | dict.fromkeys(_THREE_DIGITS.split(), 3)
"""Minor units of the currencies that have other than two."""

_ROUNDING = Context(prec=64, rounding=ROUND_HALF_UP)


def minor_unit_digits(code: str) -> int:
    """Returns how many digits after the decimal point amounts of an active currency have."""
    return DIGITS.get(code, USUAL_DIGITS)


def rounded(amount: Decimal, code: str) -> Decimal:
    """Returns an amount rounded to the minor unit of its currency; a half is rounded up.

    Source: Council Regulation (EC) 1103/97, article 5.
    """
    return amount.quantize(Decimal(1).scaleb(-minor_unit_digits(code)), context=_ROUNDING)


def codes(snapshot: Snapshot) -> list[str]:
    """Returns the codes of all currencies, retired ones too, sorted."""
    return sorted(snapshot.per_euro.keys() | snapshot.retired)


def rate(snapshot: Snapshot, base: str, target: str, *, field: str = "name") -> Decimal:
    """Returns the rate that a name says; its codes are exact.

    Args:
        snapshot: The rates.
        base: Code of the base currency.
        target: Code of the target currency.
        field: What an error calls the field with the name.

    Raises:
        NotFoundError: One of the currencies has no rate.
    """
    missing = dict.fromkeys(code for code in (base, target) if code not in snapshot.per_euro)
    if missing:
        raise NotFoundError([Violation(field, f"{' and '.join(missing)} has no rate")])
    return snapshot.rate(base, target)
