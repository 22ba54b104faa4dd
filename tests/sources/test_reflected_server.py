"""A server of grpcio, served by its reflection alone; `tests/interop` has those of grpc-go and grpc-js."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha import reflection

from gateway.contract.descriptors import files_of
from tests.contracts import compile_protos
from tests.interop.test_reflection import HERE
from tests.sources.reflected import check_that_it_is_served


async def test_a_server_of_grpcio_is_served_by_its_reflection() -> None:
    """Its contract has no HTTP rules, so `--auto-mapping` serves its methods, with streams."""
    pool = DescriptorPool()
    for file in files_of(compile_protos(HERE, "hello.proto", "guide.proto")):
        pool.Add(file)
    made: dict[str, Any] = {
        name: GetMessageClass(pool.FindMessageTypeByName(name))
        for name in (
            *("helloworld.HelloRequest", "helloworld.HelloReply"),
            *("routeguide.Rectangle", "routeguide.Feature"),
        )
    }

    async def say_hello(request: Any, _: object) -> Any:
        return made["helloworld.HelloReply"](message=f"Hello {request.name}")

    async def list_features(request: Any, _: object) -> AsyncIterator[Any]:
        for location in (request.lo, request.hi):
            yield made["routeguide.Feature"](name="corner", location=location)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                "helloworld.Greeter",
                {
                    "SayHello": grpc.unary_unary_rpc_method_handler(
                        say_hello,
                        made["helloworld.HelloRequest"].FromString,
                        made["helloworld.HelloReply"].SerializeToString,
                    )
                },
            ),
            grpc.method_handlers_generic_handler(
                "routeguide.RouteGuide",
                {
                    "ListFeatures": grpc.unary_stream_rpc_method_handler(
                        list_features,
                        made["routeguide.Rectangle"].FromString,
                        made["routeguide.Feature"].SerializeToString,
                    )
                },
            ),
        )
    )
    names = ("helloworld.Greeter", "routeguide.RouteGuide", reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server, pool)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        await check_that_it_is_served(f"127.0.0.1:{port}")
    finally:
        await server.stop(None)
