// Connect's clients before an edge, from the descriptor set:
// `node edge_connect.mjs node|web connect|grpc|grpc-web 1.1|2 proto|json URL FILE`
// Over HTTP/1.1, and in what a browser has, calls stream only from the server.

import { readFileSync } from "node:fs";
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { ConnectError, createClient } from "@connectrpc/connect";
import * as node from "@connectrpc/connect-node";
import * as web from "@connectrpc/connect-web";
import { all } from "./edge_calls.mjs";

const [runtime, protocol, httpVersion, format, baseUrl, file] = process.argv.slice(2);
const { [runtime]: library } = { node, web };
const transports = {
  connect: library.createConnectTransport,
  grpc: library.createGrpcTransport,
  "grpc-web": library.createGrpcWebTransport,
};
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(file)));
const transport = transports[protocol]({
  baseUrl,
  httpVersion,
  useBinaryFormat: format === "proto",
  useHttpGet: format === "json", // Unary has no side effects
  jsonOptions: { registry },
});
const stub = createClient(registry.getService("echo.v1.Echo"), transport);
const streams = runtime === "node" && httpVersion === "2";

async function* sent(messages) {
  yield* messages;
}

await all({
  unary: async (request, headers) => {
    const came = {};
    const message = await stub.unary(request, {
      headers,
      onHeader: (initial) => (came.initial = initial),
      onTrailer: (trailing) => (came.trailing = trailing),
    });
    return { message, header: (name) => came.initial.get(name), trailer: (name) => came.trailing.get(name) };
  },
  serverStream: (request) => stub.serverStream(request),
  clientStream: streams && ((messages) => stub.clientStream(sent(messages))),
  bidi: streams && ((messages) => stub.bidi(sent(messages))),
  fail: (request) => stub.fail(request),
  hang: (timeoutMs) => stub.hang({}, { timeoutMs }),
  status: (error) => {
    const { code, rawMessage, details } = ConnectError.from(error);
    return [code, rawMessage, details.map(({ type }) => type)];
  },
});
process.exit(0); // connections that are kept for more calls would hold it
