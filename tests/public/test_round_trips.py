"""What public contracts say of a request is what upstream gets, and what it answers is what they say."""

from __future__ import annotations

from base64 import b64encode

import orjson

from tests.edge.asgi import start
from tests.public.conftest import Serve

TOPIC = "projects/p/topics/t"


async def test_a_topic_is_put_at_its_name(serve: Serve) -> None:
    """`PUT /v1/{name=projects/*/topics/*}` with body `*`: the path names what the body describes."""
    async with serve("google.pubsub.v1") as pubsub:
        topic = pubsub.message("google.pubsub.v1.Topic")
        body = b'{"labels":{"a":"b"},"messageRetentionDuration":"600s"}'
        answer = await pubsub.ask("PUT", f"/v1/{TOPIC}", body, topic(name=TOPIC, state="ACTIVE"))

        assert pubsub.called == "google.pubsub.v1.Publisher.CreateTopic"
        assert pubsub.request.name == TOPIC
        assert pubsub.request.labels == {"a": "b"}
        assert pubsub.request.message_retention_duration.seconds == 600
    assert answer.json == {"name": TOPIC, "state": "ACTIVE"}


async def test_a_nested_variable_joins_the_body(serve: Serve) -> None:
    """`PATCH /v1/{topic.name=projects/*/topics/*}`: the body fills the message that the path began."""
    async with serve("google.pubsub.v1") as pubsub:
        body = b'{"topic":{"kmsKeyName":"k"},"updateMask":"kmsKeyName,messageStoragePolicy"}'
        await pubsub.ask("PATCH", f"/v1/{TOPIC}", body)

        assert pubsub.called == "google.pubsub.v1.Publisher.UpdateTopic"
        assert (pubsub.request.topic.name, pubsub.request.topic.kms_key_name) == (TOPIC, "k")
        assert list(pubsub.request.update_mask.paths) == ["kms_key_name", "message_storage_policy"]


async def test_a_body_that_contradicts_a_nested_variable_is_refused(serve: Serve) -> None:
    """A name in the body that is not the path's is a mistake that nobody should guess about."""
    async with serve("google.pubsub.v1") as pubsub:
        answer = await pubsub.ask(
            "PATCH", f"/v1/{TOPIC}", b'{"topic":{"name":"projects/p/topics/u"}}'
        )

        assert (answer.status, pubsub.called) == (400, "")
    assert answer.json["details"][0]["fieldViolations"][0]["field"] == "topic.name"


async def test_bytes_are_base64_on_the_wire(serve: Serve) -> None:
    """`:publish` takes data that JSON cannot hold, and answers with the ids."""
    data = bytes(range(256))
    body = orjson.dumps({"messages": [{"data": b64encode(data).decode(), "orderingKey": "k"}]})
    async with serve("google.pubsub.v1") as pubsub:
        response = pubsub.message("google.pubsub.v1.PublishResponse")
        answer = await pubsub.ask("POST", f"/v1/{TOPIC}:publish", body, response(message_ids=["1"]))

        assert pubsub.called == "google.pubsub.v1.Publisher.Publish"
        assert pubsub.request.topic == TOPIC
        assert pubsub.request.messages[0].data == data
    assert answer.json == {"messageIds": ["1"]}


async def test_bytes_come_back_as_base64(serve: Serve) -> None:
    """`:pull` answers with messages whose data is base64 and whose times are RFC 3339."""
    async with serve("google.pubsub.v1") as pubsub:
        response = pubsub.message("google.pubsub.v1.PullResponse")()
        received = response.received_messages.add(ack_id="a", delivery_attempt=2)
        received.message.data = b"\xff\x00"
        received.message.publish_time.FromJsonString("2026-11-22T08:00:00.5Z")
        target = "/v1/projects/p/subscriptions/s:pull"
        answer = await pubsub.ask("POST", target, b'{"maxMessages":"5"}', response)

        assert pubsub.request.max_messages == 5
    message = {"data": "/wA=", "publishTime": "2026-11-22T08:00:00.500Z"}
    assert answer.json == {
        "receivedMessages": [{"ackId": "a", "message": message, "deliveryAttempt": 2}]
    }


async def test_paging_is_in_the_query(serve: Serve) -> None:
    """`GET /v1/{project=projects/*}/topics` pages by parameters in either spelling."""
    async with serve("google.pubsub.v1") as pubsub:
        topics = pubsub.message("google.pubsub.v1.ListTopicsResponse")
        target = "/v1/projects/p/topics?pageSize=2&page_token=a%2Fb%3D"
        answer = await pubsub.ask("GET", target, answer=topics(topics=[{"name": TOPIC}]))

        assert pubsub.called == "google.pubsub.v1.Publisher.ListTopics"
        assert (pubsub.request.page_size, pubsub.request.page_token) == (2, "a/b=")
    assert answer.json == {"topics": [{"name": TOPIC}]}


