// gRPC's interoperability test cases on @grpc/grpc-js: `node cases.mjs HOST:PORT FOLDER [CASE…]`;
// over TLS with the PEMs of the folder TLS, if there is one.
// Prints the name of each that has passed. What was compressed on the wire, whoever runs this looks at.
// Source: grpc/grpc, doc/interop-test-descriptions.md

import assert from "node:assert/strict";
import { once } from "node:events";
import grpc from "@grpc/grpc-js";
import { ofClient, testing } from "./testing.mjs";

const [address, folder, ...chosen] = process.argv.slice(2);
const { TestService, UnimplementedService } = testing(folder);
const credentials = ofClient();
const stub = new TestService(address, credentials);
const compressing = new TestService(address, credentials, {
  "grpc.default_compression_algorithm": grpc.compressionAlgorithms.gzip,
});

const NO_COMPRESS = 2; // of the core's write flags, which grpc-js knows and does not export

const zeros = (size) => ({ body: Buffer.alloc(size) });
const large = { responseSize: 314159, payload: zeros(271828) };
const sent = [27182, 8, 1828, 45904];
const answered = [31415, 9, 2653, 58979];
const turn = (request, response) => ({ responseParameters: [{ size: response }], payload: zeros(request) });

/** Makes a call of one response; also gives what came beside it. */
function one(client, method, request, metadata = new grpc.Metadata()) {
  return new Promise((resolve, reject) => {
    const seen = {};
    const call = client[method](request, metadata, (error, response) =>
      error ? reject(error) : setImmediate(() => resolve({ ...seen, response })),
    );
    call.on("metadata", (initial) => (seen.initial = initial));
    call.on("status", (status) => (seen.trailing = status.metadata));
  });
}

/** Makes a call of many requests and one response; each request says how it is sent. */
function upload(client, requests) {
  return new Promise((resolve, reject) => {
    const call = client.streamingInputCall((error, response) => (error ? reject(error) : resolve(response)));
    const next = ([head, ...rest]) => {
      if (!head) return call.end();
      // not write(), for Node has come to refuse flags where a stream has an encoding
      call._write(head.request, head.flags, () => next(rest));
    };
    next(requests);
  });
}

/** Returns the sizes of all responses. */
async function sizes(call) {
  const found = [];
  for await (const { payload } of call) {
    assert.ok(payload.body.every((octet) => octet === 0));
    found.push(payload.body.length);
  }
  return found;
}

/** Waits for the end of a call that fails. */
async function failure(call) {
  call.on("data", () => {});
  const [error] = await once(call, "error");
  return error;
}

const is = (code, details) => (error) => {
  assert.equal(error.code, code);
  if (details !== undefined) assert.equal(error.details, details);
  return true;
};

async function status(message) {
  const responseStatus = { code: 2, message };
  await assert.rejects(one(stub, "unaryCall", { responseStatus }), is(2, message));
  const call = stub.fullDuplexCall();
  call.end({ responseStatus });
  is(2, message)(await failure(call));
}

const expecting = (value) => ({ ...large, expectCompressed: { value } });
const streamed = (size, value, flags) => ({
  request: { payload: zeros(size), expectCompressed: { value } },
  flags,
});

