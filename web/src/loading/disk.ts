// Folders on disk, for Node, Bun and Deno: answers as a server with ranges gives them. tools/package.mjs and tools/bundle.mjs
// put no_disk.ts in this file's place for browsers.
import { open, stat } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { fail } from "../errors.js";
import type { Fetch } from "./fetch.js";

export const DISK_PROTOCOLS: readonly string[] = ["file:"];

/** A path, which is no URL, as one; Windows' paths look like URLs with a letter for a protocol. */
export function addressOf(url: string | URL): string | URL {
  const isPath = typeof url === "string" && !/^[a-z][\w+.-]+:/i.test(url);
  return isPath ? pathToFileURL(url) : url;
}

function rangeOf(init: RequestInit, size: number): [first: number, end: number] | undefined {
  const asked = new Headers(init.headers).get("range")?.match(/^bytes=(\d+)-(\d+)$/);
  return asked ? [Number(asked[1]), Math.min(Number(asked[2]) + 1, size)] : undefined;
}

async function readFile(url: string, init: RequestInit): Promise<Response> {
  const path = new URL(url);
  const size = await stat(path).then(
    (found) => (found.isFile() ? found.size : undefined),
    () => undefined,
  );
  if (size === undefined) {
    fail("not_found", `${url}: no such file; is it in a folder that lorapress press wrote?`);
  }
  const range = rangeOf(init, size);
  const [first, end] = range ?? [0, size];
  if (range !== undefined && first >= size) {
    fail("invalid_file", `${url}: shorter than lorapress.json says; press or copy it again`);
  }
  const bytes = new Uint8Array(end - first);
  const file = await open(path);
  try {
    for (let got = 0; got < bytes.length; ) {
      const { bytesRead } = await file.read(bytes, got, bytes.length - got, first + got);
      if (bytesRead === 0) {
        throw new Error("the file became shorter while it was read");
      }
      got += bytesRead;
    }
  } finally {
    await file.close();
  }
  const headers = { "content-range": `bytes ${first}-${end - 1}/${size}` };
  return range === undefined ? new Response(bytes) : new Response(bytes, { status: 206, headers });
}

/** The global fetch, and files. */
export const fetchAnything: Fetch = (url, init) =>
  url.startsWith("file:") ? readFile(url, init) : fetch(url, init);
