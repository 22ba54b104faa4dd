"""The channel: the double of `grpc.aio`'s, and calls on bytes without its objects."""

from grpc_wire.client.channel import Channel, insecure_channel, secure_channel
from grpc_wire.client.method import ClientMethod
from grpc_wire.client.stream import ClientStream

__all__ = ["Channel", "ClientMethod", "ClientStream", "insecure_channel", "secure_channel"]
