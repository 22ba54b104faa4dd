// connect-web and grpc-web in a page: `make interop` bundles this, and the test runs it there.
// It leaves `callEdge(library, form, URL, descriptor set in base64)`, which resolves to the name of each call, and what
// came. The library is connect, grpc-web (both connect-web's) or google (grpc-web itself).

import * as web from "@connectrpc/connect-web";
import { all } from "./edge_calls.mjs";
import { connectClient } from "./edge_connect_client.mjs";
import { grpcWebClient } from "./edge_grpc_web_client.mjs";

globalThis.callEdge = async (library, form, baseUrl, base64) => {
  const descriptors = Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));
  const client =
    library === "google"
      ? grpcWebClient(form, baseUrl, descriptors)
      : connectClient(web, library, form, { baseUrl }, false, descriptors);
  const found = {};
  await all(client, (name, value) => (found[name] = value));
  return found;
};
