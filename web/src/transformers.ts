// For pages that stay with transformers.js: its pipelines load a pressed folder through our loader, in
// ranges, resumed, compared with the SHA-256 of lorapress.json, stored by version. Nothing of
// transformers.js is changed; it asks `env.customCache` (versions 2 to 4) for every file before it asks
// the network, and `env.fetch` (4) for the requests. Version 3 in Node is not supported: it loses the key of a
// cached file and then cannot read it.

import { asLorapressError } from "./errors.js";
import { noteRefusal, openStore, ResilientStore } from "./loading/cache.js";
import { type Fetch, folderUrl } from "./loading/fetch.js";
import { Loader } from "./loading/loader.js";
import type { ManifestFile } from "./loading/manifest.js";
import { ProgressMeter } from "./loading/progress.js";
import type { ChunkStore } from "./loading/stores.js";

export { ERROR_CODES, type ErrorCode, LorapressError } from "./errors.js";
export type { ChunkStore, FolderRecord } from "./loading/stores.js";

type EnvFetch = (input: string | URL, init?: RequestInit) => Promise<Response>;

/** The part of transformers.js's `env` that is used here. */
export interface TransformersEnv {
  useCustomCache: boolean;
  customCache: unknown;
  useBrowserCache: boolean;
  useFSCache: boolean;
  readonly cacheKey?: string | undefined;
  readonly localModelPath: string;
  readonly remoteHost: string;
  readonly remotePathTemplate: string;
  /** Since version 4. */
  fetch?: EnvFetch | undefined;
}

export interface InstallOptions {
  /** As in Captioner.load: ask the server once whether the folder changed, or not while all is stored. */
  readonly update?: "check" | "stored" | undefined;
  /** Stops loading. */
  readonly signal?: AbortSignal | undefined;
  /** Is called for a store that refuses or a server that does not answer. */
  readonly onNote?: ((note: string) => void) | undefined;
  /** Where chunks are kept; by default as in Captioner.load. */
  readonly store?: ChunkStore | undefined;
  readonly fetch?: Fetch | undefined;
  readonly retries?: number | undefined;
  readonly retryDelayMs?: number | undefined;
}

export interface Installed {
  /** The model's name for pipeline() and from_pretrained(). */
  readonly model: string;
  /** Leaves the folder to transformers.js again; with the last folder the hooks are removed. */
  restore(): void;
}

/** The part of the Cache interface that transformers.js uses. */
interface KeyedCache {
  match(key: string): Promise<Response | string | undefined>;
  put(key: string, response: Response, ...more: unknown[]): Promise<void>;
  delete?(key: string): Promise<boolean>;
}

/**
 * Gives the pipelines of `env` the folder at `url`. Resolves when its lorapress.json is read and valid;
 * files are fetched when transformers.js requests them. Other models are loaded as before.
 */
export async function install(
  env: TransformersEnv,
  url: string | URL,
  options: InstallOptions = {},
): Promise<Installed> {
  const folder = folderUrl(url, globalThis.location?.href);
  const { signal = new AbortController().signal, onNote, store, ...rest } = options;
  const meter = new ProgressMeter(({ note }) => note !== undefined && onNote?.(note));
  const onRefused = noteRefusal(meter);
  const chunks =
    store === undefined ? await openStore(onRefused) : new ResilientStore(store, onRefused);
  const loader = await Loader.open(folder, { store: chunks, meter, signal, ...rest });
  const hooks = hooked.get(env) ?? new Hooks(env);
  hooked.set(env, hooks);
  const { href } = folder;
  const mine: Folder = { href, model: href.slice(0, -1), loader, store: chunks };
  hooks.add(mine);
  return { model: mine.model, restore: () => hooks.remove(mine) };
}

const hooked = new WeakMap<TransformersEnv, Hooks>();

interface Folder {
  /** Ends in a slash. */
  readonly href: string;
  readonly model: string;
  readonly loader: Loader;
  readonly store: ChunkStore;
}

/** What a key or an address means; `file` is undefined where lorapress.json does not list it. */
interface Place {
  readonly folder: Folder;
  readonly file: ManifestFile | undefined;
}

const CACHE_FIELDS = ["customCache", "useCustomCache", "useBrowserCache", "useFSCache"] as const;

class Hooks implements KeyedCache {
  private readonly env: TransformersEnv;
  private readonly before: TransformersEnv;
  private others: Promise<KeyedCache> | undefined;
  private readonly ownFetch: EnvFetch | undefined;
  private folders: Folder[] = [];

  constructor(env: TransformersEnv) {
    const { fetch } = env;
    this.env = env;
    this.before = { ...env };
    env.customCache = this;
    env.useCustomCache = true;
    env.useBrowserCache = false; // version 2 would prefer these two
    env.useFSCache = false;
    if (fetch !== undefined) {
      this.ownFetch = (input, init) => this.answer(input, init, fetch);
      env.fetch = this.ownFetch;
    }
  }

  add(folder: Folder): void {
    this.folders = [folder, ...this.folders.filter(({ href }) => href !== folder.href)];
  }

  remove(folder: Folder): void {
    this.folders = this.folders.filter((other) => other !== folder);
    if (this.folders.length > 0 || hooked.get(this.env) !== this) {
      return;
    }
    hooked.delete(this.env);
    if (this.env.customCache === this) {
      for (const field of CACHE_FIELDS) {
        Object.assign(this.env, { [field]: this.before[field] });
      }
    }
    if (this.ownFetch !== undefined && this.env.fetch === this.ownFetch) {
      this.env.fetch = this.before.fetch;
    }
  }

