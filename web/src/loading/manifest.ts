// lorapress.json: the contract between what `lorapress press` writes and this runtime. Accepts and
// refuses what src/bundles/manifest.cc does; tests/hostile/manifests holds both to it. Schema:
// docs/schema/lorapress.schema.json.
import { fail } from "../errors.js";
import { isObject, type JsonObject, own, parseJson } from "./json.js";

export const MANIFEST_NAME = "lorapress.json";
export const CHUNK_BYTES = 8388608;
export const MAX_MANIFEST_BYTES: number = 64 * 2 ** 20;

const FORMAT_VERSION = 1;
const MAX_FILES = 4096;
const MAX_FILE_BYTES = 2 ** 40;
const MAX_COUNT = 2 ** 24;
const PATH = /^[A-Za-z0-9_][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_][A-Za-z0-9._-]*)*$/;
const DIGEST = /^[0-9a-f]{64}$/;
const RESAMPLES = ["bilinear", "bicubic"] as const;

export type Resample = (typeof RESAMPLES)[number];
export type Triple = readonly [number, number, number];

export interface ManifestFile {
  /** Relative to the folder; the same text as a path and as a URL. */
  readonly path: string;
  readonly bytes: number;
  /** Lower-case hex, one per CHUNK_BYTES. */
  readonly sha256: readonly string[];
}

export interface Preprocessing {
  readonly width: number;
  readonly height: number;
  readonly resample: Resample;
  readonly rescaleFactor: number;
  readonly mean: Triple;
  readonly std: Triple;
}

export interface Manifest {
  readonly bundle: string;
  readonly defaultDtype: string;
  readonly imageTokens: number;
  readonly vocabSize: number;
  readonly numLayers: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  readonly maxPositions: number;
  readonly startTokenId: number;
  readonly eosTokenIds: readonly number[];
  /** Behind the image tokens. */
  readonly maxNewTokens: number;
  /** Token ids and settings, for generation_settings.ts. */
  readonly generation: Fields;
  readonly preprocessing: Preprocessing;
  readonly tokenizerFile: string;
  /** dtype -> role -> path. */
  readonly graphs: ReadonlyMap<string, ReadonlyMap<string, string>>;
  readonly files: ReadonlyMap<string, ManifestFile>;
}

/** Reads fields of one object; every complaint begins with where it stands. */
export class Fields {
  readonly where: string;
  private readonly json: JsonObject;

  constructor(json: unknown, where: string) {
    if (!isObject(json)) {
      fail("invalid_file", `${where}: not a JSON object`);
    }
    this.json = json;
    this.where = where;
  }

  get(key: string): unknown {
    return own(this.json, key);
  }

  /** An integer; JSON's 3.0 is one, as for the program. */
  integer(key: string, least: number, most: number): number {
    return this.bounded(key, this.get(key), least, most);
  }

  bounded(
    key: string,
    value: unknown,
    least: number,
    most: number,
    isNumber: (value: unknown) => boolean = Number.isSafeInteger,
  ): number {
    if (typeof value !== "number" || !isNumber(value) || value < least || value > most) {
      this.refuse(key, `is ${shown(value)}, expected ${least} to ${most}`);
    }
    return value;
  }

  number(key: string, value: unknown = this.get(key)): number {
    if (typeof value !== "number" || !Number.isFinite(value)) {
      this.refuse(key, "is missing or not a number");
    }
    return value;
  }

  text(key: string): string {
    const value = this.get(key);
    if (typeof value !== "string") {
      this.refuse(key, "is missing or not a text");
    }
    return value;
  }

  object(key: string): Fields {
    const value = this.get(key);
    return isObject(value)
      ? new Fields(value, this.where)
      : this.refuse(key, "is missing, expected an object");
  }

  list(key: string, most: number, value: unknown = this.get(key)): readonly unknown[] {
    if (!Array.isArray(value) || value.length > most) {
      this.refuse(key, `is not a list of at most ${most}`);
    }
    return value;
  }

  triple(key: string): Triple {
    const [a, b, c, ...rest] = this.list(key, 3);
    if (rest.length > 0) {
      this.refuse(key, "is not three numbers");
    }
    return [this.number(key, a), this.number(key, b), this.number(key, c)];
  }

  entries(): [string, unknown][] {
    return Object.entries(this.json);
  }

  refuse(key: string, problem: string): never {
    fail("invalid_file", `${this.where}: "${key}" ${problem}`);
  }
}

function shown(value: unknown): string {
  return value === undefined ? "missing" : String(JSON.stringify(value)).slice(0, 80);
}

function requirePath(path: unknown, where: string): string {
  if (typeof path !== "string" || path.length > 255 || !PATH.test(path)) {
    fail("invalid_file", `${where}: ${shown(path)} is not a path inside the folder`);
  }
  return path;
}

