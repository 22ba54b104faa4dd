"""The table of routes as a person reads it."""

from __future__ import annotations

from pathlib import Path

from gateway.contract.bindings import bind
from gateway.contract.descriptors import load
from gateway.render.routes import render_routes

DESCRIPTOR_SET = Path(__file__).parents[2] / "protos" / "descriptor_set.binpb"

TABLE = """\
METHOD  PATH                                           RPC                                              BODY  STREAMS
POST    /convert                                       finance.CurrencyConverter.Convert                *
GET     /convert                                       finance.CurrencyConverter.Convert
GET     /rates/{base_currency}                         finance.CurrencyConverter.WatchRates                   server
POST    /convert:batch                                 finance.CurrencyConverter.BatchConvert           *     client
POST    /convert:live                                  finance.CurrencyConverter.LiveConvert            *     both
GET     /v2/{name=currencies/*}                        finance.v2.CurrencyConverter.GetCurrency
GET     /v2/currencies                                 finance.v2.CurrencyConverter.ListCurrencies
GET     /v2/{name=currencies/*/exchangeRates/*}        finance.v2.CurrencyConverter.GetExchangeRate
GET     /v2/{parent=currencies/*}/exchangeRates:watch  finance.v2.CurrencyConverter.WatchExchangeRates        server
POST    /v2/amounts:convert                            finance.v2.CurrencyConverter.ConvertAmount       *
GET     /v2/amounts:convert                            finance.v2.CurrencyConverter.ConvertAmount
POST    /v2/amounts:sum                                finance.v2.CurrencyConverter.SumAmounts          *     client
POST    /v2/amounts:convertEach                        finance.v2.CurrencyConverter.ConvertAmounts      *     both
POST    /hello                                         hello.Greeter.SayHello                           *
GET     /hello/{name}                                  hello.Greeter.SayHello"""  # noqa: E501 - as wide as it is printed


def test_one_line_for_each_binding() -> None:
    """Method, template, RPC, body and streams stand in columns."""
    bindings, _ = bind(load(DESCRIPTOR_SET.read_bytes()).methods)

    assert render_routes(bindings) == TABLE
