// Connect's clients before an edge, from the descriptor set:
// `node edge_connect.mjs node|web connect|grpc|grpc-web 1.1|2 proto|json URL FILE`
// Over HTTP/1.1, and in what a browser has, calls stream only from the server.

import { readFileSync } from "node:fs";
import * as node from "@connectrpc/connect-node";
import * as web from "@connectrpc/connect-web";
import { all } from "./edge_calls.mjs";
import { connectClient } from "./edge_connect_client.mjs";

const [runtime, protocol, httpVersion, format, baseUrl, file] = process.argv.slice(2);
const { [runtime]: library } = { node, web };
const streams = runtime === "node" && httpVersion === "2";

await all(connectClient(library, protocol, format, { baseUrl, httpVersion }, streams, readFileSync(file)));
process.exit(0); // connections that are kept for more calls would hold it
