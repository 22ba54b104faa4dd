"""The wires of RPC: gRPC, gRPC-Web and Connect, each as a codec of messages and of a call's end.

All three carry the bytes of messages; the JSON of Connect alone is translated. Which one a request speaks is
decided by its headers (`choose`); the order in which a call is answered is `gateway.exchange.rpc`.
"""
