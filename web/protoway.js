// @ts-check
/**
 * A client for the streams of a protoway edge: Server-Sent Events that reconnect and resume, and WebSockets with
 * both subprotocols. The protocols are in docs/reference/wires.md, the types in protoway.d.ts.
 *
 *     for await (const event of openEvents("/rates/USD")) {
 *       if (event.type === "message") show(event.data);
 *     }
 *
 * Both are async iterables for one `for await` loop; leaving the loop cancels the call. The last event is `ended`
 * (status OK), `failed` (with a `StatusError`), or `cut` (WebSocket only). Errors of server and network are events,
 * not exceptions; `messages` yields only messages and throws the errors.
 *
 * @import * as Protoway from "./protoway.js"
 */

/** Names of the gRPC status codes, by number. */
export const CODES = Object.freeze([
  "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
  "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
]);
const [, CANCELLED, UNKNOWN, , , , , PERMISSION_DENIED, RESOURCE_EXHAUSTED] = CODES.keys();
const [UNIMPLEMENTED, INTERNAL, UNAVAILABLE, , UNAUTHENTICATED] = [...CODES.keys()].slice(12);

/** HTTP status of a response without a Status, as from a proxy -> code (gRPC's http-grpc-status-mapping). */
const HTTP_CODES = /** @type {Record<number, number>} */ ({
  400: INTERNAL, 401: UNAUTHENTICATED, 403: PERMISSION_DENIED, 404: UNIMPLEMENTED,
  429: UNAVAILABLE, 502: UNAVAILABLE, 503: UNAVAILABLE, 504: UNAVAILABLE,
});

/** Close codes other than 1000 and 4000 + code -> status code and message. */
const CLOSE_CODES = /** @type {Record<number, [number, string]>} */ ({
  1001: [UNAVAILABLE, "going away"],
  1009: [RESOURCE_EXHAUSTED, "a message was too large"],
  1011: [UNAVAILABLE, "no pong came back in time"],
});

/** Maximum delay in milliseconds; a browser's timer of more than 24 days fires at once. */
const DAY = 24 * 60 * 60 * 1000;

/** A call failed: a `google.rpc.Status`, with HTTP status and trailing metadata. */
export class StatusError extends Error {
  /**
   * @param {number} code
   * @param {string} message
   * @param {Protoway.StatusExtras} [extras]
   */
  constructor(code, message, { details = [], httpStatus, retryAfter = 0, trailers = {} } = {}) {
    super(message);
    this.name = "StatusError";
    this.code = code;
    this.details = details;
    this.httpStatus = httpStatus;
    this.trailers = trailers;
    const info = details.find((detail) => detail["@type"]?.endsWith("/google.rpc.RetryInfo"));
    const delay = Math.max(parseFloat(String(info?.retryDelay)) || 0, retryAfter);
    /** The server's retry delay in milliseconds, at most a day; 0: none. */
    this.retryDelay = Math.min(delay * 1000, DAY);
  }
}

/**
 * Reads the error of a response whose HTTP status is not 2xx.
 *
 * @type {typeof Protoway.statusOf}
 */
export async function statusOf(response) {
  const status = (await response.json().catch(() => null)) ?? {};
  const { status: httpStatus, statusText, headers } = response;
  const after = headers.get("retry-after") ?? "";
  const retryAfter = Math.max(0, /^[0-9]+$/.test(after) ? Number(after) : (Date.parse(after) - Date.now()) / 1000 || 0);
  const message = `HTTP ${httpStatus} ${statusText}`.trimEnd();
  return toError(status, { code: HTTP_CODES[httpStatus] ?? UNKNOWN, message, httpStatus, retryAfter });
}

/**
 * @param {any} status JSON of a `google.rpc.Status`
 * @param {{code?: number, message?: string} & Protoway.StatusExtras} [otherwise] values for missing fields
 */
function toError(status, { code = UNKNOWN, message = "", ...extras } = {}) {
  const { details, trailers } = status;
  const known = { ...extras, trailers, details: Array.isArray(details) ? details : [] };
  const given = Number.isInteger(status.code) ? status.code : code;
  return new StatusError(given, String(status.message ?? message), known);
}

