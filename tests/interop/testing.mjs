// The tests' copy of `grpc.testing`, as @grpc/grpc-js wants it.

import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

/** Returns what is in the package, from a folder of .proto files. */
export function testing(folder) {
  const options = { includeDirs: [folder], defaults: true };
  return grpc.loadPackageDefinition(loader.loadSync("grpc/testing/test.proto", options)).grpc.testing;
}
