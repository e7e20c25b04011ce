// lorapress.json: the contract between what `lorapress press` writes and this runtime. Accepts and
// refuses the same manifests as src/bundles/manifest.cc; tests/hostile/manifests tests both. Schema:
// docs/schema/lorapress.schema.json.
import { fail } from "../errors.js";
import { Fields, shown, type Triple } from "./fields.js";
import {
  CONDITIONINGS,
  type Conditioning,
  type Graphs,
  type PreferredDtypes,
  parseGraphs,
  parsePreferred,
} from "./graph_files.js";
import { parseJson } from "./json.js";

export const MANIFEST_NAME = "lorapress.json";
export const CHUNK_BYTES = 8388608;
export const MAX_MANIFEST_BYTES: number = 64 * 2 ** 20;

const FORMAT_VERSION = 2;
const MAX_FILES = 4096;
const MAX_FILE_BYTES = 2 ** 40;
const MAX_COUNT = 2 ** 24;
const MAX_SIDE = 8192;
const PATH = /^[A-Za-z0-9_][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_][A-Za-z0-9._-]*)*$/;
const DIGEST = /^[0-9a-f]{64}$/;
const RESAMPLES = ["bilinear", "bicubic", "lanczos"] as const;

const SPLITTING_TOKENS = ["image", "around", "global", "tile"] as const;

export type Resample = (typeof RESAMPLES)[number];

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
  readonly imageMean: Triple;
  readonly imageStd: Triple;
  /** The shorter side's length before width x height are cut out of the middle; 0: resized to width x height. */
  readonly shortestEdge: number;
}

/** How an image is cut into tiles, and what stands for them in a prompt. */
export interface ImageSplitting {
  readonly enabled: boolean;
  readonly longestEdge: number;
  readonly tileSize: number;
  readonly resample: Resample;
  /** "tile" has {row} and {col}, which count from 1. */
  readonly tokens: Readonly<Record<(typeof SPLITTING_TOKENS)[number], string>>;
}

/** Settings that a decoder can apply to its own logits. */
const RULES_IN_GRAPH = ["repetition_penalty", "no_repeat_ngram_size", "bad_words_ids"];

export interface Manifest {
  readonly bundle: string;
  readonly defaultDtype: string;
  readonly conditioning: Conditioning;
  /** 0 of a decoder alone. */
  readonly imageTokens: number;
  /** Of a prompt's image positions, with conditioning "placeholder". */
  readonly imageTokenId: number;
  readonly vocabSize: number;
  readonly numHiddenLayers: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  readonly maxPositionEmbeddings: number;
  readonly decoderStartTokenId: number;
  readonly eosTokenIds: readonly number[];
  /** New tokens behind the image tokens. */
  readonly maxNewTokens: number;
  /** Token ids and settings, for generation_settings.ts. */
  readonly generation: Fields;
  /** Keys of `generation` that the decoder applies to its own logits; its ids then are one more cache. */
  readonly rulesInGraph: readonly string[];
  /** undefined of a decoder alone. */
  readonly preprocessing: Preprocessing | undefined;
  readonly imageSplitting: ImageSplitting | undefined;
  readonly tokenizerFile: string;
  /** The folder's own prompt. */
  readonly prompt: string;
  /** A file of the folder. */
  readonly chatTemplate: string | undefined;
  readonly graphs: Graphs;
  readonly preferredDtypes: PreferredDtypes;
  readonly files: ReadonlyMap<string, ManifestFile>;
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
      fail("invalid_file", `${where}: ${file.path} is listed twice, or is the manifest itself`);
    }
    files.set(file.path, file);
  }
  return files;
}

// Requires that files that are run are listed in "files", so that they are hashed first.
function listed(path: unknown, files: ReadonlyMap<string, ManifestFile>, where: string): string {
  const sound = requirePath(path, where);
  if (!files.has(sound)) {
    fail("invalid_file", `${where}: ${sound} is none of "files"`);
  }
  return sound;
}

function parseResample(fields: Fields): Resample {
  const resample = fields.text("resample");
  return (
    RESAMPLES.find((name) => name === resample) ??
    fail("unsupported", `${fields.where}: resample ${shown(resample)} is not known`)
  );
}

// The bound of tiles bounds the memory that an image takes: 4096 x 4096 pixels in all.
function parseSplitting(fields: Fields): ImageSplitting {
  const tokens = fields.object("tokens");
  const longestEdge = fields.integer("longest_edge", 1, 4096);
  const [image, around, global, tile] = SPLITTING_TOKENS.map((name) => tokens.text(name));
  return {
    enabled: fields.boolean("enabled"),
    longestEdge,
    tileSize: fields.integer("tile_size", Math.ceil(longestEdge / 64), 4096),
    resample: parseResample(fields),
    tokens: { image, around, global, tile } as ImageSplitting["tokens"],
  };
}