/** Yields the messages of a stream; throws unless it ends with OK. @type {typeof Protoway.messages} */
export async function* messages(events) {
  for await (const event of events) {
    if (event.type === "message") yield event.data;
    else if (event.type === "failed" || (event.type === "cut" && !event.retryAt)) throw event.error;
  }
}

/**
 * Asks for a one-time ticket, and returns the URL with it, for an EventSource or a WebSocket, which take no headers.
 * Each connection needs a new one.
 *
 * @type {typeof Protoway.ticketed}
 */
export async function ticketed(url, options = {}) {
  const { endpoint = "/.protoway/ticket", parameter = "ticket", lastEventId = "", ...init } = options;
  const target = new URL(url, globalThis.location?.href);
  const issuer = new URL(endpoint, target.href.replace(/^ws/, "http"));
  const headers = new Headers(init.headers);
  headers.set("content-type", "application/json");
  const body = JSON.stringify({ path: target.pathname, ...(lastEventId && { lastEventId }) });
  const response = await fetch(issuer, { cache: "no-store", ...init, method: "POST", headers, body });
  if (!response.ok) throw await statusOf(response);
  const { ticket } = await response.json();
  target.search += `${target.search ? "&" : "?"}${parameter}=${ticket}`;
  return target;
}

/**
 * Opens a server stream as Server-Sent Events. After a cut it reconnects, and resumes after the last event id. With
 * `ticket` each connection has a new ticket, which also says where to resume.
 *
 *
 * @type {typeof Protoway.openEvents}
 */
export async function* openEvents(url, options = {}) {
  const { silence = 45_000, retry = 2_000, maxRetry = 30_000, signal, ticket, ...init } = options;
  const request = new Request(url, { cache: "no-store", ...init }); // throws for invalid arguments
  request.headers.set("accept", "text/event-stream");
  const stream = { lastId: "", retry };
  for (let cuts = 0; !signal?.aborted; cuts++) {
    const attempt = new AbortController();
    /** @type {StatusError} */
    let error;
    let fromServer = false;
    try {
      yield { type: "connecting" };
      const stop = signal ? AbortSignal.any([signal, attempt.signal]) : attempt.signal;
      let attempted = request.clone();
      if (ticket) {
        const asked = ticketed(request.url, { ...ticket, lastEventId: stream.lastId, signal: stop });
        attempted = new Request(await within(silence, attempt, asked), attempted);
      } else if (stream.lastId) attempted.headers.set("last-event-id", byteString(stream.lastId));
      const response = await within(silence, attempt, fetch(attempted, { signal: stop }));
      if (response.status === 204) return yield { type: "ended", trailers: {} };
      await within(silence, attempt, checkEvents(response));
      yield { type: "open" };
      const parse = eventParser(stream);
      const decoder = new TextDecoder();
      for await (const chunk of chunks(response, (read) => within(silence, attempt, read))) {
        for (const { name, data } of parse(decoder.decode(chunk, { stream: true }))) {
          if (name === "end") return yield { type: "ended", trailers: {} };
          if (name === "error") {
            error = toError(parseJson(data));
            fromServer = true;
            throw error;
          }
          if (name === "message" || name === "gap") cuts = 0;
          if (name === "message") yield { type: "message", data: parseJson(data), id: stream.lastId };
          if (name === "gap") yield toGap(parseJson(data));
        }
      }
      throw new StatusError(UNAVAILABLE, "the stream was cut");
    } catch (thrown) {
      if (signal?.aborted) break;
      error = toStatus(attempt.signal.aborted ? attempt.signal.reason : thrown);
    } finally {
      attempt.abort();
    }
    // an `event: error` has the id `end` if it must not be retried
    if (stream.lastId === "end" || !(fromServer || isRetryable(error))) return yield { type: "failed", error };
    const backoff = Math.min(stream.retry * 2 ** cuts, maxRetry);
    const least = Math.min(Math.max(stream.retry, error.retryDelay, backoff), DAY);
    const delay = least * (1 + Math.random() / 4);
    yield { type: "cut", error, retryAt: new Date(Date.now() + delay) };
    await sleep(delay, signal);
  }
  yield { type: "failed", error: new StatusError(CANCELLED, "cancelled") };
}

