// The server of gRPC's interoperability test cases on @grpc/grpc-js: `node test_server.mjs FOLDER`;
// over TLS with the PEMs of the folder TLS, if there is one.
// Prints its port; ends with its standard input. It has no compression of responses, nor knows of requests'.

import grpc from "@grpc/grpc-js";
import { ofServer, testing } from "./testing.mjs";

const { TestService } = testing(process.argv[2]);

/** Gives what is to be echoed of the metadata; returns the trailing ones. */
function echo(call) {
  const initial = new grpc.Metadata();
  const trailing = new grpc.Metadata();
  for (const [key, metadata] of [
    ["x-grpc-test-echo-initial", initial],
    ["x-grpc-test-echo-trailing-bin", trailing],
  ])
    for (const value of call.metadata.get(key)) metadata.add(key, value);
  call.sendMetadata(initial);
  return trailing;
}

const responses = ({ responseParameters }) =>
  responseParameters.map(({ size }) => ({ payload: { body: Buffer.alloc(size) } }));

const methods = {
  emptyCall: (_call, answer) => answer(null, {}),
  unaryCall(call, answer) {
    const metadata = echo(call);
    const { responseSize, responseStatus } = call.request;
    if (responseStatus) answer({ code: responseStatus.code, details: responseStatus.message, metadata });
    else answer(null, { payload: { body: Buffer.alloc(responseSize) } }, metadata);
  },
  streamingOutputCall(call) {
    for (const response of responses(call.request)) call.write(response);
    call.end();
  },
  streamingInputCall(call, answer) {
    let aggregatedPayloadSize = 0;
    call.on("data", ({ payload }) => (aggregatedPayloadSize += payload.body.length));
    call.on("end", () => answer(null, { aggregatedPayloadSize }));
  },
  fullDuplexCall(call) {
    const metadata = echo(call);
    call.on("data", (request) => {
      const { responseStatus } = request;
      if (responseStatus)
        call.emit("error", { code: responseStatus.code, details: responseStatus.message, metadata });
      else for (const response of responses(request)) call.write(response);
    });
    call.on("end", () => call.end(metadata));
  },
};

const server = new grpc.Server();
server.addService(TestService.service, methods);
server.bindAsync("127.0.0.1:0", ofServer(), (error, port) => {
  if (error) throw error;
  console.log(port);
});
process.stdin.on("end", () => server.forceShutdown()).resume();
