// @grpc/grpc-js, from the .proto files: `node grpc_js.mjs HOST:PORT FOLDER…`

import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import { all } from "./calls.mjs";

const [address, ...includeDirs] = process.argv.slice(2);
const definition = loader.loadSync("finance.proto", { includeDirs, defaults: true });
const { finance } = grpc.loadPackageDefinition(definition);
const stub = new finance.CurrencyConverter(address, grpc.credentials.createInsecure());

const client = {
  convert: (request) =>
    new Promise((resolve, reject) =>
      stub.convert(request, (error, answer) => (error ? reject(error) : resolve(answer))),
    ),
  watch: async function* (request) {
    const call = stub.watchRates(request);
    call.on("error", () => {}); // the cancellation below
    try {
      yield* call;
    } finally {
      call.cancel();
    }
  },
  batch: (requests) =>
    new Promise((resolve, reject) => {
      const call = stub.batchConvert((error, answer) => (error ? reject(error) : resolve(answer)));
      for (const request of requests) call.write(request);
      call.end();
    }),
  live: (requests) => {
    const call = stub.liveConvert();
    for (const request of requests) call.write(request);
    call.end();
    return call;
  },
  code: (error) => error.code,
  details: (error) => {
    const [status] = error.metadata.get("grpc-status-details-bin");
    return [...status.toString("latin1").matchAll(/type\.googleapis\.com\/([\w.]+)/g)].map(([, name]) => name);
  },
};

await all(client);
stub.close();