const cases = {
  async empty_unary() {
    assert.deepEqual((await one(stub, "emptyCall", {})).response, {});
  },
  async large_unary() {
    assert.deepEqual((await one(stub, "unaryCall", large)).response.payload.body, Buffer.alloc(314159));
  },
  async client_compressed_unary() {
    await assert.rejects(one(stub, "unaryCall", expecting(true)), is(3));
    for (const [client, value] of [[compressing, true], [stub, false]]) {
      const { response } = await one(client, "unaryCall", expecting(value));
      assert.equal(response.payload.body.length, 314159);
    }
  },
  async server_compressed_unary() {
    for (const value of [true, false]) {
      const { response } = await one(stub, "unaryCall", { ...large, responseCompressed: { value } });
      assert.deepEqual(response.payload.body, Buffer.alloc(314159));
    }
  },
  async client_streaming() {
    const answer = await upload(stub, sent.map((size) => ({ request: { payload: zeros(size) } })));
    assert.equal(answer.aggregatedPayloadSize, 74922);
  },
  async client_compressed_streaming() {
    await assert.rejects(upload(stub, [streamed(27182, true)]), is(3));
    const both = [streamed(27182, true), streamed(45904, false, NO_COMPRESS)];
    assert.equal((await upload(compressing, both)).aggregatedPayloadSize, 73086);
  },
  async server_streaming() {
    const responseParameters = answered.map((size) => ({ size }));
    assert.deepEqual(await sizes(stub.streamingOutputCall({ responseParameters })), answered);
  },
  async server_compressed_streaming() {
    const responseParameters = [
      { size: 31415, compressed: { value: true } },
      { size: 92653, compressed: { value: false } },
    ];
    assert.deepEqual(await sizes(stub.streamingOutputCall({ responseParameters })), [31415, 92653]);
  },
  async ping_pong() {
    const call = stub.fullDuplexCall();
    const responses = call[Symbol.asyncIterator]();
    for (const [index, size] of sent.entries()) {
      call.write(turn(size, answered[index]));
      assert.equal((await responses.next()).value.payload.body.length, answered[index]);
    }
    call.end();
    assert.ok((await responses.next()).done);
  },
  async empty_stream() {
    const call = stub.fullDuplexCall();
    call.end();
    assert.deepEqual(await sizes(call), []);
  },
  async custom_metadata() {
    const metadata = new grpc.Metadata();
    metadata.set("x-grpc-test-echo-initial", "test_initial_metadata_value");
    metadata.set("x-grpc-test-echo-trailing-bin", Buffer.from([0xab, 0xab, 0xab]));
    const check = ({ initial, trailing }) => {
      assert.deepEqual(initial.get("x-grpc-test-echo-initial"), ["test_initial_metadata_value"]);
      assert.deepEqual(trailing.get("x-grpc-test-echo-trailing-bin"), [Buffer.from([0xab, 0xab, 0xab])]);
    };
    check(await one(stub, "unaryCall", large, metadata));
    const call = stub.fullDuplexCall(metadata);
    const told = Promise.all([once(call, "metadata"), once(call, "status")]);
    call.end(turn(271828, 314159));
    assert.deepEqual(await sizes(call), [314159]);
    const [[initial], [ended]] = await told;
    check({ initial, trailing: ended.metadata });
  },
  status_code_and_message: () => status("test status message"),
  special_status_message: () =>
    status("\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"),
  unimplemented_method: () => assert.rejects(one(stub, "unimplementedCall", {}), is(12)),
  async unimplemented_service() {
    const client = new UnimplementedService(address, credentials);
    await assert.rejects(one(client, "unimplementedCall", {}), is(12));
    client.close();
  },
  async cancel_after_begin() {
    await new Promise((resolve) => {
      const call = stub.streamingInputCall((error) => resolve(is(1)(error)));
      setImmediate(() => call.cancel());
    });
  },
  async cancel_after_first_response() {
    const call = stub.fullDuplexCall();
    const ended = once(call, "error");
    call.once("data", () => call.cancel());
    call.write(turn(27182, 31415));
    is(1)((await ended)[0]);
  },
  async timeout_on_sleeping_server() {
    const call = stub.fullDuplexCall({ deadline: Date.now() + 1 });
    call.write({ payload: zeros(27182) });
    is(4)(await failure(call));
  },
  async concurrent_large_unary() {
    const all = await Promise.all(Array.from({ length: 100 }, () => one(stub, "unaryCall", large)));
    assert.ok(all.every(({ response }) => response.payload.body.length === 314159));
  },
};

for (const name of chosen.length ? chosen : Object.keys(cases)) {
  await cases[name]();
  console.log(name);
}
stub.close();
compressing.close();
