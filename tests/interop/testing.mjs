// What both sides of @grpc/grpc-js want: the tests' copy of `grpc.testing`, and TLS where a folder of PEMs is named.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

/** Returns what is in the package, from a folder of .proto files. */
export function testing(folder) {
  const options = { includeDirs: [folder], defaults: true };
  return grpc.loadPackageDefinition(loader.loadSync("grpc/testing/test.proto", options)).grpc.testing;
}

const folder = process.env.TLS;
const pem = (name) => readFileSync(join(folder, `${name}.pem`));

/** Returns the credentials of a client. */
export const ofClient = () =>
  folder
    ? grpc.credentials.createSsl(pem("ca"), pem("key"), pem("certificate"))
    : grpc.credentials.createInsecure();

/** Returns the credentials of a server, which asks for its clients' certificates. */
export const ofServer = () =>
  folder
    ? grpc.ServerCredentials.createSsl(pem("ca"), [{ private_key: pem("key"), cert_chain: pem("certificate") }], true)
    : grpc.ServerCredentials.createInsecure();
