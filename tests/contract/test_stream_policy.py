"""Stream options: what they mean when little is said, and which do not fit."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from gateway.contract.bindings import bind
from gateway.contract.descriptors import load
from gateway.contract.stream_policy import SlowConsumer, StreamPolicy, stream_policy
from gateway.v1 import options_pb2
from tests.contracts import compile_text

PROTO = """syntax = "proto3";
package t;
import "gateway/v1/options.proto";
import "google/api/annotations.proto";
import "google/api/httpbody.proto";
message R { string name = 1; int64 after = 2; bytes raw = 3; repeated string names = 4; R r = 5; }
enum Kind { NONE = 0; }
message M {
  string name = 1; int64 number = 2; Kind kind = 3; bool flag = 4; bytes raw = 5; double real = 6;
  repeated string names = 7; N inner = 8; repeated N inners = 9; map<string, N> by_name = 10;
  google.api.HttpBody body = 11;
}
message N { uint32 number = 1; }
service S {
  %s
}
"""
METHOD = (
    'rpc A(R) returns (stream M) { option (google.api.http) = {get: "/a"};'
    " option (gateway.v1.stream) = {%s}; }"
)
PLACE = "test.proto:15:73"
"""Where the rule of METHOD stands, which is a method's place in its .proto."""
BLOCK, DROP_OLDEST = SlowConsumer.BLOCK, SlowConsumer.DROP_OLDEST
CONFLATE, DISCONNECT = SlowConsumer.CONFLATE, SlowConsumer.DISCONNECT


def policy_of(options: str) -> StreamPolicy:
    """Returns the policy of a method with these options, of which none may be wrong."""
    contract = load(compile_text(PROTO % (METHOD % options)))
    _, problems = bind(contract.methods)
    policy = stream_policy(contract.methods[0])
    assert problems == []
    assert policy is not None
    return policy


def names(path: Any) -> str:
    """Returns a path of fields as the contract writes it."""
    return ".".join(field.name for field in path)


@pytest.mark.parametrize(
    ("options", "shared", "slow_consumer", "linger", "detached"),
    [
        ("", False, BLOCK, 0, False),
        ("keep: 3", False, BLOCK, 0, False),
        ('key: "name"', False, BLOCK, 0, False),
        ("shared: true", True, DROP_OLDEST, 5, True),
        ('shared: true key: "name"', True, CONFLATE, 5, True),
        ("shared: true linger {}", True, DROP_OLDEST, 0, True),
        ("shared: true linger {nanos: 1000000}", True, DROP_OLDEST, 0.001, True),
        ("linger {seconds: 2 nanos: 500000000}", False, BLOCK, 2.5, True),
        ("slow_consumer: SLOW_CONSUMER_BLOCK", False, BLOCK, 0, False),
        ("slow_consumer: SLOW_CONSUMER_DROP_OLDEST", False, DROP_OLDEST, 0, True),
        ("slow_consumer: SLOW_CONSUMER_DISCONNECT", False, DISCONNECT, 0, True),
        ('slow_consumer: SLOW_CONSUMER_CONFLATE key: "name"', False, CONFLATE, 0, True),
        (
            'shared: true key: "name" slow_consumer: SLOW_CONSUMER_DROP_OLDEST',
            True,
            DROP_OLDEST,
            5,
            True,
        ),
        ("shared: true slow_consumer: SLOW_CONSUMER_DISCONNECT", True, DISCONNECT, 5, True),
        ('id_field: "name" resume_field: "name"', False, BLOCK, 0, False),
    ],
)
def test_what_is_not_said_follows_from_what_is(
    options: str, shared: bool, slow_consumer: SlowConsumer, linger: float, detached: bool
) -> None:
    """Sharing and key choose the slow-consumer policy; sharing lingers for 5 s."""
    policy = policy_of(options)

    assert policy.shared is shared
    assert policy.slow_consumer is slow_consumer
    assert policy.linger == linger
    assert policy.uses_feed(resumable=True) is detached


def test_a_method_without_options_has_no_policy() -> None:
    """Nothing said is not the same as options with nothing in them."""
    text = PROTO % 'rpc A(R) returns (stream M) { option (google.api.http) = {get: "/a"}; }'

    assert stream_policy(load(compile_text(text)).methods[0]) is None


@pytest.mark.parametrize(
    ("options", "keep", "last", "last_of_each_key"),
    [
        ("shared: true", 1024, 0, False),
        ("shared: true keep: 1", 1, 0, False),
        ("shared: true keep: 1000000", 1_000_000, 0, False),
        ("shared: true start_with_last: 1024", 1024, 1024, False),
        ("shared: true start_with_last: 3 keep: 3", 3, 3, False),
        ('shared: true key: "name" start_with_last_of_each_key: true', 1024, 0, True),
    ],
)
def test_what_is_kept_and_what_late_readers_get(
    options: str, keep: int, last: int, last_of_each_key: bool
) -> None:
    """1024 messages are kept, unless something else is said; the last of them may go first."""
    policy = policy_of(options)

    assert policy.keep == keep
    assert policy.start_with_last == last
    assert policy.start_with_last_of_each_key is last_of_each_key


