"""The gRPC client side: the port that the edge calls, and its two implementations.

`wire` implements it over `grpc_wire`, `grpcio` over grpcio, each with its own calls. They share the pool of
connections and the errors of calls. Rule: bytes cross the port; nothing here knows JSON or HTTP.
"""