function parsePreprocessing(fields: Fields): Preprocessing {
  const size = fields.object("size");
  const known = parseResample(fields);
  const imageStd = fields.triple("image_std");
  if (imageStd.some((value) => value <= 0)) {
    fields.refuse("image_std", "is not three positive numbers");
  }
  const height = size.integer("height", 1, MAX_SIDE);
  const width = size.integer("width", 1, MAX_SIDE);
  return {
    height,
    width,
    shortestEdge:
      fields.get("shortest_edge") === undefined
        ? 0
        : fields.integer("shortest_edge", Math.max(height, width), MAX_SIDE),
    resample: known,
    rescaleFactor: fields.number("rescale_factor"),
    imageMean: fields.triple("image_mean"),
    imageStd,
  };
}

function parseEos(fields: Fields, last: number): number[] {
  const ids = fields.list("eos_token_id", 1024);
  if (ids.length === 0) {
    fields.refuse("eos_token_id", "is not a list of token ids");
  }
  return ids.map((id) => fields.bounded("eos_token_id", id, 0, last));
}

function parseRulesInGraph(root: Fields, generation: Fields): string[] {
  const key = "rules_in_graph";
  const rules = root.get(key) === undefined ? [] : root.list(key, RULES_IN_GRAPH.length);
  return rules.map((rule) =>
    typeof rule === "string" && RULES_IN_GRAPH.includes(rule) && generation.get(rule) !== undefined
      ? rule
      : root.refuse(key, "is not a list of rules of generation"),
  );
}

// Absent in folders that were written before there was another.
function parseConditioning(model: Fields): Conditioning {
  const name = model.get("conditioning") ?? "prefix";
  return (
    CONDITIONINGS.find((known) => known === name) ??
    fail(
      "unsupported",
      `${model.where}: conditioning ${shown(name)} is not known (${CONDITIONINGS.join(", ")} are)`,
    )
  );
}

function parsePrompt(
  root: Fields,
  listed: (path: unknown) => string,
): Pick<Manifest, "prompt" | "chatTemplate"> {
  const fields = root.get("prompt") === undefined ? undefined : root.object("prompt");
  const file = fields?.get("chat_template");
  return {
    prompt: fields?.get("default") === undefined ? "" : fields.text("default"),
    chatTemplate: file === undefined ? undefined : listed(file),
  };
}

/** `where` names the text in errors. Throws LorapressError: invalid_file or unsupported. */
export function parseManifest(text: string, where: string): Manifest {
  const root = new Fields(parseJson(text, where), where);
  const version = root.integer("format_version", -(2 ** 31), 2 ** 31);
  if (version < 1 || version > FORMAT_VERSION) {
    fail(
      "unsupported",
      `${where}: format_version ${version}, this version reads 1 to ${FORMAT_VERSION}; use the lorapress that wrote it`,
    );
  }
  if (root.integer("chunk_bytes", 1, 2 ** 30) !== CHUNK_BYTES) {
    fail("unsupported", `${where}: chunk_bytes is not ${CHUNK_BYTES}`);
  }
  const model = root.object("model");
  const generation = root.object("generation");
  const vocabSize = model.integer("vocab_size", 1, MAX_COUNT);
  const files = parseFiles(root, where);
  const inFiles = (path: unknown, at = where): string => listed(path, files, at);
  const graphs = parseGraphs(root, version, [...files.keys()], inFiles);
  const defaultDtype = root.text("default_dtype");
  if (!graphs.has(defaultDtype)) {
    fail("invalid_file", `${where}: "graphs" has no ${shown(defaultDtype)}, the default_dtype`);
  }
  const conditioning = parseConditioning(model);
  const images = conditioning !== "none";
  return {
    bundle: root.text("bundle"),
    conditioning,
    imageTokenId:
      conditioning === "placeholder" ? model.integer("image_token_id", 0, MAX_COUNT) : -1,
    defaultDtype,
    imageTokens: images ? model.integer("image_tokens", 1, MAX_COUNT) : 0,
    vocabSize,
    numHiddenLayers: model.integer("num_hidden_layers", 1, 4096),
    numKeyValueHeads: model.integer("num_key_value_heads", 1, 4096),
    headDim: model.integer("head_dim", 1, 65536),
    maxPositionEmbeddings: model.integer("max_position_embeddings", 1, MAX_COUNT),
    decoderStartTokenId: generation.integer("decoder_start_token_id", 0, vocabSize - 1),
    eosTokenIds: parseEos(generation, vocabSize - 1),
    maxNewTokens: generation.integer("max_new_tokens", 1, 2 ** 20),
    generation,
    rulesInGraph: parseRulesInGraph(root, generation),
    preprocessing: images ? parsePreprocessing(root.object("preprocessing")) : undefined,
    imageSplitting:
      !images || root.get("image_splitting") === undefined
        ? undefined
        : parseSplitting(root.object("image_splitting")),
    ...parsePrompt(root, inFiles),
    tokenizerFile: inFiles(root.object("tokenizer").get("file")),
    graphs,
    preferredDtypes: parsePreferred(root, version, [...graphs.keys()]),
    files,
  };
}
