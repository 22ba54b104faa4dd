/** The types of protoway.js. */

/** Metadata; a key with several values has an array; values of a `-bin` key are base64. */
export type Metadata = Record<string, string | string[]>;

/** A detail of a Status: a `google.protobuf.Any` in JSON. */
export type Detail = { "@type"?: string; [field: string]: unknown };

export interface StatusExtras {
  details?: Detail[];
  httpStatus?: number;
  /** Seconds of `Retry-After`; the longer one of it and the `RetryInfo` detail applies. */
  retryAfter?: number;
  trailers?: Metadata;
}

/** A call failed with a status other than OK. */
export class StatusError extends Error {
  constructor(code: number, message: string, extras?: StatusExtras);
  /** The gRPC code; its name is `CODES[code]`. */
  code: number;
  details: Detail[];
  /** The HTTP status of the response, if the call failed with one. */
  httpStatus: number | undefined;
  trailers: Metadata;
  /** The server's retry delay in milliseconds, at most a day; 0: none. */
  retryDelay: number;
}

/** Names of the gRPC status codes, by number. */
export const CODES: readonly string[];

/** Reads the error of a response whose HTTP status is not 2xx. */
export function statusOf(response: Response): Promise<StatusError>;

/** An attempt to connect has started. */
export type Connecting = { type: "connecting" };
/** The response has started; messages may follow. */
export type Open = { type: "open" };
/** Messages are missing: `missed` is their number, undefined if unknown; or the stream started over. */
export type Gap = { type: "gap"; missed: number | undefined; restarted: boolean };
/** The call ended with OK. */
export type Ended = { type: "ended"; trailers: Metadata };
/** The call ended with another status. */
export type Failed = { type: "failed"; error: StatusError };

export type StreamEvent<T> =
  | Connecting
  | Open
  | { type: "message"; data: T; id: string }
  | Gap
  /** The connection was cut; it reconnects at this time. */
  | { type: "cut"; error: StatusError; retryAt: Date }
  | Ended
  | Failed;

export type SocketEvent<T> =
  | Connecting
  | Open
  /** The initial metadata; only `grpc-json-envelope.v1` has it. */
  | { type: "headers"; headers: Metadata }
  | { type: "message"; data: T }
  | Gap
  /** The connection was cut; a WebSocket does not reconnect. */
  | { type: "cut"; error: StatusError; retryAt?: undefined }
  | Ended
  | Failed;

/** The options of the `fetch` that asks for a ticket: the credentials, as `headers` or `credentials`. */
export interface TicketOptions extends RequestInit {
  /** Path or URL that gives tickets, relative to the stream's. Default: `/.protoway/ticket`. */
  endpoint?: string | URL;
  /** Query parameter that takes the ticket. Default: `ticket`. */
  parameter?: string;
  /** Id of the last event that was received; the stream resumes after it. */
  lastEventId?: string;
}

/** Asks for a one-time ticket, and returns the URL with it; throws a `StatusError` if there is none. */
export function ticketed(url: string | URL, options?: TicketOptions): Promise<URL>;

/** The options of `fetch`, and those for reconnecting. Times are in milliseconds. */
export interface EventsOptions extends RequestInit {
  /** Asks for a ticket for each connection. The stream itself is opened without the headers given here. */
  ticket?: TicketOptions;
  signal?: AbortSignal;
  /** A stream that is silent for longer is cut; the edge sends a heartbeat every 15 s. Default: 45 000. */
  silence?: number;
  /** Delay before reconnecting, unless the server sets one. Doubles with each further cut. Default: 2 000. */
  retry?: number;
  /** Maximum of the doubled delay, unless the server asks for more. Default: 30 000. */
  maxRetry?: number;
}

/** Opens a server stream as Server-Sent Events; reconnects and resumes after a cut. */
export function openEvents<T = any>(
  url: string | URL,
  options?: EventsOptions,
): AsyncGenerator<StreamEvent<T>, void, void>;

/** Yields the messages of a stream; throws a `StatusError` unless it ends with OK. */
export function messages<T>(
  events: AsyncIterable<StreamEvent<T> | SocketEvent<T>>,
): AsyncGenerator<T, void, void>;

/** Returns a parser for the chunks of an event stream; it updates `lastId` and `retry`. */
export function eventParser(stream: {
  lastId: string;
  retry: number;
}): (text: string) => Generator<{ name: string; data: string }, void, void>;

export interface SocketOptions {
  /** Default: `grpc-json.v1`. */
  subprotocol?: "grpc-json.v1" | "grpc-json-envelope.v1";
  /** Metadata of the call; only `grpc-json-envelope.v1` carries it. */
  headers?: Metadata;
  /** Cancels the call. */
  signal?: AbortSignal;
  /** Asks for a ticket first; its headers are those of that request. */
  ticket?: TicketOptions;
}

/** A call over a WebSocket. Its events are for one `for await` loop; leaving the loop cancels the call. */
export interface Socket<Request = any, Response = any> extends AsyncIterable<SocketEvent<Response>> {
  /** Sends a message. */
  send(message: Request): void;
  /** Half-closes the call: no more messages follow. */
  halfClose(): void;
  /** Cancels the call. */
  close(): void;
}

/** Opens a WebSocket for a streaming method. */
export function openSocket<Request = any, Response = any>(
  url: string | URL,
  options?: SocketOptions,
): Socket<Request, Response>;