@pytest.mark.parametrize(
    ("options", "key", "id_field", "resume_field"),
    [
        ("", "", "", ""),
        *(
            (f'shared: true key: "{name}"', name, "", "")
            for name in ("name", "number", "kind", "flag", "inner.number")
        ),
        ('id_field: "name" resume_field: "name"', "", "name", "name"),
        ('id_field: "number" resume_field: "after"', "", "number", "after"),
        ('id_field: "inner.number" resume_field: "r.after"', "", "inner.number", "r.after"),
    ],
)
def test_fields_are_resolved(options: str, key: str, id_field: str, resume_field: str) -> None:
    """Dotted names reach into messages; a key may be an enum or a bool too."""
    policy = policy_of(options)

    assert names(policy.key) == key
    assert names(policy.id_field) == id_field
    assert names(policy.resume_field) == resume_field


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ('shared: true key: "nome"', "key: t.M has no field 'nome'"),
        (
            'shared: true key: "name.x"',
            "key: t.M.name is not a single message, so it has no fields to name",
        ),
        (
            'shared: true key: "inners.number"',
            "key: t.M.inners is not a single message, so it has no fields to name",
        ),
        (
            'shared: true key: "by_name.value"',
            "key: t.M.by_name is not a single message, so it has no fields to name",
        ),
        ('shared: true key: "names"', "key: t.M.names is no single string, integer, enum or bool"),
        ('shared: true key: "inner"', "key: t.M.inner is no single string, integer, enum or bool"),
        ('shared: true key: "raw"', "key: t.M.raw is no single string, integer, enum or bool"),
        ('shared: true key: "real"', "key: t.M.real is no single string, integer, enum or bool"),
        (
            'id_field: "kind" resume_field: "name"',
            "id_field: t.M.kind is no single string or integer",
        ),
        (
            'id_field: "flag" resume_field: "name"',
            "id_field: t.M.flag is no single string or integer",
        ),
        (
            'id_field: "names" resume_field: "name"',
            "id_field: t.M.names is no single string or integer",
        ),
        (
            'id_field: "name" resume_field: "raw"',
            "resume_field: t.R.raw is no single string or integer",
        ),
        ('id_field: "name" resume_field: "nome"', "resume_field: t.R has no field 'nome'"),
        ('id_field: "name"', "id_field and resume_field require each other"),
        ('resume_field: "name"', "id_field and resume_field require each other"),
        (
            'linger {seconds: 1} id_field: "name" resume_field: "name"',
            "resume_field cannot be combined with linger, unless the stream is shared",
        ),
        ("start_with_last: 3", "start_with_last is for a shared stream"),
        (
            'key: "name" start_with_last_of_each_key: true',
            "start_with_last_of_each_key is for a shared stream",
        ),
        (
            "shared: true start_with_last_of_each_key: true",
            "start_with_last_of_each_key needs a key",
        ),
        ("shared: true start_with_last: 1025", "start_with_last is more than keep"),
        ("shared: true start_with_last: 3 keep: 2", "start_with_last is more than keep"),
        ("shared: true keep: 1000001", "keep is at most 1000000"),
        ("slow_consumer: SLOW_CONSUMER_CONFLATE", "SLOW_CONSUMER_CONFLATE needs a key"),
        (
            "shared: true slow_consumer: SLOW_CONSUMER_BLOCK",
            "SLOW_CONSUMER_BLOCK is not for a shared stream: one reader would slow down all",
        ),
        ("shared: true linger {seconds: -1}", "linger is negative"),
        ("linger {nanos: -1}", "linger is negative"),
    ],
)
def test_options_that_do_not_fit_stop_the_start(options: str, problem: str) -> None:
    """One line says the place of the method, its name, and what is wrong."""
    _, problems = bind(load(compile_text(PROTO % (METHOD % options))).methods)

    assert [str(each) for each in problems] == [f"{PLACE}: t.S.A: (gateway.v1.stream): {problem}"]


NOT_A_STREAM = "only for a method whose server streams, and whose client does not"
DATA = "not for a method that answers with google.api.HttpBody"


@pytest.mark.parametrize(
    ("signature", "rule", "problem"),
    [
        ("(R) returns (M)", 'get: "/a"', NOT_A_STREAM),
        ("(stream R) returns (M)", 'post: "/a" body: "*"', NOT_A_STREAM),
        ("(stream R) returns (stream M)", 'post: "/a" body: "*"', NOT_A_STREAM),
        ("(R) returns (stream google.api.HttpBody)", 'get: "/a"', DATA),
        ("(R) returns (stream M)", 'get: "/a" response_body: "body"', DATA),
        (
            "(R) returns (stream M)",
            'get: "/a" additional_bindings {get: "/b" response_body: "body"}',
            DATA,
        ),
    ],
)
def test_methods_that_have_no_such_options(signature: str, rule: str, problem: str) -> None:
    """Of what is no stream of JSON texts from the server, there is nothing to say."""
    method = (
        f"rpc A{signature} {{ option (google.api.http) = {{{rule}}};"
        " option (gateway.v1.stream) = {shared: true}; }"
    )
    _, problems = bind(load(compile_text(PROTO % method)).methods)

    place = f"test.proto:15:{3 + method.index('option (gateway')}"
    assert [str(each) for each in problems] == [f"{place}: t.S.A: (gateway.v1.stream): {problem}"]


def test_a_policy_that_nobody_knows_stops_the_start() -> None:
    """A contract made with a newer options.proto than the edge's is refused, not guessed at."""
    files = descriptor_pb2.FileDescriptorSet.FromString(
        compile_text(PROTO % (METHOD % "shared: true"))
    )
    (method,) = next(file for file in files.file if file.name == "test.proto").service[0].method
    extensions: Any = method.options.Extensions
    extensions[options_pb2.stream].slow_consumer = 99
    _, problems = bind(load(files.SerializeToString()).methods)

    assert [str(each) for each in problems] == [
        f"{PLACE}: t.S.A: (gateway.v1.stream): 99 is not a valid SlowConsumer"
    ]
