// grpc-web, Google's client for browsers, before an edge: `node edge_grpc_web.mjs text|binary URL FILE`
// Node has no XMLHttpRequest: xhr2 is one. Messages are written and read with the descriptor set.

import { readFileSync } from "node:fs";
import { create, createFileRegistry, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import grpcWeb from "grpc-web";
import XMLHttpRequest from "xhr2";
import { all } from "./edge_calls.mjs";

globalThis.XMLHttpRequest = XMLHttpRequest;

const [format, baseUrl, file] = process.argv.slice(2);
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(file)));
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
      error ? reject(error) : setImmediate(() => resolve({ ...came, message })),
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

await all({
  unary: async (request, headers) => {
    const { message, initial, trailing } = await call("unary", request, headers);
    return { message, header: (name) => initial[name], trailer: (name) => trailing[name] };
  },
  serverStream: (request) => messages(call("serverStream", request)),
  fail: (request) => call("fail", request),
  hang: (milliseconds) => call("hang", {}, { deadline: String(Date.now() + milliseconds) }),
  status: ({ code, message, metadata }) => {
    const status = Buffer.from(metadata["grpc-status-details-bin"] ?? "", "base64").toString("latin1");
    return [code, message, [...status.matchAll(/type\.googleapis\.com\/([\w.]+)/g)].map(([, name]) => name)];
  },
});
