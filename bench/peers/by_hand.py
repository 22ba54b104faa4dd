"""The edge that people write by hand: FastAPI, pydantic, `json_format` and a stub of `grpc.aio`.

`python -m bench.peers.by_hand UPSTREAM`. It is written as the tutorials have it, with care: one channel, one
model for each message, statuses mapped, nothing done twice. It serves the demo's contract and the bench's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import grpc
import grpc.aio
from fastapi import FastAPI, HTTPException, Query, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse, StreamingResponse
from google.protobuf import json_format
from google.protobuf.message import Message
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from bench.contracts import messages
from bench.peers.serving import serve
from grpc_core._generated.finance_pb2 import ConvertRequest, WatchRequest
from grpc_core._generated.finance_pb2_grpc import CurrencyConverterStub

_TIMEOUT = 60
_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
_Point, _Batch, _Ask = messages()


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Amount(_Model):
    """`ConvertRequest`."""

    from_currency: str
    to_currency: str
    amount: float


class Converted(_Model):
    """`ConvertReply`."""

    converted_amount: float = 0
    rate: float = 0
    timestamp: str = ""


class Total(_Model):
    """`BatchReply`."""

    total_converted: float = 0
    count: int = 0


class Point(_Model):
    """`bench.Point`."""

    name: str = ""
    count: int = 0
    weight: float = 0


class Batch(_Model):
    """`bench.Batch`."""

    points: list[Point] = []


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with grpc.aio.insecure_channel(sys.argv[1]) as channel:
        app.state.converter = CurrencyConverterStub(channel)  # type: ignore[no-untyped-call]  # generated code has no types
        app.state.echo = _unary(channel, "Echo", _Point, _Point)
        app.state.echo_batch = _unary(channel, "EchoBatch", _Batch, _Batch)
        app.state.list = _unary(channel, "List", _Ask, _Batch)
        yield


def _unary(channel: grpc.aio.Channel, name: str, takes: Any, gives: Any) -> Any:
    return channel.unary_unary(f"/bench.Points/{name}", takes.SerializeToString, gives.FromString)


app = FastAPI(lifespan=_lifespan)


@app.exception_handler(grpc.aio.AioRpcError)
async def failed(_request: Request, error: grpc.aio.AioRpcError) -> JSONResponse:
    """Answers with the status of a call."""
    status = _STATUS.get(error.code(), 500)
    return JSONResponse({"code": error.code().value[0], "message": error.details()}, status)


def _message(model: _Model, message: Message) -> Any:
    return json_format.ParseDict(model.model_dump(by_alias=True), message)


async def _convert(amount: Amount) -> Converted:
    reply = await app.state.converter.Convert(_message(amount, ConvertRequest()), timeout=_TIMEOUT)
    return Converted.model_validate(json_format.MessageToDict(reply))


@app.post("/convert")
async def convert(amount: Amount) -> Converted:
    """Convert."""
    return await _convert(amount)


@app.get("/convert")
async def convert_get(from_currency: str, to_currency: str, amount: float) -> Converted:
    """Convert."""
    return await _convert(
        Amount(from_currency=from_currency, to_currency=to_currency, amount=amount)
    )


@app.post("/convert:batch")
async def convert_batch(amounts: list[Amount]) -> Total:
    """BatchConvert, of a JSON array."""
    requests = (_message(amount, ConvertRequest()) for amount in amounts)
    reply = await app.state.converter.BatchConvert(requests)
    return Total.model_validate(json_format.MessageToDict(reply))


@app.websocket("/convert:live")
async def convert_live(websocket: WebSocket) -> None:
    """LiveConvert."""
    await websocket.accept(websocket.scope["subprotocols"][0])

    async def requests() -> AsyncIterator[ConvertRequest]:
        async for text in websocket.iter_text():
            yield _message(Amount.model_validate_json(text), ConvertRequest())

    try:
        async for reply in app.state.converter.LiveConvert(requests()):
            await websocket.send_text(json_format.MessageToJson(reply, indent=None))
    except WebSocketDisconnect:
        return
    except grpc.aio.AioRpcError as error:
        await websocket.close(4000 + error.code().value[0])


@app.get("/rates/{base_currency}")
async def rates(
    base_currency: str, target_currencies: Annotated[list[str] | None, Query()] = None
) -> StreamingResponse:
    """WatchRates, as Server-Sent Events."""
    request = WatchRequest(base_currency=base_currency, target_currencies=target_currencies or [])

    async def events() -> AsyncIterator[str]:
        async for update in app.state.converter.WatchRates(request):
            yield f"data: {json.dumps(json_format.MessageToDict(update))}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


async def _echo(point: Point) -> Point:
    reply = await app.state.echo(_message(point, _Point()), timeout=_TIMEOUT)
    return Point.model_validate(json_format.MessageToDict(reply))


@app.post("/points")
async def echo(point: Point) -> Point:
    """Echo."""
    return await _echo(point)


@app.get("/points")
async def echo_get(name: str = "", count: int = 0, weight: float = 0) -> Point:
    """Echo."""
    return await _echo(Point(name=name, count=count, weight=weight))


@app.post("/batches")
async def echo_batch(batch: Batch) -> Batch:
    """EchoBatch."""
    reply = await app.state.echo_batch(_message(batch, _Batch()), timeout=_TIMEOUT)
    return Batch.model_validate(json_format.MessageToDict(reply))


@app.get("/batches")
async def listed(count: int) -> Batch:
    """List."""
    if count < 0:
        raise HTTPException(400, "count: expected 0 or more")
    reply = await app.state.list(_Ask(count=count), timeout=_TIMEOUT)
    return Batch.model_validate(json_format.MessageToDict(reply))


if __name__ == "__main__":
    serve(app)
