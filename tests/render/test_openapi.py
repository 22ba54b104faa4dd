"""The contract as an OpenAPI document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from gateway.contract.descriptors import load
from tests.contracts import echo_contract
from tests.render.documents import document_of, operations, rendered

DESCRIPTOR_SET = Path(__file__).parents[2] / "protos" / "descriptor_set.binpb"


@pytest.fixture(scope="module")
def finance() -> dict[str, Any]:
    """The document of the contract in `protos/`."""
    return rendered(load(DESCRIPTOR_SET.read_bytes()))


@pytest.fixture(scope="module")
def echo() -> dict[str, Any]:
    """The document of the tests' own contract."""
    return rendered(echo_contract())


def test_both_documents_are_valid(finance: dict[str, Any], echo: dict[str, Any]) -> None:
    """The documents are OpenAPI 3.1 to a validator that is not ours."""
    validate(finance)
    validate(echo)


def test_comments_are_descriptions(finance: dict[str, Any]) -> None:
    """What the .proto says of a method, a message and a field is what a reader sees."""
    convert = finance["paths"]["/convert"]["post"]
    schema = finance["components"]["schemas"]["finance.ConvertRequest"]

    assert convert["summary"] == "Converts one amount at the current rate."
    assert schema["description"].startswith("An amount, its currency, and the currency")
    assert "Greater than zero" in schema["properties"]["amount"]["description"]


def test_a_summary_is_not_repeated() -> None:
    """A comment of one line is the summary alone; of a longer one, and of a stream, there is more to say."""
    document = document_of("""
message M { string name = 1; }
service S {
  // Gets one.
  rpc One(M) returns (M) { option (google.api.http) = {get: "/one"}; }
  // Gets two.
  // Both at once.
  rpc Two(M) returns (M) { option (google.api.http) = {get: "/two"}; }
  // Gets many.
  rpc Many(M) returns (stream M) { option (google.api.http) = {get: "/many"}; }
}
""")

    texts = {
        each["operationId"].rpartition("_")[2]: (each["summary"], each.get("description"))
        for each in operations(document)
    }
    assert texts["One"] == ("Gets one.", None)
    assert texts["Two"] == ("Gets two.", "Gets two.\nBoth at once.")
    summary, description = texts["Many"]
    assert (summary, (description or "").startswith("Gets many.\n\nA streaming method")) == (
        "Gets many.",
        True,
    )


def test_query_parameters_are_the_fields_that_nothing_else_binds(finance: dict[str, Any]) -> None:
    """A path variable is in the path, and all other fields of a GET are in the query."""
    parameters = finance["paths"]["/rates/{base_currency}"]["get"]["parameters"]

    places = {parameter["name"]: parameter["in"] for parameter in parameters}
    assert places == {"base_currency": "path", "targetCurrencies": "query"}


def test_streams_show_each_framing(finance: dict[str, Any]) -> None:
    """A stream's answer is listed in every media type that it can be asked for."""
    content = finance["paths"]["/rates/{base_currency}"]["get"]["responses"]["200"]["content"]

    assert list(content) == [
        "application/x-ndjson",
        "text/event-stream",
        "application/json",
        "application/json-seq",
    ]


def test_a_type_that_holds_itself_has_an_end(echo: dict[str, Any]) -> None:
    """Recursion is a reference in the schema, and is cut in the query."""
    everything = echo["components"]["schemas"]["echo.v1.Everything"]
    names = [p["name"] for p in echo["paths"]["/v1/echo"]["get"]["parameters"]]

    assert everything["properties"]["everything"] == {
        "$ref": "#/components/schemas/echo.v1.Everything"
    }
    assert "nested.name" in names
    assert "everything.stringField" not in names
