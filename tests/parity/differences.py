"""Every difference between the two edges: what it is, why, and whom the specification supports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal

from tests.parity.compare import ASPECTS, Compared


@dataclass(frozen=True)
class Difference:
    """One difference, and the requests that show it."""

    name: str
    right: Literal["protoway", "Envoy", "neither"]
    """Whom the specification supports; neither where it says nothing, or allows both."""
    reason: str
    requests: tuple[str, ...]
    """Names in the table, or patterns of them; each must show the difference in one request at least."""
    aspects: tuple[str, ...] = ASPECTS


DIFFERENCES: Final = (
    Difference(
        "words",
        "neither",
        "Each edge has its own words for the errors that it finds itself. Ours list all that is wrong in"
        " `google.rpc.BadRequest`; Envoy's say the first thing.",
        (
            *("path/*", "verb/*", "query/*", "well-known/*", "wrong-query/*", "body/*"),
            *("wrong-body/*", "server-stream/*", "upload/*", "both-ways/*", "limit/*"),
            *("code/deadline*", "code/down*", "code/unimplemented", "core/not-an-amount"),
        ),
        ("text", "details"),
    ),
    Difference(
        "when to come back",
        "neither",
        "Ours says `Retry-After` with every 503 (RFC 9110, 15.6.4: it may); Envoy leaves it out.",
        ("code/14", "code/14-details", "code/down", "code/down-stream"),
        ("headers",),
    ),
    Difference(
        "a stream that fails late",
        "protoway",
        "Envoy ends the body as if the call had ended well. The status is in trailers over HTTP/2, which"
        " browsers show to no page, and is lost over HTTP/1.1, for Envoy drops them there by default. Ours is"
        " the last thing in the stream, in each framing. gRPC's status belongs to the call.",
        ("failing-stream/*-after-2", "failing-stream/deadline", "core/live-wrong"),
    ),
    Difference(
        "a stream that fails at once",
        "neither",
        "Envoy's route says `Cache-Control: no-cache` and `X-Accel-Buffering: no` before it knows that there"
        " will be an error and no stream; ours says it with streams alone.",
        (
            *("failing-stream/*-after-0", "failing-stream/details", "server-stream/wrong-query"),
            *("both-ways/empty", "both-ways/one-object", "both-ways/wrong-second"),
            "both-ways/open-array",
        ),
        ("headers",),
    ),
    Difference(
        "uploads by line",
        "neither",
        "Envoy takes a stream of requests as one JSON array only; ours takes NDJSON and JSON text sequences"
        " too.",
        (
            *("upload/lines", "upload/lines-without-type", "upload/sequence"),
            *("both-ways/lines", "both-ways/lines-without-type", "both-ways/sequence"),
            *("limit/upload-of-many", "limit/upload-beyond-one-message"),
        ),
    ),
    Difference(
        "the type of NDJSON",
        "protoway",
        "Envoy calls lines of JSON `application/json`, which is one JSON text (RFC 8259).",
        (
            *("server-stream/default-*", "server-stream/lines-*", "server-stream/thousand"),
            *("server-stream/accept-any", "server-stream/accept-lines-or-events"),
            *("server-stream/post", "both-ways/array", "both-ways/empty-array", "core/live"),
        ),
        ("type",),
    ),
    Difference(
        "the end of Server-Sent Events",
        "neither",
        "Ours says `event: end`, so that a reader knows a stream that has ended from one that was cut; it has"
        " ids and `retry:` too.",
        (
            *("server-stream/events-*", "server-stream/accept-events-*"),
            *("server-stream/post-events", "both-ways/array-as-events", "core/live-events"),
        ),
        ("end",),
    ),
    Difference(
        "quality values",
        "protoway",
        "Envoy's routes go by the first media type in `Accept`, ours by quality (RFC 9110, 12.4.2).",
        ("server-stream/accept-by-quality",),
        ("type", "framing"),
    ),
    Difference(
        "JSON text sequences",
        "neither",
        "Envoy has no `application/json-seq` (RFC 7464), and answers lines.",
        ("server-stream/accept-sequence",),
        ("type", "framing"),
    ),
    Difference(
        "not acceptable",
        "neither",
        "Where `Accept` takes nothing that there is ours answers 406, and Envoy passes over it; RFC 9110,"
        " 12.5.1, allows both.",
        (
            *("server-stream/accept-nothing-that-is", "server-stream/accept-unary-image"),
            "server-stream/unary-as-events",
        ),
    ),
    Difference(
        "method not allowed",
        "protoway",
        "A path that other HTTP methods reach is 405 with `Allow` (RFC 9110, 15.5.6); Envoy says 404.",
        (
            *("verb/wrong", "verb/wrong-deep", "verb/custom-other", "verb/override"),
            "verb/head-of-post",
        ),
    ),
    Difference(
        "HEAD and OPTIONS",
        "protoway",
        "HEAD is GET without the body (RFC 9110, 9.1 and 9.3.2), OPTIONS says what a path takes; Envoy knows"
        " only what is bound.",
        ("verb/head", "verb/head-of-stream", "verb/options"),
    ),
    Difference(
        "a slash at the end",
        "protoway",
        "Envoy drops a slash at the end of a path, and lets a variable be empty. `*` is one segment"
        " (http.proto), and `/v1/echo/` is another path than `/v1/echo`.",
        ("path/empty-variable", "path/trailing-slash"),
    ),
    Difference(
        "response_body",
        "protoway",
        "Envoy serves `response_body` only where it is a `google.api.HttpBody`; such bindings are left out.",
        ("path/response-body", "body/response-body"),
    ),
    Difference(
        "a body where the binding has none",
        "protoway",
        "Envoy reads the body into the message all the same. Without `body` there is none (http.proto).",
        ("verb/get-with-body",),
    ),
    Difference(
        "unknown numbers of an enum",
        "protoway",
        "An open enum takes any number, in a query as in a body; Envoy takes it in a body only.",
        ("query/enum-unknown-number",),
    ),
    Difference(
        "maps in a query",
        "neither",
        "`map[key]=value` is ours; http.proto gives maps no form.",
        ("query/map", "query/map-percent"),
    ),
    Difference(
        "JSON in a query",
        "neither",
        "`Value`, `Struct` and `ListValue` are JSON to ours; to Envoy a `Value` is a string, and the others"
        " cannot be given.",
        (
            *("well-known/query-value", "well-known/query-value-number"),
            *("well-known/query-value-text", "well-known/query-struct", "well-known/query-list"),
        ),
    ),
    Difference(
        "through a list",
        "protoway",
        "A query parameter cannot name a field of a repeated message (http.proto); Envoy makes one element.",
        ("wrong-query/through-list",),
    ),
    Difference(
        "loose words in a query",
        "protoway",
        "Envoy takes `yes` for a bool, and a parameter without a name for nothing.",
        ("wrong-query/bool-word", "wrong-query/no-name"),
    ),
    Difference(
        "one field twice",
        "neither",
        "What is given twice to a field that takes one value is the caller's error, 400; Envoy takes the"
        " last. What a name means that stands twice is left open by RFC 8259, 4, and by http.proto.",
        ("wrong-query/twice", "wrong-body/duplicate-key", "wrong-body/both-names"),
    ),
    Difference(
        "a query for what the path or the body has",
        "protoway",
        "What the path or the body holds is no query parameter (http.proto). Envoy takes it from the query,"
        " which wins over the path: so what looks at paths, to let some callers in, can be deceived.",
        ("wrong-query/of-path", "wrong-query/of-body", "wrong-query/of-body-field"),
    ),
    Difference(
        "not UTF-8",
        "protoway",
        "A path or query that is not UTF-8 is the caller's error, 400; Envoy sends it along, and the server"
        " that cannot read it answers 500.",
        ("path/not-utf-8", "wrong-query/not-utf-8"),
    ),
    Difference(
        "unknown JSON fields",
        "protoway",
        "ProtoJSON wants them refused by default. Envoy has no setting for it: it refuses unknown query"
        " parameters, and passes over unknown fields.",
        ("wrong-body/unknown-field", "wrong-body/unknown-nested"),
    ),
    Difference(
        "loose JSON",
        "protoway",
        "Envoy takes single quotes, a comma before the closing bracket, a bool in quotes, and null in a list;"
        " RFC 8259 and ProtoJSON do not.",
        (
            *("wrong-body/single-quotes", "wrong-body/trailing-comma"),
            *("wrong-body/bool-text", "wrong-body/list-null"),
        ),
    ),
    Difference(
        "exponents of integers",
        "protoway",
        "ProtoJSON takes `1e2` for an integer, in quotes too; Envoy does not take it in quotes.",
        ("body/int-exponent",),
    ),
    Difference(
        "a map entry without a value",
        "protoway",
        "Envoy 1.40 takes null for a value of a map. What it then sends has an entry without one, and a"
        " server that answers with such an entry ends it: SIGSEGV, protobuf issue 26885. Servers that leave"
        " out defaults in entries of maps, as .NET's do, end it with any answer that has one.",
        ("wrong-body/map-null",),
    ),
    Difference(
        "the type of a body",
        "protoway",
        "A body that is surely no JSON is 415 (RFC 9110, 15.5.16), and one that is not of its content coding"
        " 400; Envoy does not look.",
        ("body/xml-type", "wrong-body/gzip-type"),
    ),
    Difference(
        "compressed bodies",
        "protoway",
        "A body in gzip or deflate is decoded, and the data of an HttpBody too (RFC 9110, 8.4.1); Envoy takes"
        " it for JSON as it is, or passes it on under the type of what it was before.",
        ("body/gzip", "body/deflate", "upload/gzip"),
    ),
    Difference(
        "a wrong grpc-timeout",
        "protoway",
        "Ours tells the caller, 400; Envoy passes over it, and the call has no limit of its own.",
        ("code/deadline-wrong",),
    ),
    Difference(
        "update masks",
        "neither",
        "Ours gives a PATCH without a mask the mask of its body, as other transcoders do; Envoy does not.",
        ("body/patch-mask",),
    ),
    Difference(
        "problem details",
        "neither",
        "Ours answers `application/problem+json` (RFC 9457) where it is wanted; Envoy does not.",
        ("code/problem",),
    ),
    Difference(
        "debug info",
        "neither",
        "Ours keeps `google.rpc.DebugInfo` from callers, unless `show_debug_info` is set; Envoy passes it.",
        ("code/debug-info",),
        ("details",),
    ),
    Difference(
        "data without a type",
        "neither",
        "An HttpBody without a type is `application/octet-stream` from ours, and has no type from Envoy.",
        ("raw/no-type",),
    ),
    Difference(
        "metadata that pass",
        "neither",
        "Ours passes the headers and metadata that `request_headers` and `response_headers` name, Envoy all.",
        ("metadata/any-header", "metadata/of-the-request", "metadata/passed-on-both-ways"),
    ),
    Difference(
        "trailing metadata",
        "neither",
        "Those of a unary call are headers of our answers, `grpc-trailer-NAME`; Envoy drops them.",
        ("metadata/trailing", "metadata/trailing-of-an-error"),
    ),
    Difference(
        "the status of a success",
        "neither",
        "A server may name it by `x-http-code` in its initial metadata (the setting `http_status_key`); Envoy"
        " always answers 200.",
        (
            "metadata/status-201",
            "metadata/status-204",
            "metadata/status-205",
            "metadata/status-302",
        ),
        ("status", "type", "framing", "messages", "headers"),
    ),
    Difference(
        "a challenge with every 401",
        "protoway",
        "A 401 has a `WWW-Authenticate` (RFC 9110, 15.5.2). Where the server gives none ours says `Bearer`"
        " (the setting `www_authenticate`); Envoy leaves it out.",
        ("metadata/no-challenge",),
        ("headers",),
    ),
)


def matches(pattern: str, request: str) -> bool:
    """Whether a name in a difference means a request."""
    return fnmatchcase(request, pattern)


def shows(difference: Difference, pattern: str, results: Mapping[str, Compared]) -> list[str]:
    """Returns the requests of a pattern that show the difference."""
    return [
        request
        for request, compared in results.items()
        if matches(pattern, request) and set(compared.differing) & set(difference.aspects)
    ]


def unlisted(request: str, compared: Compared) -> list[str]:
    """Returns the aspects of a request that differ, and that no difference covers."""
    covered = {
        aspect
        for difference in DIFFERENCES
        for pattern in difference.requests
        if matches(pattern, request)
        for aspect in difference.aspects
    }
    return [aspect for aspect in compared.differing if aspect not in covered]
