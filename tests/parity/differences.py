"""Every difference between the two edges: what it is, why, and which side the specification supports."""

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
    """Which edge the specification supports; neither where it says nothing, or allows both."""
    reason: str
    requests: tuple[str, ...]
    """Names in the table, or patterns of them; each must show the difference in one request at least."""
    aspects: tuple[str, ...] = ASPECTS


DIFFERENCES: Final = (
    Difference(
        "words",
        "neither",
        "The two edges word their own errors differently. protoway lists everything that is wrong in"
        " `google.rpc.BadRequest`; Envoy names the first thing.",
        (
            *("path/*", "verb/*", "query/*", "well-known/*", "wrong-query/*", "body/*"),
            *("wrong-body/*", "server-stream/*", "upload/*", "both-ways/*", "limit/*"),
            *("code/deadline*", "code/down*", "code/unimplemented", "core/not-an-amount"),
            *("tokens/*", "tokens-*/*", "rights-*/*", "closed-*/*", "open/expired"),
        ),
        ("text", "details"),
    ),
    Difference(
        "retry after a 503",
        "neither",
        "protoway sends `Retry-After` with every 503 (RFC 9110, 15.6.4, allows it); Envoy does not.",
        ("code/14", "code/14-details", "code/down", "code/down-stream"),
        ("headers",),
    ),
    Difference(
        "a stream that fails late",
        "protoway",
        "Envoy ends the body as if the call had succeeded. The status is in the trailers of HTTP/2, which"
        " browsers do not show to pages. Over HTTP/1.1 it is lost, because Envoy drops trailers there by"
        " default. protoway sends the status as the last part of the stream, in each framing.",
        ("failing-stream/*-after-2", "failing-stream/deadline", "core/live-wrong"),
    ),
    Difference(
        "a stream that fails at once",
        "neither",
        "Envoy's route adds `Cache-Control: no-cache` and `X-Accel-Buffering: no` before it knows that"
        " the answer is an error; protoway adds them to streams alone.",
        (
            *("failing-stream/*-after-0", "failing-stream/details", "server-stream/wrong-query"),
            *("both-ways/empty", "both-ways/one-object", "both-ways/wrong-second"),
            *("both-ways/open-array", "core/v2-wrong-watch"),
        ),
        ("headers",),
    ),
    Difference(
        "a token for another audience",
        "protoway",
        "Such a token is invalid, which is 401 (RFC 6750, 3.1). Envoy answers 403.",
        ("tokens/wrong-audience", "tokens/without-audience"),
        ("status", "code"),
    ),
    Difference(
        "a token of another type",
        "protoway",
        "By default protoway accepts a `typ` of `JWT` or `at+jwt`, or none, so that a token made for"
        " something else is not a credential (RFC 8725, 3.11). Envoy does not look at it.",
        ("tokens/of-another-type",),
    ),
    Difference(
        "a token in the wrong place",
        "protoway",
        "`access_token` in the query, and a scheme without a token, are malformed requests, 400 (RFC 6750,"
        " 3.1). For Envoy there is no token.",
        ("tokens-scheme/in-the-query", "tokens-scheme/empty"),
        ("status", "code"),
    ),
    Difference(
        "the answer to a preflight request",
        "neither",
        "protoway answers 204, Envoy 200; the Fetch standard accepts both.",
        ("tokens-cors/preflight",),
        ("status",),
    ),
    Difference(
        "an unknown path without a token",
        "neither",
        "Where rights are checked, nobody without an identity learns from protoway whether a path exists. In"
        " Envoy rights stand behind the transcoder, which answers 404 first.",
        ("rights-unknown-path/nothing",),
        ("status", "code"),
    ),
    Difference(
        "rights where no tokens are accepted",
        "protoway",
        "A request without credentials is 401 (RFC 9110, 15.5.2). Envoy's RBAC answers 403.",
        ("closed-unary/*", "closed-nobody/*"),
        ("status", "code"),
    ),
    Difference(
        "uploads by line",
        "neither",
        "Envoy accepts a stream of requests only as one JSON array; protoway accepts NDJSON and JSON text"
        " sequences too.",
        (
            *("upload/lines", "upload/lines-without-type", "upload/sequence"),
            *("both-ways/lines", "both-ways/lines-without-type", "both-ways/sequence"),
            *("limit/upload-of-many", "limit/upload-beyond-one-message"),
        ),
    ),
    Difference(
        "the type of NDJSON",
        "protoway",
        "Envoy labels lines of JSON `application/json`, which is one JSON text (RFC 8259).",
        (
            *("server-stream/default-*", "server-stream/lines-*", "server-stream/thousand"),
            *("server-stream/accept-any", "server-stream/accept-lines-or-events"),
            *("server-stream/post", "both-ways/array", "both-ways/empty-array", "core/live"),
            "core/v2-each",
            *("tokens-stream/good", "rights-stream/*", "rights-claims/all-claims"),
        ),
        ("type",),
    ),
    Difference(
        "the end of Server-Sent Events",
        "neither",
        "protoway ends a stream with `event: end`, so that a reader can tell a complete stream from one"
        " that was cut. It also sends ids and `retry:`.",
        (
            *("server-stream/events-*", "server-stream/accept-events-*"),
            *("server-stream/post-events", "both-ways/array-as-events", "core/live-events"),
            "core/v2-each-events",
        ),
        ("end",),
    ),
    Difference(
        "quality values",
        "protoway",
        "Envoy's routes use the first media type in `Accept`; protoway uses the weights (RFC 9110,"
        " 12.4.2).",
        ("server-stream/accept-by-quality",),
        ("type", "framing"),
    ),
    Difference(
        "JSON text sequences",
        "neither",
        "Envoy does not have `application/json-seq` (RFC 7464), and answers with lines.",
        ("server-stream/accept-sequence",),
        ("type", "framing"),
    ),
    Difference(
        "not acceptable",
        "neither",
        "Where `Accept` allows no media type that there is, protoway answers 406, and Envoy ignores"
        " `Accept`; RFC 9110, 12.5.1, allows both.",
        (
            *("server-stream/accept-nothing-that-is", "server-stream/accept-unary-image"),
            "server-stream/unary-as-events",
        ),
    ),
    Difference(
        "method not allowed",
        "protoway",
        "A path that other HTTP methods reach is 405 with `Allow` (RFC 9110, 15.5.6); Envoy answers 404.",
        (
            *("verb/wrong", "verb/wrong-deep", "verb/custom-other", "verb/override"),
            "verb/head-of-post",
        ),
    ),
    Difference(
        "HEAD and OPTIONS",
        "protoway",
        "HEAD is GET without the body (RFC 9110, 9.1 and 9.3.2), and OPTIONS lists the methods of a path;"
        " Envoy serves only what is bound.",
        ("verb/head", "verb/head-of-stream", "verb/options"),
    ),
    Difference(
        "a slash at the end",
        "protoway",
        "Envoy ignores a slash at the end of a path, and accepts an empty variable. `*` is one segment"
        " (http.proto), and `/v1/echo/` is another path than `/v1/echo`.",
        ("path/empty-variable", "path/trailing-slash"),
    ),
    Difference(
        "response_body",
        "protoway",
        "Envoy serves `response_body` only where it is a `google.api.HttpBody`; other such bindings are"
        " left out of its configuration.",
        ("path/response-body", "body/response-body"),
    ),
    Difference(
        "a body where the binding has none",
        "protoway",
        "Envoy reads the body into the message all the same. Without `body` in the rule there is none"
        " (http.proto).",
        ("verb/get-with-body",),
    ),
    Difference(
        "unknown numbers of an enum",
        "protoway",
        "An open enum accepts any number, in a query as in a body; Envoy accepts it in a body only.",
        ("query/enum-unknown-number",),
    ),
    Difference(
        "maps in a query",
        "neither",
        "`map[key]=value` is an extension of protoway's; http.proto gives maps no form.",
        ("query/map", "query/map-percent"),
    ),
    Difference(
        "JSON in a query",
        "neither",
        "protoway reads `Value`, `Struct` and `ListValue` as JSON. In Envoy a `Value` is a string, and"
        " the other two cannot be given.",
        (
            *("well-known/query-value", "well-known/query-value-number"),
            *("well-known/query-value-text", "well-known/query-struct", "well-known/query-list"),
        ),
    ),
    Difference(
        "through a list",
        "protoway",
        "A query parameter cannot name a field of a repeated message (http.proto); Envoy makes one"
        " element.",
        ("wrong-query/through-list",),
    ),
    Difference(
        "lenient queries",
        "protoway",
        "Envoy accepts `yes` for a bool, and ignores a parameter without a name.",
        ("wrong-query/bool-word", "wrong-query/no-name"),
    ),
    Difference(
        "one field twice",
        "neither",
        "A second value for a field that has one value is the client's error, 400; Envoy uses the last."
        " RFC 8259, 4, and http.proto leave open what a repeated name means.",
        ("wrong-query/twice", "wrong-body/duplicate-key", "wrong-body/both-names"),
    ),
    Difference(
        "a query for a field of path or body",
        "protoway",
        "A field of the path or the body is no query parameter (http.proto). Envoy accepts it, and the"
        " query wins over the path: an access rule that looks at paths can be deceived.",
        ("wrong-query/of-path", "wrong-query/of-body", "wrong-query/of-body-field"),
    ),
    Difference(
        "not UTF-8",
        "protoway",
        "A path or query that is not UTF-8 is the client's error, 400; Envoy forwards it, and the server"
        " that cannot read it answers 500.",
        ("path/not-utf-8", "wrong-query/not-utf-8"),
    ),
    Difference(
        "unknown JSON fields",
        "protoway",
        "ProtoJSON refuses them by default. Envoy has no setting for it: it refuses unknown query"
        " parameters, and ignores unknown fields.",
        ("wrong-body/unknown-field", "wrong-body/unknown-nested"),
    ),
    Difference(
        "lenient JSON",
        "protoway",
        "Envoy accepts single quotes, a comma before the closing bracket, a bool in quotes, and null in a"
        " list; RFC 8259 and ProtoJSON do not.",
        (
            *("wrong-body/single-quotes", "wrong-body/trailing-comma"),
            *("wrong-body/bool-text", "wrong-body/list-null"),
        ),
    ),
    Difference(
        "exponents of integers",
        "protoway",
        "ProtoJSON accepts `1e2` for an integer, in quotes too; Envoy does not accept it in quotes.",
        ("body/int-exponent",),
    ),
    Difference(
        "a map entry without a value",
        "protoway",
        "Envoy 1.40 accepts null for a value of a map, and sends an entry without a value. A server that"
        " answers with such an entry crashes Envoy: SIGSEGV, protobuf issue 26885. Servers that leave out"
        " defaults in entries of maps, as .NET's do, crash it with any answer that has one.",
        ("wrong-body/map-null",),
    ),
    Difference(
        "the type of a body",
        "protoway",
        "A body whose type is certainly not JSON is 415 (RFC 9110, 15.5.16), and one that is not of its"
        " content coding is 400; Envoy ignores both headers.",
        ("body/xml-type", "wrong-body/gzip-type"),
    ),
    Difference(
        "compressed bodies",
        "protoway",
        "protoway decodes a body in gzip or deflate, and the data of an HttpBody too (RFC 9110, 8.4.1)."
        " Envoy parses it as JSON, or passes it on under the type that it had before compression.",
        ("body/gzip", "body/deflate", "upload/gzip"),
    ),
    Difference(
        "a wrong grpc-timeout",
        "protoway",
        "protoway answers 400; Envoy ignores it, and the call has no limit of its own.",
        ("code/deadline-wrong",),
    ),
    Difference(
        "update masks",
        "neither",
        "protoway infers the mask of a PATCH without one from its body, as other transcoders do; Envoy"
        " does not.",
        ("body/patch-mask",),
    ),
    Difference(
        "problem details",
        "neither",
        "protoway answers with `application/problem+json` (RFC 9457) where the client prefers it; Envoy"
        " does not.",
        ("code/problem",),
    ),
    Difference(
        "debug info",
        "neither",
        "protoway removes `google.rpc.DebugInfo`, unless `show_debug_info` is set; Envoy passes it on.",
        ("code/debug-info",),
        ("details",),
    ),
    Difference(
        "data without a type",
        "neither",
        "An HttpBody without a type is `application/octet-stream` from protoway, and has no type from"
        " Envoy.",
        ("raw/no-type",),
    ),
    Difference(
        "which metadata pass",
        "neither",
        "protoway passes the headers and metadata that `request_headers` and `response_headers` name;"
        " Envoy passes all.",
        ("metadata/any-header", "metadata/of-the-request", "metadata/passed-on-both-ways"),
    ),
    Difference(
        "trailing metadata",
        "neither",
        "Those of a unary call are headers of protoway's answers, `grpc-trailer-NAME`; Envoy drops them.",
        ("metadata/trailing", "metadata/trailing-of-an-error"),
    ),
    Difference(
        "the status of a success",
        "neither",
        "With protoway a server may choose it by `x-http-code` in its initial metadata (the setting"
        " `http_status_key`); Envoy always answers 200.",
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
        "A 401 has a `WWW-Authenticate` (RFC 9110, 15.5.2). Where the server sends none, protoway adds"
        " `Bearer` (the setting `www_authenticate`); Envoy adds none.",
        ("metadata/no-challenge",),
        ("headers",),
    ),
    Difference(
        "words in calls of RPC",
        "neither",
        "The two edges word their own errors differently. Those of Envoy have the JSON of its own errors as"
        " their message.",
        ("grpc/*", "web/*", "web-text/*", "connect/*", "connect-json/*"),
        ("text",),
    ),
    Difference(
        "headers of streams of RPC",
        "neither",
        "Envoy's route adds `Cache-Control: no-cache` to streams, whatever the protocol. protoway adds it to"
        " streams of REST alone, because no cache stores an answer to POST without being told to (RFC 9110,"
        " 9.3.3).",
        tuple(
            f"{wire}/{call}"
            for wire in ("grpc", "web", "web-text")
            for call in ("server-stream", "bidi", "empty-stream", "failing-stream-*")
        ),
        ("headers",),
    ),
    Difference(
        "the media type of gRPC's answers",
        "neither",
        "protoway answers with the media type of the request. Envoy passes on that of the server, which is"
        " `application/grpc`; in text it answers with `+proto`.",
        ("grpc/with-subtype", "web-text/*"),
        ("type",),
    ),
    Difference(
        "Envoy's own errors in gRPC-Web",
        "protoway",
        "An answer of gRPC-Web is `200`, with the status in its trailers. Envoy's own errors have the HTTP"
        " status of REST beside it.",
        tuple(
            f"{wire}/{call}" for wire in ("web", "web-text") for call in ("unknown-service", "down")
        ),
        ("status",),
    ),
    Difference(
        "messages of gRPC in JSON",
        "neither",
        "protoway passes messages of gRPC as protobuf, and refuses other forms. Envoy passes them on as if"
        " they were protobuf.",
        ("grpc/with-json",),
    ),
    Difference(
        "bodies that are no call",
        "protoway",
        "A unary call has one message. protoway refuses a body with none, with two, or one that ends within a"
        " message. Envoy passes it on, and what comes is the server's: the first message is answered, or none"
        " until the deadline.",
        ("grpc/no-frame", "grpc/two-frames", "grpc/half-a-frame"),
    ),
    Difference(
        "a timeout that is no timeout",
        "protoway",
        "protoway refuses it as a malformed request. Envoy makes the call without a deadline.",
        ("grpc/wrong-timeout", "connect/wrong-timeout"),
    ),
    Difference(
        "another version of Connect's protocol",
        "protoway",
        "There is no version but 1, and whoever asks for another may mean another message: protoway says so."
        " Envoy takes it for 1.",
        ("connect/other-version",),
    ),
    Difference(
        "calls of gRPC over HTTP/1.1",
        "protoway",
        "gRPC needs HTTP/2, for its trailers: protoway says so. Envoy passes the call on, and the server of"
        " these tests resets it.",
        ("grpc/over-http-1",),
        ("code",),
    ),
    Difference(
        "Connect in JSON",
        "protoway",
        "Envoy's filter passes the JSON to the server as `application/grpc+json`, and servers of gRPC that"
        " know protobuf alone fail. Clients of Connect behind Envoy must use protobuf; that of browsers uses"
        " JSON unless it is told `useBinaryFormat: true`.",
        (
            *(
                "connect-json/*-stream",
                "connect-json/bidi",
                "connect-json/unary",
                "connect-json/empty",
            ),
            *(
                "connect-json/details",
                "connect-json/error-metadata",
                "connect-json/failing-stream-*",
            ),
            *(
                "connect/get-json",
                "connect/get-of-a-stream",
                "connect/wrong-json",
                "connect/no-json",
            ),
        ),
    ),
    Difference(
        "HTTP statuses of Connect's errors",
        "protoway",
        "Envoy has those of an older revision of the protocol: 408 for `canceled` (499) and"
        " `deadline_exceeded` (504), 412 for `failed_precondition` (400), 404 for `unimplemented` (501).",
        (
            *("connect/code-1", "connect/code-4", "connect/code-12", "connect/details"),
            *("connect/unbound", "connect-json/unbound"),
        ),
        ("status",),
    ),
    Difference(
        "details of Connect's errors",
        "protoway",
        "Their type is a name without `type.googleapis.com/`, and their value is base64 without padding."
        " Envoy has the prefix and the padding.",
        ("connect/details", "connect/failing-stream-*"),
        ("details",),
    ),
    Difference(
        "Envoy's own errors in Connect",
        "protoway",
        "They are a `google.rpc.Status` of REST, whose code is a number; clients of Connect read the HTTP"
        " status alone.",
        tuple(
            f"{wire}/{call}"
            for wire in ("connect", "connect-json")
            for call in ("down", "too-large")
        ),
        ("status", "code"),
    ),
    Difference(
        "Connect without its version",
        "neither",
        "`application/proto` is Connect for protoway. Envoy needs `Connect-Protocol-Version: 1`, which the"
        " protocol lets clients leave out unless the server asks for it.",
        ("connect/without-version",),
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
