// grpc-web before an edge: `node edge_grpc_web.mjs text|binary URL FILE`
// Node has no XMLHttpRequest: xhr2 is one.

import { readFileSync } from "node:fs";
import XMLHttpRequest from "xhr2";
import { all } from "./edge_calls.mjs";
import { grpcWebClient } from "./edge_grpc_web_client.mjs";

globalThis.XMLHttpRequest = XMLHttpRequest;

const [format, baseUrl, file] = process.argv.slice(2);

await all(grpcWebClient(format, baseUrl, readFileSync(file)));