async def test_a_delete_answers_empty(serve: Serve) -> None:
    """`google.protobuf.Empty` is `{}`."""
    async with serve("google.pubsub.v1") as pubsub:
        answer = await pubsub.ask("DELETE", f"/v1/{TOPIC}")

        assert pubsub.called == "google.pubsub.v1.Publisher.DeleteTopic"
        assert pubsub.request.topic == TOPIC
    assert (answer.status, answer.json) == (200, {})


async def test_a_verb_without_body_takes_none(serve: Serve) -> None:
    """`POST …:detach` has no `body` in its rule, so a body that says something is an error, not ignored."""
    async with serve("google.pubsub.v1") as pubsub:
        target = "/v1/projects/p/subscriptions/s:detach"
        refused = await pubsub.ask("POST", target, b'{"topic":"t"}')
        called_by_it = pubsub.called
        taken = [await pubsub.ask("POST", target, body) for body in (b"", b"{}")]

        assert pubsub.called == "google.pubsub.v1.Publisher.DetachSubscription"
    assert (refused.status, called_by_it) == (400, "")
    assert [answer.status for answer in taken] == [200, 200]


async def test_a_percent_encoded_name_stays_in_its_segments(serve: Serve) -> None:
    """A capture of several segments is decoded, all but `%2F`, so that it keeps its shape."""
    async with serve("google.pubsub.v1") as pubsub:
        await pubsub.ask("GET", "/v1/projects/a%20b/topics/c%2Fd%C3%A9")

        assert pubsub.request.topic == "projects/a b/topics/c%2Fdé"


async def test_a_mixin_is_served_by_the_rules_of_its_api(serve: Serve) -> None:
    """`:setIamPolicy` of Pub/Sub is IAMPolicy's own method, on four kinds of resource."""
    policy = {"version": 3, "bindings": [{"role": "r", "members": ["user:a"]}], "etag": "YQ=="}
    async with serve("google.pubsub.v1") as pubsub:
        body = orjson.dumps({"policy": policy, "updateMask": "bindings,etag"})
        for kind in ("topics", "subscriptions", "snapshots", "schemas"):
            answer = await pubsub.ask("POST", f"/v1/projects/p/{kind}/x:setIamPolicy", body)

            assert answer.status == 200
            assert pubsub.called == "google.iam.v1.IAMPolicy.SetIamPolicy"
            assert pubsub.request.resource == f"projects/p/{kind}/x"
            assert list(pubsub.request.update_mask.paths) == ["bindings", "etag"]
        elsewhere = await pubsub.ask("POST", "/v1/projects/p/others/x:setIamPolicy", body)
    assert elsewhere.status == 404


async def test_iams_own_rules_take_any_resource(serve: Serve) -> None:
    """`/v1/{resource=**}:getIamPolicy` has a verb behind a capture of any length."""
    async with serve("google.iam.v1") as iam:
        policy = iam.message("google.iam.v1.Policy")
        body = b'{"options":{"requestedPolicyVersion":3}}'
        target = "/v1/a/b/c/d:getIamPolicy"
        answer = await iam.ask("POST", target, body, policy(version=3, etag=b"\xff"))

        assert iam.request.resource == "a/b/c/d"
        assert iam.request.options.requested_policy_version == 3
    assert answer.json == {"version": 3, "etag": "/w=="}


async def test_an_operation_carries_any_message_that_the_contract_knows(serve: Serve) -> None:
    """`google.protobuf.Any` is JSON with `@type`, in metadata, response and error."""
    async with serve("google.longrunning") as longrunning:
        operation = longrunning.message("google.longrunning.Operation")(name="operations/a/b")
        operation.metadata.type_url = "type.googleapis.com/google.protobuf.Duration"
        operation.metadata.value = b"\x08\x02"
        answer = await longrunning.ask("GET", "/v1/operations/a/b", answer=operation)

        assert longrunning.called == "google.longrunning.Operations.GetOperation"
        assert longrunning.request.name == "operations/a/b"
    duration = {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "2s"}
    assert answer.json == {"name": "operations/a/b", "metadata": duration}


async def test_a_literal_in_a_variable_keeps_its_own_path(serve: Serve) -> None:
    """`{name=operations}` lists and `{name=operations/**}` gets; one does not swallow the other."""
    async with serve("google.longrunning") as longrunning:
        await longrunning.ask("GET", "/v1/operations?filter=done%3Dtrue")
        assert longrunning.called == "google.longrunning.Operations.ListOperations"
        assert (longrunning.request.name, longrunning.request.filter) == ("operations", "done=true")

        await longrunning.ask("POST", "/v1/operations/a:cancel", b"{}")
        assert longrunning.called == "google.longrunning.Operations.CancelOperation"
        assert longrunning.request.name == "operations/a"


async def test_a_location_has_labels_and_metadata(serve: Serve) -> None:
    """A map, and an `Any` of a wrapper, in an answer."""
    async with serve("google.cloud.location") as locations:
        location = locations.message("google.cloud.location.Location")
        answer = await locations.ask(
            "GET", "/v1/projects/p/locations/l", answer=location(name="n", labels={"k": "v"})
        )

        assert locations.called == "google.cloud.location.Locations.GetLocation"
    assert answer.json == {"name": "n", "labels": {"k": "v"}}


