// @grpc/grpc-js before an edge, from the .proto files: `node edge_grpc_js.mjs HOST:PORT FOLDER…`; over TLS with the
// PEMs of the folder TLS, if there is one.

import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import { all } from "./edge_calls.mjs";
import { ofClient } from "./testing.mjs";

const [address, ...includeDirs] = process.argv.slice(2);
const { echo } = grpc.loadPackageDefinition(loader.loadSync("echo/v1/echo.proto", { includeDirs, defaults: true }));
const stub = new echo.v1.Echo(address, ofClient());

const reply = (start) =>
  new Promise((resolve, reject) => start((error, message) => (error ? reject(error) : resolve(message))));

function sent(call, messages) {
  for (const message of messages) call.write(message);
  call.end();
  return call;
}

await all({
  unary: async (request, headers) => {
    const metadata = new grpc.Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    const came = {};
    const message = await reply((done) => {
      const call = stub.unary(request, metadata, (error, message) => setImmediate(done, error, message));
      call.on("metadata", (initial) => (came.initial = initial));
      call.on("status", (status) => (came.trailing = status.metadata));
    });
    return { message, header: (name) => came.initial.get(name)[0], trailer: (name) => came.trailing.get(name)[0] };
  },
  serverStream: (request) => stub.serverStream(request),
  clientStream: (messages) => reply((done) => sent(stub.clientStream(done), messages)),
  bidi: (messages) => sent(stub.bidi(), messages),
  fail: (request) => reply((done) => stub.fail(request, done)),
  hang: (milliseconds) => reply((done) => stub.hang({}, { deadline: Date.now() + milliseconds }, done)),
  status: ({ code, details, metadata }) => {
    const status = (metadata.get("grpc-status-details-bin")[0] ?? "").toString("latin1");
    const types = [...status.matchAll(/type\.googleapis\.com\/([\w.]+)/g)].map(([, name]) => name);
    return [code, details, types];
  },
});
stub.close();
