"""All series of the edge's metrics. docs/reference/operations.md has the same table; a test compares them."""

from __future__ import annotations

from typing import Final

from server_process.exposition import PROCESS_SERIES, Series

_METHOD: Final = ("grpc_type", "grpc_service", "grpc_method")

SERIES: Final = (
    Series(
        "http_server_request_duration_seconds",
        "histogram",
        ("http_route", "http_request_method", "http_response_status_code"),
        "Durations of requests; that of a stream is its lifetime.",
    ),
    Series("grpc_client_started_total", "counter", _METHOD, "Calls to the upstream that started."),
    Series(
        "grpc_client_handled_total",
        "counter",
        (*_METHOD, "grpc_code"),
        "Calls to the upstream that ended, by status code.",
    ),
    Series(
        "grpc_client_handling_seconds",
        "histogram",
        _METHOD,
        "Durations of calls to the upstream.",
    ),
    Series(
        "grpc_client_msg_sent_total", "counter", _METHOD, "Messages that were sent to the upstream."
    ),
    Series(
        "grpc_client_msg_received_total",
        "counter",
        _METHOD,
        "Messages that came from the upstream.",
    ),
    Series(
        "protoway_admission_refusals_total",
        "counter",
        ("policy", "grpc_code"),
        "Requests that a policy refused.",
    ),
    Series(
        "protoway_limits_local_requests_total",
        "counter",
        ("reason",),
        "Requests that limits_shared is about, and that the process has counted by itself.",
    ),
    Series(
        "protoway_ready",
        "gauge",
        ("check",),
        "1 if a check of /readyz passed when it was last made, else 0.",
    ),
    Series(
        "protoway_access_log_lost_lines_total",
        "counter",
        (),
        "Lines of the access log that could not be written.",
    ),
    Series("protoway_streams_open", "gauge", ("wire",), "Streams that are open, by framing."),
    Series("protoway_feeds", "gauge", (), "Buffered streams; a shared one counts once."),
    Series("protoway_feed_readers", "gauge", (), "Readers of buffered streams."),
    Series("protoway_feed_buffer_bytes", "gauge", (), "Memory of all buffered streams."),
    Series(
        "protoway_feed_lag_messages",
        "gauge",
        ("reader",),
        "Messages that the slowest and the median reader have still to read.",
    ),
    Series(
        "protoway_feed_dropped_messages_total",
        "counter",
        ("policy",),
        "Messages that readers missed, by slow-consumer policy.",
    ),
    Series("protoway_feed_gaps_total", "counter", (), "Gaps that were reported to readers."),
    Series(
        "protoway_feed_resumes_total",
        "counter",
        ("result",),
        "Readers that came back with the id of an event.",
    ),
    Series(
        "protoway_upstream_connections",
        "gauge",
        ("upstream", "state"),
        "Connections to each upstream, by state.",
    ),
    Series(
        "protoway_upstream_connections_established_total",
        "counter",
        ("upstream",),
        "Connections to each upstream that became ready; beyond the first ones, reconnects.",
    ),
    Series(
        "protoway_upstream_calls_waiting",
        "gauge",
        ("upstream",),
        "Calls that wait for a free connection.",
    ),
    Series(
        "protoway_upstream_calls_open",
        "gauge",
        ("upstream", "kind"),
        "Calls under way to each entry of upstreams.",
    ),
    Series(
        "protoway_upstream_refused_calls_total",
        "counter",
        ("upstream", "kind"),
        "Calls that were refused for the bounds of an entry of upstreams.",
    ),
    Series(
        "protoway_upstream_retries_total",
        "counter",
        ("upstream", "result"),
        "Failed attempts of calls that may be retried, by whether they were.",
    ),
    Series(
        "protoway_upstream_addresses",
        "gauge",
        ("upstream", "state"),
        "Addresses of each entry of upstreams that has several, by state.",
    ),
    Series(
        "protoway_upstream_ejections_total",
        "counter",
        ("upstream", "reason"),
        "Times that an address was left out for a while.",
    ),
    Series(
        "protoway_upstream_returns_total",
        "counter",
        ("upstream",),
        "Times that an address was let in again.",
    ),
    Series(
        "protoway_shared_feeds",
        "gauge",
        ("role",),
        "Feeds in the store that this process leads, follows, or reads without the store.",
    ),
    Series(
        "protoway_shared_feed_takeovers_total",
        "counter",
        (),
        "Feeds with messages that this process has led after another one.",
    ),
    Series(
        "protoway_shared_feed_restarts_total",
        "counter",
        (),
        "Restarts of shared feeds that readers of this process are told of.",
    ),
    Series(
        "protoway_shared_feed_alone_total",
        "counter",
        (),
        "Times that a shared feed went on without the store.",
    ),
    Series(
        "protoway_shared_feed_refused_appends_total",
        "counter",
        ("reason",),
        "Appends that the store refused: another process leads, or the store has lost messages.",
    ),
    Series("protoway_store_up", "gauge", (), "1 if the store has answered last, else 0."),
    Series(
        "protoway_store_command_duration_seconds",
        "histogram",
        ("purpose",),
        "Durations of commands to the store, failed ones too.",
    ),
    Series(
        "protoway_store_commands_failed_total",
        "counter",
        ("purpose", "reason"),
        "Commands to the store that failed, or were not sent because it was down.",
    ),
    Series("protoway_connections_open", "gauge", (), "Connections of clients that are open."),
    Series(
        "protoway_connections_refused_total",
        "counter",
        (),
        "Connections that were closed for a limit or a wrong PROXY header.",
    ),
    Series(
        "protoway_accept_exhausted_total",
        "counter",
        (),
        "Times that no file descriptor was left for a connection.",
    ),
    Series(
        "protoway_head_cache_misses_total",
        "counter",
        (),
        "Heads of requests whose headers the cache of heads did not have.",
    ),
    Series(
        "protoway_event_loop_delay_seconds",
        "histogram",
        (),
        "How late timers of the event loop were, measured ten times a second.",
    ),
    Series(
        "protoway_certificate_expiry_timestamp_seconds",
        "gauge",
        ("certificate",),
        "Unix time at which a certificate expires.",
    ),
    Series("protoway_build_info", "gauge", ("version", "python"), "1; which program this is."),
    Series("protoway_contract_info", "gauge", ("fingerprint",), "1; which contract is served."),
    Series(
        "protoway_contract_reloads_total",
        "counter",
        ("result",),
        "Times that the contract was read again, or followed another worker's.",
    ),
    Series(
        "protoway_contract_in_force_timestamp_seconds",
        "gauge",
        (),
        "Unix time since which the contract is in force.",
    ),
    Series("protoway_worker_up", "gauge", (), "1 if the worker answered this scrape, else 0."),
    *PROCESS_SERIES,
)