async def test_additional_bindings_reach_one_method(serve: Serve) -> None:
    """A sink is made below each kind of parent, with the sink itself as the body."""
    async with serve("google.logging.v2") as logging:
        for parent in ("projects/p", "organizations/1", "x/y"):
            body = b'{"name":"s","outputVersionFormat":"V2","createTime":"2026-11-22T08:00:00Z"}'
            target = f"/v2/{parent}/sinks?uniqueWriterIdentity=true"
            answer = await logging.ask("POST", target, body)

            assert answer.status == 200, answer.body
            assert logging.called == "google.logging.v2.ConfigServiceV2.CreateSink"
            assert (logging.request.parent, logging.request.sink.name) == (parent, "s")
            assert logging.request.unique_writer_identity


async def test_a_mask_in_the_query_beside_a_body_of_one_field(serve: Serve) -> None:
    """`PATCH …/settings?updateMask=` has the settings as its body, and paths in the other spelling."""
    async with serve("google.logging.v2") as logging:
        target = "/v2/folders/f/settings?updateMask=kmsKeyName,disable_default_sink"
        await logging.ask("PATCH", target, b'{"kmsKeyName":"k","disableDefaultSink":true}')

        assert logging.called == "google.logging.v2.ConfigServiceV2.UpdateSettings"
        assert (logging.request.name, logging.request.settings.kms_key_name) == ("folders/f", "k")
        assert list(logging.request.update_mask.paths) == ["kms_key_name", "disable_default_sink"]


async def test_log_entries_hold_structs_and_enums(serve: Serve) -> None:
    """An entry's payload is free JSON, and its severity a name."""
    payload = {"a": [1, None, {"b": "é"}]}
    entry = {"severity": "ERROR", "jsonPayload": payload, "timestamp": "2026-11-22T08:00:00Z"}
    async with serve("google.logging.v2") as logging:
        body = orjson.dumps({"logName": "projects/p/logs/l", "entries": [entry]})
        await logging.ask("POST", "/v2/entries:write", body)
        written = logging.request.entries[0]
        listed = logging.message("google.logging.v2.ListLogEntriesResponse")(entries=[written])
        answer = await logging.ask("POST", "/v2/entries:list", b'{"pageSize":1}', listed)

        assert (written.severity, written.timestamp.seconds) == (500, 1795334400)
    assert answer.json == {"entries": [entry]}


async def test_a_bidirectional_stream_has_its_rule(serve: Serve) -> None:
    """`POST /v2/entries:tail` takes lines and answers lines."""
    lines = b'{"resourceNames":["projects/p"]}\n{"filter":"severity>=ERROR","bufferWindow":"2s"}\n'
    async with serve("google.logging.v2") as logging:
        response = logging.message("google.logging.v2.TailLogEntriesResponse")()
        response.suppression_info.add(reason="RATE_LIMIT", suppressed_count=3)
        logging.answer = response.SerializeToString()
        answer = await start(
            logging.app,
            "POST",
            "/v2/entries:tail",
            lines,
            {"accept": "application/x-ndjson", "content-type": "application/x-ndjson"},
        ).ended()

        assert logging.called == "google.logging.v2.LoggingServiceV2.TailLogEntries"
        assert len(logging.requests) == 2
        assert logging.request.buffer_window.seconds == 2
    assert answer.json == {"suppressionInfo": [{"reason": "RATE_LIMIT", "suppressedCount": 3}]}
    assert answer.complete


async def test_a_deep_message_of_a_large_contract(serve: Serve) -> None:
    """An inspection of DLP: enums, oneofs and lists some levels down, both ways."""
    item = {"table": {"headers": [{"name": "h"}], "rows": [{"values": [{"integerValue": "7"}]}]}}
    config = {"infoTypes": [{"name": "EMAIL_ADDRESS"}], "minLikelihood": "POSSIBLE"}
    async with serve("google.privacy.dlp.v2") as dlp:
        response = dlp.message("google.privacy.dlp.v2.InspectContentResponse")()
        finding = response.result.findings.add(quote="q", likelihood="VERY_LIKELY")
        finding.location.byte_range.end = 2**40
        body = orjson.dumps({"item": item, "inspectConfig": config})
        target = "/v2/projects/p/locations/l/content:inspect"
        answer = await dlp.ask("POST", target, body, response)

        assert dlp.called == "google.privacy.dlp.v2.DlpService.InspectContent"
        assert dlp.request.parent == "projects/p/locations/l"
        assert dlp.request.item.table.rows[0].values[0].integer_value == 7
    location = {"byteRange": {"end": "1099511627776"}}
    found = {"quote": "q", "likelihood": "VERY_LIKELY", "location": location}
    assert answer.json == {"result": {"findings": [found]}}
