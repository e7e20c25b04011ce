// Bytes from the folder that the manifest describes: ranges, resumed where a connection broke, never
// more than was requested, never from another address.
import { fail, LorapressError, messageOf } from "../errors.js";
import { addressOf, DISK_PROTOCOLS } from "./disk.js";
import { freeNow } from "./free_now.js";

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface FetchContext {
  readonly fetch: Fetch;
  readonly signal: AbortSignal;
  /** Attempts without a single new byte before a download is given up. */
  readonly retries: number;
  /** The wait before the first further attempt; doubles each time. */
  readonly retryDelayMs: number;
  /** A connection without data for this time is closed and opened again. */
  readonly stallMs: number;
  readonly onBytes: (count: number) => void;
}

/** The server answers a range with the whole file. */
export class NoRanges extends Error {}

/** Not worth another attempt: the answer will be the same. */
class Final extends Error {}

const MAX_DELAY_MS = 15_000;
/** Most bytes of a body that are read at once. */
const PIECE_BYTES = 2 ** 18;

/** Protocols: the web, the packages of browser extensions, and files where there are any. */
const PROTOCOLS = [
  ...DISK_PROTOCOLS,
  "https:",
  "http:",
  "chrome-extension:",
  "moz-extension:",
  "safari-web-extension:",
];

/** `url` names the folder or its lorapress.json; relative to `base`; without one, in Node, also a path. */
export function folderUrl(url: string | URL, base?: string): URL {
  let folder: URL;
  try {
    folder = new URL(base === undefined ? addressOf(url) : url, base);
  } catch (error) {
    fail("invalid_argument", `${String(url).slice(0, 200)} is not a URL`, error);
  }
  if (!PROTOCOLS.includes(folder.protocol)) {
    const shown = folder.href.slice(0, 200);
    fail("invalid_argument", `${shown}: expected the address of a web server or of an extension`);
  }
  folder.search = "";
  folder.hash = "";
  folder.pathname = `${folder.pathname.replace(/\/(?:lorapress\.json)?$/, "")}/`;
  return folder;
}

/** The address of a file in the folder. REQUIRES: `path` passed the manifest's checks. */
export function fileUrl(folder: URL, path: string): string {
  const url = new URL(path, folder).href;
  if (url !== folder.href + path) {
    fail("invalid_file", `${path}: leads out of ${folder.href}`);
  }
  return url;
}

interface Received {
  readonly response: Response;
  readonly signal: AbortSignal;
  /** Called for every piece that arrives. */
  readonly alive: () => void;
}

async function attempt<T>(
  url: string,
  init: RequestInit,
  context: FetchContext,
  read: (received: Received) => Promise<T>,
): Promise<T> {
  context.signal.throwIfAborted();
  const own = new AbortController();
  const stop = (): void => own.abort(context.signal.reason);
  context.signal.addEventListener("abort", stop, { once: true });
  let timer: ReturnType<typeof setTimeout> | undefined;
  const alive = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => own.abort(new Error("no byte arrived for too long")), context.stallMs);
  };
  alive();
  try {
    // A redirect could lead anywhere; only the requested folder is trusted.
    const response = await context.fetch(url, { ...init, redirect: "manual", signal: own.signal });
    requireStatus(response, url);
    return await read({ response, signal: own.signal, alive });
  } catch (error) {
    context.signal.throwIfAborted();
    throw error;
  } finally {
    clearTimeout(timer);
    context.signal.removeEventListener("abort", stop);
    own.abort();
  }
}

function requireStatus(response: Response, url: string): void {
  const { status } = response;
  if (response.type === "opaqueredirect" || (status >= 300 && status < 400)) {
    fail("unsupported", `${url}: the server redirects; give the address where the folder is`);
  }
  if (status === 404 || status === 410) {
    fail("not_found", `${url}: HTTP status ${status}; is it a folder that lorapress press wrote?`);
  }
  if (status === 416) {
    fail("invalid_file", `${url}: shorter than lorapress.json says; press or upload it again`);
  }
  if (status >= 400 && status < 500 && status !== 408 && status !== 429) {
    fail("io", `${url}: HTTP status ${status}`);
  }
  if (!response.ok) {
    throw new Error(`HTTP status ${status}`);
  }
}

/** Runs `once` until it succeeds; `progress` counts bytes, and any new byte resets the count of failures. */
async function persistently<T>(
  url: string,
  context: FetchContext,
  progress: () => number,
  once: () => Promise<T>,
): Promise<T> {
  let failures = 0;
  for (let before = progress(); ; before = progress()) {
    try {
      return await once();
    } catch (error) {
      context.signal.throwIfAborted();
      if (error instanceof LorapressError || error instanceof NoRanges) {
        throw error;
      }
      if (error instanceof Final) {
        fail("invalid_file", `${url}: ${messageOf(error)}`, error);
      }
      failures = progress() > before ? 1 : failures + 1;
      if (failures > context.retries) {
        fail("io", `${url}: ${messageOf(error)}; ${failures} attempts brought nothing`, error);
      }
    }
    await pause(Math.min(context.retryDelayMs * 2 ** (failures - 1), MAX_DELAY_MS), context.signal);
  }
}

