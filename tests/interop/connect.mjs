// Connect's client over gRPC-Web or gRPC, from the descriptor set: `node connect.mjs web|grpc URL FILE`
// gRPC-Web streams only from the server, as a browser does.

import { readFileSync } from "node:fs";
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { all } from "./calls.mjs";

const [protocol, baseUrl, file] = process.argv.slice(2);
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(file)));
const transport =
  protocol === "web"
    ? createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })
    : createGrpcTransport({ baseUrl });
const stub = createClient(registry.getService("finance.CurrencyConverter"), transport);

async function* each(requests) {
  yield* requests;
}

await all({
  convert: (request) => stub.convert(request),
  watch: (request) => stub.watchRates(request),
  batch: protocol === "grpc" ? (requests) => stub.batchConvert(each(requests)) : undefined,
  live: protocol === "grpc" ? (requests) => stub.liveConvert(each(requests)) : undefined,
  code: (error) => ConnectError.from(error).code,
  details: (error) => ConnectError.from(error).details.map(({ type }) => type),
});
process.exit(0); // connections that are kept for more calls would hold it
