/** The types of protoway.js. */

/** Metadata: a key that was said more than once has an array; that of a `-bin` key is base64. */
export type Metadata = Record<string, string | string[]>;

/** One of the details of a Status: a `google.protobuf.Any` in JSON. */
export type Detail = { "@type"?: string; [field: string]: unknown };

export interface StatusExtras {
  details?: Detail[];
  httpStatus?: number;
  /** Seconds that `Retry-After` asks to wait for; of it and `RetryInfo` in the details the longer holds. */
  retryAfter?: number;
  trailers?: Metadata;
}

/** How a call ended that did not end with OK. */
export class StatusError extends Error {
  constructor(code: number, message: string, extras?: StatusExtras);
  /** The gRPC code; its name is `CODES[code]`. */
  code: number;
  details: Detail[];
  /** The HTTP status, where the call failed with one. */
  httpStatus: number | undefined;
  trailers: Metadata;
  /** Milliseconds that the server asks to wait for, a day at most; 0 where it does not say. */
  retryDelay: number;
}

/** The names of gRPC's codes, by number. */
export const CODES: readonly string[];

/** Reads the error of an answer whose HTTP status is not 2xx. */
export function statusOf(response: Response): Promise<StatusError>;

/** An attempt to connect has begun. */
export type Connecting = { type: "connecting" };
/** The server has answered; messages may come. */
export type Open = { type: "open" };
/** Messages did not reach us: so many, or nobody knows how many; or the stream has begun anew. */
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
  /** The stream broke off, and will be asked for again at this time. */
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
  /** The connection broke off; a WebSocket does not come back. */
  | { type: "cut"; error: StatusError; retryAt?: undefined }
  | Ended
  | Failed;

/** All that `fetch` takes, and how to come back. Times are in milliseconds. */
export interface EventsOptions extends RequestInit {
  signal?: AbortSignal;
  /** A stream that is silent for longer counts as cut; the edge gives a sign of life every 15 s. Default: 45 000. */
  silence?: number;
  /** The wait after a cut, until the server names its own. It doubles with each cut that follows. Default: 2 000. */
  retry?: number;
  /** What the wait grows to, unless the server asks for more. Default: 30 000. */
  maxRetry?: number;
}

/** Opens a server stream as Server-Sent Events, and comes back to it whenever it is cut. */
export function openEvents<T = any>(
  url: string | URL,
  options?: EventsOptions,
): AsyncGenerator<StreamEvent<T>, void, void>;

/** The messages of a stream alone; any end but a clean one is thrown, as a `StatusError`. */
export function messages<T>(
  events: AsyncIterable<StreamEvent<T> | SocketEvent<T>>,
): AsyncGenerator<T, void, void>;

/** Returns what parses the text of an event stream chunk by chunk, and keeps `lastId` and `retry`. */
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
}

/** A call over a WebSocket; its events are for one `for await`, and leaving that cancels the call. */
export interface Socket<Request = any, Response = any> extends AsyncIterable<SocketEvent<Response>> {
  /** Sends a message. */
  send(message: Request): void;
  /** Says that no more messages follow. */
  halfClose(): void;
  /** Cancels the call. */
  close(): void;
}

/** Opens a WebSocket for a method of which a side streams. */
export function openSocket<Request = any, Response = any>(
  url: string | URL,
  options?: SocketOptions,
): Socket<Request, Response>;