/** @param {StatusError} error whether a retry may succeed; not for a request that is too large (413, 431) */
function isRetryable({ code, httpStatus, retryDelay }) {
  const tooLarge = httpStatus === 413 || httpStatus === 431;
  return code === UNAVAILABLE || (code === RESOURCE_EXHAUSTED && !tooLarge) || retryDelay > 0;
}

/** @param {string} text encoded for a header of `fetch`: its UTF-8 bytes as Latin-1 characters */
function byteString(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

/** @param {unknown} thrown an exception of `fetch` or of reading the body */
function toStatus(thrown) {
  return thrown instanceof StatusError
    ? thrown
    : new StatusError(UNAVAILABLE, thrown instanceof Error ? thrown.message : String(thrown));
}

/** @param {Response} response */
async function checkEvents(response) {
  if (!response.ok) throw await statusOf(response);
  const type = response.headers.get("content-type") ?? "nothing";
  if (!/^text\/event-stream\s*(;|$)/i.test(type)) {
    const httpStatus = response.status;
    throw new StatusError(UNKNOWN, `expected text/event-stream, got ${type}`, { httpStatus });
  }
}

/**
 * @param {Response} response
 * @param {<T>(read: Promise<T>) => Promise<T>} watch
 */
async function* chunks(response, watch) {
  const reader = response.body?.getReader();
  for (;;) {
    const read = reader && (await watch(reader.read()));
    if (!read || read.done) return;
    yield read.value;
  }
}

/**
 * Parses an event stream in chunks (HTML Living Standard, "Interpreting an event stream").
 *
 * @type {typeof Protoway.eventParser}
 */
export function eventParser(stream) {
  let line = "", afterCr = false, name = "", data = "", id = stream.lastId;
  return function* parse(text) {
    if (!text) return;
    const lines = (afterCr && text[0] === "\n" ? text.slice(1) : text).split(/\r\n|\r|\n/);
    afterCr = text.endsWith("\r");
    lines[0] = line + lines[0];
    line = lines.pop() ?? "";
    for (const complete of lines) {
      const [, field, value] = /^([^:]*):? ?([^]*)$/.exec(complete) ?? ["", "", ""];
      if (complete === "") {
        stream.lastId = id;
        const event = data && { name: name || "message", data: data.slice(0, -1) };
        name = data = "";
        if (event) yield event;
      } else if (field === "event") name = value;
      else if (field === "data") data += `${value}\n`;
      else if (field === "id" && !value.includes("\0")) id = value;
      else if (field === "retry" && /^[0-9]+$/.test(value)) stream.retry = Number(value);
    }
  };
}

/**
 * Opens a WebSocket for a streaming method. Messages are queued until it is open.
 *
 * @type {typeof Protoway.openSocket}
 */
export function openSocket(url, { subprotocol = "grpc-json.v1", headers, signal, ticket } = {}) {
  const envelope = subprotocol === "grpc-json-envelope.v1";
  if (headers && !envelope) throw new TypeError(`${subprotocol} has no frame for headers`);
  const address = new URL(url, globalThis.location?.href);
  address.protocol = address.protocol.replace("http", "ws");
  /** @type {WebSocket | undefined} */
  let socket;
  const queue = envelope ? [JSON.stringify({ headers: headers ?? {} })] : [];
  /** @type {Protoway.SocketEvent<any>[]} */
  const events = [{ type: "connecting" }];
  let opened = false, ended = false, halfClosed = false, wake = () => {};

  /** @param {Protoway.SocketEvent<any>} event */
  function emit(event) {
    if (ended) return;
    ended = event.type === "ended" || event.type === "failed" || event.type === "cut";
    events.push(event);
    wake();
    if (ended) signal?.removeEventListener("abort", close);
  }

  /** @param {string} frame */
  function write(frame) {
    if (opened) socket?.send(frame);
    else queue.push(frame);
  }

  function close() {
    if (ended) return;
    emit({ type: "failed", error: new StatusError(CANCELLED, "cancelled") });
    socket?.close();
  }

  /** @param {URL} at */
  function connect(at) {
    if (ended) return;
    const made = socket = new WebSocket(at, subprotocol);
    made.onopen = () => {
      opened = true;
      queue.forEach(write);
      emit({ type: "open" });
    };
    made.onmessage = ({ data }) => {
      try {
        const event = (envelope ? fromEnvelope : fromBare)(parseJson(data));
        if (event) emit(event);
      } catch (thrown) {
        emit({ type: "failed", error: toStatus(thrown) });
        made.close();
      }
    };
    made.onclose = ({ code, reason }) => {
      const lost = opened ? "the connection was cut" : "there is no connection, or it was refused";
      if (code === 1000) emit({ type: "ended", trailers: {} });
      else if (code === 1006) emit({ type: "cut", error: new StatusError(UNAVAILABLE, lost) });
      else emit({ type: "failed", error: fromClose(code, reason) });
    };
  }

  if (!ticket) connect(address);
  else ticketed(address, { ...ticket, signal }).then(connect, (thrown) => emit({ type: "failed", error: toStatus(thrown) }));
  signal?.addEventListener("abort", close);
  if (signal?.aborted) close();

  return {
    close,
    send(message) {
      if (halfClosed) throw new TypeError("no message can follow the half-close");
      write(JSON.stringify(envelope ? { message } : message));
    },
    halfClose() {
      if (!halfClosed) write(envelope ? '{"half_close":{}}' : "");
      halfClosed = true;
    },
    async *[Symbol.asyncIterator]() {
      try {
        while (events.length > 0 || !ended) {
          const event = events.shift();
          if (event) yield event;
          else await new Promise((resolve) => { wake = () => resolve(undefined); });
        }
      } finally {
        close();
      }
    },
  };
}

/** @param {number} code @param {string} reason */
function fromClose(code, reason) {
  const [known, words] = CLOSE_CODES[code] ?? [INTERNAL, `closed with ${code}`];
  return new StatusError(code > 4000 && CODES[code - 4000] ? code - 4000 : known, reason || words);
}

/** @param {any} json @returns {Protoway.SocketEvent<any>} */
function fromBare(json) {
  if (json?.["@type"] === "type.googleapis.com/gateway.v1.Gap") return toGap(json);
  return { type: "message", data: json };
}

/** @param {any} frame @returns {Protoway.SocketEvent<any> | undefined} */
function fromEnvelope(frame) {
  if (frame === null || typeof frame !== "object") throw new StatusError(INTERNAL, "no frame");
  if ("message" in frame) return { type: "message", data: frame.message };
  if ("headers" in frame) return { type: "headers", headers: frame.headers };
  if ("gap" in frame) return toGap(frame.gap);
  if (!("status" in frame)) return undefined; // a frame of a later version
  const { status } = frame;
  if (status.code) return { type: "failed", error: toError(status) };
  return { type: "ended", trailers: status.trailers ?? {} };
}

/** @param {any} gap @returns {Protoway.Gap} */
function toGap({ missed, restarted = false }) {
  return { type: "gap", missed: missed === undefined ? undefined : Number(missed), restarted };
}

/** @param {any} text */
function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new StatusError(INTERNAL, "what the server sent is not JSON");
  }
}

/**
 * Waits for a step of an attempt; aborts the attempt after `silence` milliseconds.
 *
 * @template T
 * @param {number} silence
 * @param {AbortController} attempt
 * @param {Promise<T>} step
 */
async function within(silence, attempt, step) {
  const reason = new StatusError(UNAVAILABLE, `nothing was heard for ${silence / 1000} s`);
  const timer = setTimeout(() => attempt.abort(reason), silence);
  return step.finally(() => clearTimeout(timer));
}

/** @param {number} ms @param {AbortSignal} [signal] ends the sleep early */
function sleep(ms, signal) {
  return /** @type {Promise<void>} */ (new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    signal?.addEventListener("abort", wake);
    if (signal?.aborted) wake();
  }));
}
