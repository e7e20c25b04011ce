// A static server for tests: ranges, ETags, COOP/COEP, and whatever can go wrong on the way.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";

/** What happens to one answer. */
export interface Fault {
  /** The connection breaks after so many bytes of the body. */
  readonly cutAfter?: number;
  /** All of those bytes arrive; otherwise what the client has not read yet may be lost with the connection. */
  readonly gently?: boolean;
  /** One bit of this byte of the file is wrong. */
  readonly flipByte?: number;
  readonly status?: number;
  readonly redirect?: string;
  /** Waited for before the answer begins. */
  readonly wait?: Promise<unknown>;
}

export interface Request {
  readonly path: string;
  readonly range: string | undefined;
  status: number;
  bytes: number;
}

export interface ServerOptions {
  readonly ranges?: boolean;
  /** COOP and COEP: the page gets threads. */
  readonly isolated?: boolean;
  readonly fault?: (request: Request) => Fault | undefined;
}

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".wasm": "application/wasm",
  ".png": "image/png",
  ".jpg": "image/jpeg",
  ".webp": "image/webp",
};

const etags = new Map<string, string>();

function etagOf(path: string, content: Buffer): string {
  const { mtimeNs, size } = statSync(path, { bigint: true });
  const key = `${path} ${mtimeNs} ${size}`;
  const etag =
    etags.get(key) ?? `"${createHash("sha256").update(content).digest("hex").slice(0, 16)}"`;
  etags.set(key, etag);
  return etag;
}

export class TestServer {
  /** All requests since the last clear(). */
  requests: Request[] = [];
  options: ServerOptions;
  private readonly server: Server;
  private readonly mounts: Readonly<Record<string, string>>;

  private constructor(mounts: Readonly<Record<string, string>>, options: ServerOptions) {
    this.mounts = mounts;
    this.options = options;
    this.server = createServer((request, response) => {
      this.answer(request, response).catch((error: unknown) => response.destroy(error as Error));
    });
  }

  /** `mounts`: address prefix, such as "/models/", to folder. */
  static async start(
    mounts: Readonly<Record<string, string>>,
    options: ServerOptions = {},
  ): Promise<TestServer> {
    const server = new TestServer(mounts, options);
    await new Promise<void>((resolve) => server.server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  clear(): void {
    this.requests = [];
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private find(path: string): string | undefined {
    for (const [prefix, folder] of Object.entries(this.mounts)) {
      if (path.startsWith(prefix)) {
        const file = join(folder, normalize(`/${path.slice(prefix.length)}`));
        return existsSync(file) && statSync(file).isFile() ? file : undefined;
      }
    }
    return undefined;
  }

  private async answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = decodeURIComponent((incoming.url ?? "/").replace(/\?.*/, ""));
    const request: Request = { path, range: incoming.headers.range, status: 200, bytes: 0 };
    this.requests.push(request);
    const fault = this.options.fault?.(request) ?? {};
    await fault.wait;
    const file = this.find(path);
    if (fault.redirect !== undefined) {
      request.status = 302;
      response.writeHead(302, { location: fault.redirect }).end();
    } else if (fault.status !== undefined || file === undefined) {
      request.status = fault.status ?? 404;
      response.writeHead(request.status).end();
    } else {
      this.send(incoming, response, request, readFileSync(file), file, fault);
    }
  }

  private send(
    incoming: IncomingMessage,
    response: ServerResponse,
    request: Request,
    file: Buffer,
    name: string,
    fault: Fault,
  ): void {
    const etag = etagOf(name, file);
    const headers: Record<string, string> = {
      etag,
      "content-type": TYPES[extname(name)] ?? "application/octet-stream",
      // The engine's own files never change in a run; a page may keep them.
      "cache-control": request.path.includes("/ort/") ? "max-age=86400, immutable" : "no-cache",
    };
    if (this.options.isolated === true) {
      headers["cross-origin-opener-policy"] = "same-origin";
      headers["cross-origin-embedder-policy"] = "require-corp";
    }
    if (incoming.headers["if-none-match"] === etag) {
      request.status = 304;
      response.writeHead(304, headers).end();
      return;
    }
    const content = Buffer.from(file);
    if (fault.flipByte !== undefined) {
      content[fault.flipByte] = (content[fault.flipByte] ?? 0) ^ 1;
    }
    const asked =
      this.options.ranges === false ? null : request.range?.match(/^bytes=(\d+)-(\d+)$/);
    const [begin, end] = asked ? [Number(asked[1]), Number(asked[2]) + 1] : [0, content.length];
    if (begin >= content.length && asked) {
      request.status = 416;
      response.writeHead(416, { "content-range": `bytes */${content.length}` }).end();
      return;
    }
    const body = content.subarray(begin, end);
    headers["content-length"] = `${body.length}`;
    if (asked) {
      request.status = 206;
      headers["content-range"] = `bytes ${begin}-${begin + body.length - 1}/${content.length}`;
    }
    response.writeHead(request.status, headers);
    const cut = fault.cutAfter ?? Number.POSITIVE_INFINITY;
    request.bytes = Math.min(cut, body.length);
    if (cut < body.length) {
      const { socket } = response;
      response.write(body.subarray(0, cut), () =>
        fault.gently === true ? socket?.end() : socket?.destroy(),
      );
    } else {
      response.end(body);
    }
  }
}
