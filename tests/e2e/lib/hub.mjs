// Firefox's loader of models, from its documented rules (toolkit/components/ml: ModelHub, PipelineOptions): which ids,
// revisions and file names it takes, how it asks a hub, what it needs of a reply, and when its cache is valid. Of rules
// that its versions spell differently the strictest is used.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { PROGRAM } from './program.mjs';

const MODEL = /^(?!-)(?!.*--)[A-Za-z0-9-]+(?<!-)\/[A-Za-z0-9-_.]+$/;
const REVISION = /^v?(\d+(\.\d+){0,2})(-(alpha\d*|beta\d*|pre\d*|post\d*|rc\d*))?$|^main$/;
const FILE = /^[A-Za-z0-9-_]+(?:\/[A-Za-z0-9-_]+)*(?:[.][A-Za-z]{2,4})?$/;
const HEAD_MS = 1000;

/** Starts `lorapress serve`. @param {string} folder @returns {Promise<{port: number, stop: () => void}>} */
export async function serve(folder) {
  const server = spawn(PROGRAM, ['serve', folder, '--port', '0', '--json'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(server.stdout, 'data');
  return { port: JSON.parse(line).port, stop: () => server.kill() };
}

export class Loader {
  /** @type {Map<string, {etag: string | null, body: ArrayBuffer}>} */ #cache = new Map();
  /** @type {{method: string, url: string}[]} */ requests = [];

  /** @param {string} root of the hub @param {string} [template] */
  constructor(root, template = '{model}/{revision}') {
    const { hostname } = new URL(root);
    assert.ok(['localhost', 'model-hub.mozilla.org'].includes(hostname), `${root} is no hub that Firefox allows`);
    this.root = root;
    this.template = template;
  }

  /** @param {string} model @param {string} revision @param {string} file */
  static check(model, revision, file) {
    assert.match(model, MODEL);
    assert.match(revision, REVISION);
    assert.match(file, FILE);
  }

  /** @param {string} model @param {string} revision @param {string} file */
  url(model, revision, file) {
    const path = this.template.replace('{model}', model).replace('{revision}', revision);
    return `${this.root}${path}/${file}?download=true`;
  }

  /**
   * A file's bytes: from the cache where the revision is pinned or the hub's ETag is the stored one.
   * @returns {Promise<ArrayBuffer | null>} null where the hub has no such file
   */
  async get(/** @type {string} */ model, /** @type {string} */ revision, /** @type {string} */ file) {
    Loader.check(model, revision, file);
    const url = this.url(model, revision, file);
    const stored = this.#cache.get(url);
    if (stored !== undefined && (revision !== 'main' || (await this.etag(url)) === stored.etag)) {
      return stored.body;
    }
    const reply = await this.#fetch('GET', url);
    const body = await reply.arrayBuffer();
    if (!reply.ok) {
      return null;
    }
    assert.ok(reply.headers.get('content-type'), `${url} without a Content-Type`);
    const etag = reply.headers.get('etag');
    assert.ok(revision !== 'main' || etag, `${url} without an ETag`);
    this.#cache.set(url, { etag, body });
    return body;
  }

  /** By HEAD, which has to answer within a second. */
  async etag(/** @type {string} */ url) {
    const reply = await this.#fetch('HEAD', url, AbortSignal.timeout(HEAD_MS));
    return reply.headers.get('etag');
  }

  #fetch(method, url, signal) {
    this.requests.push({ method, url });
    return fetch(url, { method, signal });
  }

  /** As the custom cache through which transformers.js gets its files. */
  cacheFor(/** @type {string} */ model, /** @type {string} */ revision) {
    const prefix = `${this.root}${this.template.replace('{model}', model).replace('{revision}', revision)}/`;
    return {
      match: async (/** @type {string} */ key) => {
        if (!key.startsWith(prefix)) {
          return undefined; // a local name, for which transformers.js asks first
        }
        const body = await this.get(model, revision, key.slice(prefix.length));
        return body === null ? undefined : new Response(body, { headers: { 'content-length': `${body.byteLength}` } });
      },
      put: async () => {},
    };
  }
}
