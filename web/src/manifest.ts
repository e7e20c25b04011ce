// lorapress.json: the contract between what `lorapress press` writes and this runtime. Accepts and
// refuses what src/bundles/manifest.cc does; tests/hostile/manifests holds both to it. Schema:
// docs/schema/lorapress.schema.json.
import { fail } from "./errors.js";
import { isObject, type JsonObject, own, parseJson } from "./json.js";

export const MANIFEST_NAME = "lorapress.json";
export const CHUNK_BYTES = 8388608;
export const MAX_MANIFEST_BYTES: number = 64 * 2 ** 20;

const FORMAT_VERSION = 1;
const MAX_FILES = 4096;
const MAX_FILE_BYTES = 2 ** 40;
const MAX_COUNT = 2 ** 24;
const MAX_LISTED_IDS = 2 ** 18;
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

/** false: a guess ends it; true: the first numBeams finished ones do; "never": only certainty does. */
export type EarlyStopping = boolean | "never";

/** As transformers' generate() names them; what is absent is off, or left to the folder. */
export interface GenerationSettings {
  /** With image and prompt; maxNewTokens goes before it. */
  readonly maxLength?: number | undefined;
  /** No end token before. */
  readonly minNewTokens?: number | undefined;
  /** With image and prompt; minNewTokens goes before it. */
  readonly minLength?: number | undefined;
  readonly repetitionPenalty?: number | undefined;
  readonly noRepeatNgramSize?: number | undefined;
  readonly badWordsIds?: readonly (readonly number[])[] | undefined;
  /** Never. */
  readonly suppressTokens?: readonly number[] | undefined;
  /** Not as the first token. */
  readonly beginSuppressTokens?: readonly number[] | undefined;
  /** The second token. */
  readonly forcedBosTokenId?: number | undefined;
  /** Any of them, as the last of maxNewTokens. */
  readonly forcedEosTokenId?: readonly number[] | undefined;
  readonly numBeams?: number | undefined;
  readonly lengthPenalty?: number | undefined;
  readonly earlyStopping?: EarlyStopping | undefined;
  readonly doSample?: boolean | undefined;
  readonly temperature?: number | undefined;
  readonly topK?: number | undefined;
  readonly topP?: number | undefined;
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
  /** Where a caption's options say nothing. */
  readonly generation: GenerationSettings;
  readonly preprocessing: Preprocessing;
  readonly tokenizerFile: string;
  /** dtype -> role -> path. */
  readonly graphs: ReadonlyMap<string, ReadonlyMap<string, string>>;
  readonly files: ReadonlyMap<string, ManifestFile>;
}

/** Reads fields of one object; every complaint begins with where it stands. */
class Fields {
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

  bounded(key: string, value: unknown, least: number, most: number): number {
    if (
      typeof value !== "number" ||
      !Number.isSafeInteger(value) ||
      value < least ||
      value > most
    ) {
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

  list(key: string, most: number): readonly unknown[] {
    const value = this.get(key);
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

function present(fields: Fields, key: string): unknown {
  return fields.get(key) ?? undefined; // null counts as absent
}

function parseTokens(fields: Fields, key: string, json: unknown, vocabSize: number): number[] {
  if (!Array.isArray(json) || json.length > MAX_LISTED_IDS) {
    fields.refuse(key, `is not a list of at most ${MAX_LISTED_IDS} token ids`);
  }
  return json.map((id) => fields.bounded(key, id, 0, vocabSize - 1));
}

function parseWords(fields: Fields, key: string, vocabSize: number): number[][] | undefined {
  const json = present(fields, key);
  if (json === undefined) {
    return undefined;
  }
  const words = Array.isArray(json)
    ? json.map((word) => parseTokens(fields, key, word, vocabSize))
    : fields.refuse(key, "is not a list of words");
  const ids = words.reduce((sum, word) => sum + word.length, 0);
  if (ids > MAX_LISTED_IDS || words.some((word) => word.length === 0)) {
    fields.refuse(key, `holds an empty word, or more than ${MAX_LISTED_IDS} token ids`);
  }
  return words;
}

// Keys and ranges are those of src/checkpoint/generation_settings.cc.
function parseGeneration(fields: Fields, vocabSize: number): GenerationSettings {
  const integer = (key: string, least: number, most: number): number | undefined =>
    present(fields, key) === undefined ? undefined : fields.integer(key, least, most);
  const number = (key: string, least: number, most: number): number | undefined => {
    const value = present(fields, key) === undefined ? undefined : fields.number(key);
    if (value !== undefined && !(value >= least && value <= most)) {
      fields.refuse(key, `is ${value}, expected ${least} to ${most}`);
    }
    return value;
  };
  const tokens = (key: string, orOne = false): number[] | undefined => {
    const json = present(fields, key);
    const list = orOne && typeof json === "number" ? [json] : json;
    return list === undefined ? undefined : parseTokens(fields, key, list, vocabSize);
  };
  const earlyStopping = present(fields, "early_stopping");
  if (![undefined, true, false, "never"].includes(earlyStopping as EarlyStopping)) {
    fields.refuse("early_stopping", 'is neither true, false nor "never"');
  }
  const doSample = present(fields, "do_sample");
  if (doSample !== undefined && typeof doSample !== "boolean") {
    fields.refuse("do_sample", "is neither true nor false");
  }
  return {
    maxLength: integer("max_length", 1, MAX_COUNT),
    minNewTokens: integer("min_new_tokens", 0, 2 ** 20),
    minLength: integer("min_length", 0, MAX_COUNT),
    repetitionPenalty: number("repetition_penalty", 0.01, 100),
    noRepeatNgramSize: integer("no_repeat_ngram_size", 0, 2 ** 20),
    badWordsIds: parseWords(fields, "bad_words_ids", vocabSize),
    suppressTokens: tokens("suppress_tokens"),
    beginSuppressTokens: tokens("begin_suppress_tokens"),
    forcedBosTokenId: integer("forced_bos_token_id", 0, vocabSize - 1),
    forcedEosTokenId: tokens("forced_eos_token_id", true),
    numBeams: integer("num_beams", 1, 64),
    lengthPenalty: number("length_penalty", -10, 10),
    earlyStopping: earlyStopping as EarlyStopping | undefined,
    doSample,
    temperature: number("temperature", 1e-6, 100),
    topK: integer("top_k", 0, 2 ** 20),
    topP: number("top_p", 1e-6, 1),
  };
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
    generation: parseGeneration(generation, vocabSize),
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
