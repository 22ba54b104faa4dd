"""`hello.Greeter`, the smallest service."""
# ruff: noqa: ARG002, N802 - the method names are the contract's, the parameters grpc's

from grpc_core._generated import hello_pb2_grpc
from grpc_core._generated.hello_pb2 import HelloReply, HelloRequest
from grpc_core.finance.errors import InvalidArgumentError, Violation
from grpc_core.guard import ServicerContext


class Greeter(hello_pb2_grpc.GreeterServicer):
    """`hello.Greeter`."""

    async def SayHello(self, request: HelloRequest, context: ServicerContext) -> HelloReply:
        """Greets by name.

        Raises:
            InvalidArgumentError: The name is empty.
        """
        if not request.name:
            raise InvalidArgumentError([Violation("name", "name must not be empty")])
        return HelloReply(message=f"Hello, {request.name}!")