/** Waits a random half to whole of `ms`, so that parallel requests do not come back together. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    const timer = setTimeout(
      () => {
        signal.removeEventListener("abort", stop);
        resolve();
      },
      ms * (0.5 + Math.random() / 2),
    );
    signal.addEventListener("abort", stop, { once: true });
  });
}

type Bytes = Uint8Array<ArrayBuffer>;

// The next piece, undefined at the end. Where the body allows it all pieces lie in the same memory, so that a download leaves
// nothing to the garbage collector.
function piecesOf(body: ReadableStream<Bytes>): () => Promise<Bytes | undefined> {
  let reader: ReadableStreamBYOBReader;
  try {
    reader = body.getReader({ mode: "byob" });
  } catch {
    const other = body.getReader(); // some browsers, and streams of a page's own fetch
    return async () => (await other.read()).value;
  }
  let buffer = new ArrayBuffer(PIECE_BYTES);
  return async () => {
    const { done, value } = await reader.read(new Uint8Array(buffer));
    if (done) {
      value && freeNow(value);
      return undefined;
    }
    buffer = value.buffer;
    return value;
  };
}

// A piece is written over when onPiece() has returned, or its promise is settled.
async function readPieces(
  received: Received,
  onPiece: (piece: Bytes) => void | Promise<void>,
): Promise<void> {
  const { body } = received.response;
  if (body === null) {
    return;
  }
  const { signal } = received;
  const stopped = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
  });
  stopped.catch(() => {});
  const read = piecesOf(body as ReadableStream<Bytes>);
  const next = () => Promise.race([read(), stopped]); // Node leaves reads of this kind waiting
  for (let piece = await next(); piece !== undefined; piece = await next()) {
    received.alive();
    await onPiece(piece);
  }
}

/** Text of at most `most` bytes. `cache` as in fetch(). */
export function fetchText(
  url: string,
  most: number,
  cache: RequestCache,
  context: FetchContext,
): Promise<string> {
  return persistently(
    url,
    context,
    () => 0,
    () =>
      attempt(url, { cache }, context, async (received) => {
        const pieces: BlobPart[] = [];
        let size = 0;
        await readPieces(received, (piece) => {
          size += piece.length;
          if (size > most) {
            fail("invalid_file", `${url}: larger than ${most} bytes`);
          }
          pieces.push(piece.slice());
        });
        return decodeUtf8(await new Blob(pieces).arrayBuffer(), url);
      }),
  );
}

export function decodeUtf8(bytes: Uint8Array | ArrayBuffer, where: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    fail("invalid_file", `${where}: not UTF-8`, error);
  }
}

/** Fills `into` with the bytes of the file from `start` on. Throws NoRanges. */
export function fetchRange(
  url: string,
  start: number,
  fileBytes: number,
  into: Uint8Array,
  context: FetchContext,
): Promise<void> {
  let got = 0;
  const isWhole = into.length === fileBytes;
  const once = (): Promise<void> => {
    const first = start + got;
    const range = `bytes=${first}-${start + into.length - 1}`;
    const init: RequestInit = { cache: "no-store" };
    if (!isWhole || got > 0) {
      init.headers = { Range: range };
    }
    return attempt(url, init, context, async (received) => {
      if (received.response.status === 206) {
        requireContentRange(received.response, first, fileBytes);
      } else if (isWhole) {
        got = 0;
      } else {
        throw new NoRanges();
      }
      await readPieces(received, (piece) => {
        if (got + piece.length > into.length) {
          throw new Final(`more than ${fileBytes} bytes, which lorapress.json says`);
        }
        into.set(piece, got);
        got += piece.length;
        context.onBytes(piece.length);
      });
      if (got < into.length) {
        throw new Error(`ended after ${start + got} of ${fileBytes} bytes`);
      }
    });
  };
  return persistently(url, context, () => got, once);
}

// Hidden from scripts on other origins unless the server exposes it.
function requireContentRange(response: Response, first: number, fileBytes: number): void {
  const header = response.headers.get("content-range");
  const found = header?.match(/^bytes (\d+)-\d+\/(\d+|\*)$/);
  if (found === undefined || found === null) {
    return;
  }
  if (Number(found[1]) !== first || (found[2] !== "*" && Number(found[2]) !== fileBytes)) {
    throw new Final(`sent "${header}", expected bytes ${first} and on of ${fileBytes}`);
  }
}

/**
 * A file of `fileBytes` from a server without ranges: from the beginning, and again after a broken
 * connection. `onPiece` gets every piece with its place and is awaited.
 */
export function fetchWhole(
  url: string,
  fileBytes: number,
  onPiece: (piece: Uint8Array, at: number) => Promise<void>,
  context: FetchContext,
): Promise<void> {
  let most = 0;
  const once = (): Promise<void> =>
    attempt(url, { cache: "no-store" }, context, async (received) => {
      let got = 0;
      await readPieces(received, async (piece) => {
        if (got + piece.length > fileBytes) {
          throw new Final(`more than ${fileBytes} bytes, which lorapress.json says`);
        }
        await onPiece(piece, got);
        got += piece.length;
        context.onBytes(Math.max(got - most, 0));
        most = Math.max(most, got);
      });
      if (got < fileBytes) {
        throw new Error(`ended after ${got} of ${fileBytes} bytes`);
      }
    });
  return persistently(url, context, () => most, once);
}
