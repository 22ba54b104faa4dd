// A client of grpc-web, Google's library for browsers, for the calls of edge_calls.mjs. Messages are written and read
// with the descriptor set.

import { create, createFileRegistry, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import grpcWeb from "grpc-web";

/**
 * Returns the client.
 *
 * @param format text or binary
 * @param baseUrl of the edge
 * @param descriptors the bytes of the descriptor set
 */
export function grpcWebClient(format, baseUrl, descriptors) {
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptors));
  const service = registry.getService("echo.v1.Echo");
  const client = new grpcWeb.GrpcWebClientBase({ format });

  function described(method) {
    return new grpcWeb.MethodDescriptor(
      `/${service.typeName}/${method.name}`,
      method.methodKind === "unary" ? grpcWeb.MethodType.UNARY : grpcWeb.MethodType.SERVER_STREAMING,
      Object,
      Object,
      (request) => toBinary(method.input, create(method.input, request)),
      (bytes) => fromBinary(method.output, bytes),
    );
  }

  function call(name, request, metadata = {}) {
    const method = service.methods.find((each) => each.localName === name);
    const url = `${baseUrl}/${service.typeName}/${method.name}`;
    if (method.methodKind !== "unary") return client.serverStreaming(url, request, metadata, described(method));
    const came = { trailing: {} };
    return new Promise((resolve, reject) => {
      const running = client.rpcCall(url, request, metadata, described(method), (error, message) =>
        error ? reject(error) : setTimeout(() => resolve({ ...came, message })),
      );
      running.on("metadata", (initial) => (came.initial = initial));
      running.on("status", (status) => (came.trailing = { ...came.trailing, ...status.metadata }));
    });
  }

  async function* messages(stream) {
    const found = [];
    await new Promise((resolve, reject) => {
      stream.on("data", (message) => found.push(message));
      stream.on("error", reject);
      stream.on("end", resolve);
    });
    yield* found;
  }

  return {
    unary: async (request, headers) => {
      const { message, initial, trailing } = await call("unary", request, headers);
      return { message, header: (name) => initial[name], trailer: (name) => trailing[name] };
    },
    serverStream: (request) => messages(call("serverStream", request)),
    fail: (request) => call("fail", request),
    hang: (milliseconds) => call("hang", {}, { deadline: String(Date.now() + milliseconds) }),
    status: ({ code, message, metadata }) => {
      const status = atob(metadata["grpc-status-details-bin"] ?? "");
      return [code, message, [...status.matchAll(/type\.googleapis\.com\/([\w.]+)/g)].map(([, name]) => name)];
    },
  };
}
