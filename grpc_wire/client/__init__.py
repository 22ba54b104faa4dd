"""The channel: the double of `grpc.aio`'s."""

from grpc_wire.client.channel import Channel, insecure_channel, secure_channel

__all__ = ["Channel", "insecure_channel", "secure_channel"]
