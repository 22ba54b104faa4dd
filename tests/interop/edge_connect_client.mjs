// A client of Connect's libraries, from the descriptor set, for the calls of edge_calls.mjs; in Node and in a browser.

import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { ConnectError, createClient } from "@connectrpc/connect";

async function* sent(messages) {
  yield* messages;
}

/**
 * Returns the client.
 *
 * @param library `@connectrpc/connect-node` or `@connectrpc/connect-web`
 * @param protocol connect, grpc or grpc-web
 * @param format proto, or json: then a method without side effects is called by GET
 * @param options more options of the transport
 * @param streams whether a client can send streams
 * @param descriptors the bytes of the descriptor set
 */
export function connectClient(library, protocol, format, options, streams, descriptors) {
  const transports = {
    connect: library.createConnectTransport,
    grpc: library.createGrpcTransport,
    "grpc-web": library.createGrpcWebTransport,
  };
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptors));
  const transport = transports[protocol]({
    useBinaryFormat: format === "proto",
    useHttpGet: format === "json", // Unary has no side effects
    jsonOptions: { registry },
    ...options,
  });
  const stub = createClient(registry.getService("echo.v1.Echo"), transport);
  return {
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
  };
}
