"""One request, in order: a head that a door has read becomes a call, and the call a response.

Rule: no ASGI and no sockets; a door gives a body and a sink (`gateway.exchange.ports`). What needs no clock
and no call stands in `gateway.transcoding`; a call lives inside the `async with` in which its response is
sent, so that leaving the block, for whatever reason, ends it upstream.
"""