function parseFile(json: unknown, where: string): ManifestFile {
  const fields = new Fields(json, where);
  const path = requirePath(fields.get("path"), where);
  const bytes = fields.integer("bytes", 0, MAX_FILE_BYTES);
  const chunks = Math.ceil(bytes / CHUNK_BYTES);
  const digests = fields.get("sha256");
  if (!Array.isArray(digests) || digests.length !== chunks) {
    fail("invalid_file", `${where}: ${path}: expected ${chunks} SHA-256 digests, ${bytes} bytes`);
  }
  for (const digest of digests) {
    if (typeof digest !== "string" || !DIGEST.test(digest)) {
      fail("invalid_file", `${where}: ${path}: ${shown(digest)} is not a SHA-256 digest`);
    }
  }
  return { path, bytes, sha256: digests as string[] };
}

function parseFiles(fields: Fields, where: string): Map<string, ManifestFile> {
  const files = new Map<string, ManifestFile>();
  for (const json of fields.list("files", MAX_FILES)) {
    const file = parseFile(json, where);
    if (file.path === MANIFEST_NAME || files.has(file.path)) {
      fail("invalid_file", `${where}: ${file.path} stands twice or is this file`);
    }
    files.set(file.path, file);
  }
  return files;
}

function parseGraphs(
  fields: Fields,
  files: ReadonlyMap<string, ManifestFile>,
): Map<string, ReadonlyMap<string, string>> {
  const graphs = new Map<string, ReadonlyMap<string, string>>();
  for (const [dtype] of fields.entries()) {
    const roles = new Map<string, string>();
    for (const [role, path] of fields.object(dtype).entries()) {
      roles.set(role, listed(path, files, fields.where));
    }
    graphs.set(dtype, roles);
  }
  return graphs;
}

// What is run is among the files, so that it is hashed before.
function listed(path: unknown, files: ReadonlyMap<string, ManifestFile>, where: string): string {
  const sound = requirePath(path, where);
  if (!files.has(sound)) {
    fail("invalid_file", `${where}: ${sound} is none of "files"`);
  }
  return sound;
}

function parsePreprocessing(fields: Fields): Preprocessing {
  const size = fields.object("size");
  const resample = fields.text("resample");
  const std = fields.triple("image_std");
  const known = RESAMPLES.find((name) => name === resample);
  if (known === undefined) {
    fail("unsupported", `${fields.where}: resample ${shown(resample)} is not known`);
  }
  if (std.some((value) => value <= 0)) {
    fields.refuse("image_std", "is not three positive numbers");
  }
  return {
    height: size.integer("height", 1, 8192),
    width: size.integer("width", 1, 8192),
    resample: known,
    rescaleFactor: fields.number("rescale_factor"),
    mean: fields.triple("image_mean"),
    std,
  };
}

function parseEos(fields: Fields, last: number): number[] {
  const ids = fields.list("eos_token_id", 1024);
  if (ids.length === 0) {
    fields.refuse("eos_token_id", "is not a list of token ids");
  }
  return ids.map((id) => fields.bounded("eos_token_id", id, 0, last));
}

/** `where` names the text in errors. Throws LorapressError: invalid_file or unsupported. */
export function parseManifest(text: string, where: string): Manifest {
  const root = new Fields(parseJson(text, where), where);
  const version = root.integer("format_version", -(2 ** 31), 2 ** 31);
  if (version !== FORMAT_VERSION) {
    fail(
      "unsupported",
      `${where}: format_version ${version}, this version reads ${FORMAT_VERSION}; use the lorapress that wrote it`,
    );
  }
  if (root.integer("chunk_bytes", 1, 2 ** 30) !== CHUNK_BYTES) {
    fail("unsupported", `${where}: chunk_bytes is not ${CHUNK_BYTES}`);
  }
  const model = root.object("model");
  const generation = root.object("generation");
  const vocabSize = model.integer("vocab_size", 1, MAX_COUNT);
  const files = parseFiles(root, where);
  const graphs = parseGraphs(root.object("graphs"), files);
  const defaultDtype = root.text("default_dtype");
  if (!graphs.has(defaultDtype)) {
    fail("invalid_file", `${where}: "graphs" has no ${shown(defaultDtype)}, the default_dtype`);
  }
  return {
    bundle: root.text("bundle"),
    defaultDtype,
    imageTokens: model.integer("image_tokens", 1, MAX_COUNT),
    vocabSize,
    numLayers: model.integer("num_hidden_layers", 1, 4096),
    numKeyValueHeads: model.integer("num_key_value_heads", 1, 4096),
    headDim: model.integer("head_dim", 1, 65536),
    maxPositions: model.integer("max_position_embeddings", 1, MAX_COUNT),
    startTokenId: generation.integer("decoder_start_token_id", 0, vocabSize - 1),
    eosTokenIds: parseEos(generation, vocabSize - 1),
    maxNewTokens: generation.integer("max_new_tokens", 1, 2 ** 20),
    generation,
    preprocessing: parsePreprocessing(root.object("preprocessing")),
    tokenizerFile: listed(root.object("tokenizer").get("file"), files, where),
    graphs,
    files,
  };
}

/** The weight files beside a graph: `<graph>_data`, `<graph>_data_1`, ... */
export function externalData(manifest: Manifest, graph: string): ManifestFile[] {
  return [...manifest.files.values()].filter(
    ({ path }) =>
      path.startsWith(`${graph}_data`) && /^(?:_\d+)?$/.test(path.slice(graph.length + 5)),
  );
}