  // Must not throw for a file of ours: transformers.js would treat that as a miss and fetch it unverified.
  // Failures are reported by the body.
  async match(key: string | undefined): Promise<Response | string | undefined> {
    if (key === undefined) {
      return undefined; // version 3 in Node has lost the key
    }
    const place = this.find(key);
    if (place === undefined) {
      return (await this.cacheOfOthers()).match(key);
    }
    return place.file && new FileResponse(place.folder, place.file);
  }

  async put(key: string, response: Response, ...more: unknown[]): Promise<void> {
    if (this.find(key) === undefined) {
      await (await this.cacheOfOthers()).put(key, response, ...more);
    }
  }

  async delete(key: string): Promise<boolean> {
    const place = this.find(key);
    if (place === undefined) {
      return (await (await this.cacheOfOthers()).delete?.(key)) ?? false;
    }
    const { file, folder } = place;
    await Promise.all((file?.sha256 ?? []).map((digest) => folder.store.remove(digest)));
    return file !== undefined;
  }

  private cacheOfOthers(): Promise<KeyedCache> {
    this.others ??= cacheBefore(this.before);
    return this.others;
  }

  /** For a folder of ours only files that the manifest lists are requested. */
  private async answer(
    input: string | URL,
    init: RequestInit | undefined,
    before: EnvFetch,
  ): Promise<Response> {
    const place = this.find(String(input));
    if (place === undefined) {
      return before(input, init);
    }
    return place.file === undefined
      ? new Response(null, { status: 404 })
      : new FileResponse(place.folder, place.file);
  }

  private find(key: string): Place | undefined {
    for (const folder of this.folders) {
      const path = pathIn(folder, key, this.env);
      if (path !== undefined) {
        return { folder, file: folder.loader.manifest.files.get(path) };
      }
    }
    return undefined;
  }
}

/**
 * The path in the folder that a key names: its address, absolute or relative to the page, or what
 * transformers.js makes of a model's name for its own server, "<localModelPath>/<model>/<path>", and for
 * a remote host, "<host>/<model>/resolve/main/<path>".
 */
function pathIn({ href, model }: Folder, key: string, env: TransformersEnv): string | undefined {
  const local = `${env.localModelPath.replace(/\/$/, "")}/${model}/`;
  if (key.startsWith(local)) {
    return key.slice(local.length);
  }
  const [before = "", after = ""] = env.remotePathTemplate.split("{model}");
  const remote = `${env.remoteHost.replace(/\/$/, "")}/${before.replace(/^\//, "")}${model}`;
  if (key.startsWith(remote)) {
    const literal = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    const between = after
      .replace(/^\/|\/$/g, "")
      .split("{revision}")
      .map(literal)
      .join("[^/]*");
    return key.slice(remote.length).match(`^/+${between}/*(.+)$`)?.[1];
  }
  try {
    const url = new URL(key, globalThis.location?.href).href;
    return url.startsWith(href) ? url.slice(href.length) : undefined;
  } catch {
    return undefined; // a relative key where there is no page
  }
}

/**
 * A file that is fetched when its body is read. As a stream it comes chunk by chunk and at most four
 * wait; arrayBuffer() fills one buffer. The built-in one would gather pieces first and, in Chromium,
 * say "Failed to fetch" whatever the reason.
 */
class FileResponse extends Response {
  private readonly gather: () => Promise<ArrayBuffer>;

  constructor({ loader, href }: Folder, file: ManifestFile) {
    const { path, bytes } = file;
    const explain = (error: unknown): Error => asLorapressError(error, "io", href + path);
    let chunks: AsyncGenerator<Uint8Array> | undefined;
    const body = new ReadableStream<Uint8Array>(
      {
        async pull(controller): Promise<void> {
          try {
            chunks ??= loader.chunks(path);
            const { done, value } = await chunks.next();
            if (done !== true) {
              controller.enqueue(value);
              return;
            }
            await loader.release(path);
            controller.close();
          } catch (error) {
            controller.error(explain(error));
          }
        },
        async cancel(): Promise<void> {
          await chunks?.return(undefined);
        },
      },
      { highWaterMark: 0 },
    );
    super(body, { headers: { "content-length": `${bytes}`, "content-type": typeOf(path) } });
    this.gather = async (): Promise<ArrayBuffer> => {
      try {
        const { buffer } = await loader.bytes(path);
        await loader.release(path);
        return buffer;
      } catch (error) {
        throw explain(error);
      }
    };
  }

  override async arrayBuffer(): Promise<ArrayBuffer> {
    return this.bodyUsed ? super.arrayBuffer() : this.gather();
  }
}

function typeOf(path: string): string {
  return path.endsWith(".json") ? "application/json" : "application/octet-stream";
}

/** The cache that transformers.js would use for the files of other models. */
async function cacheBefore(env: TransformersEnv): Promise<KeyedCache> {
  if (env.useCustomCache && env.customCache) {
    return env.customCache as KeyedCache;
  }
  if (env.useBrowserCache && globalThis.caches !== undefined) {
    try {
      return (await caches.open(env.cacheKey ?? "transformers-cache")) as KeyedCache;
    } catch {
      // As in transformers.js: visible, but not to be used.
    }
  }
  return new HandOver();
}

/** No cache at all, except that transformers.js in Node reads back a file that it has put before it uses it. */
class HandOver implements KeyedCache {
  private readonly held = new Map<string, Response>();

  async match(key: string): Promise<Response | undefined> {
    const response = this.held.get(key);
    this.held.delete(key);
    return response;
  }

  async put(key: string, response: Response): Promise<void> {
    this.held.set(key, response);
  }
}
