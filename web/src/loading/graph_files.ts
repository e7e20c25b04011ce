// The graphs of lorapress.json: "graphs", facts of each ("graph_files"), and which dtype suits which device
// ("preferred_dtypes"). Folders of version 1 have only "graphs"; the end of this file has defaults for the rest.
import { fail } from "../errors.js";
import { Fields } from "./fields.js";

const MAX_FILES = 4096;
const KEYS = ["external_data", "integer_products"];
const CACHED_KEYS = [...KEYS, "cache_dtype", "in_place_cache"];
const CACHE_DTYPES = ["float32", "float16"] as const;
const BACKENDS = ["wasm", "webgpu", "webgpu_f16"] as const;

/**
 * How the image reaches the decoder: before the text, through cross attention, or in place of the prompt's image
 * tokens; "none": a decoder alone.
 */
export const CONDITIONINGS = ["prefix", "cross", "placeholder", "none"] as const;
export type Conditioning = (typeof CONDITIONINGS)[number];

/** The parts of a model that are run here. */
export type Role = "encoder" | "embeddings" | "decoder";

/** What "graphs" calls the parts, in the order in which they are loaded. */
export const ROLES: Readonly<Record<Conditioning, readonly (readonly [Role, string])[]>> = {
  prefix: [
    ["encoder", "encoder"],
    ["decoder", "decoder"],
  ],
  cross: [
    ["encoder", "encoder"],
    ["decoder", "decoder"],
  ],
  placeholder: [
    ["encoder", "vision_encoder"],
    ["embeddings", "embed_tokens"],
    ["decoder", "decoder_model_merged"],
  ],
  none: [["decoder", "decoder"]],
};

/** An .onnx file and its entry of "graph_files". */
export interface GraphFile {
  readonly path: string;
  /** Paths of the weight files that the graph reads. */
  readonly externalData: readonly string[];
  /** undefined where the graph has no cache, and in folders of version 1, where the graph's ports have the type. */
  readonly cacheDtype: CacheDtype | undefined;
  /** Attention of all layers but the first may write its present into its past buffer. */
  readonly inPlaceCache: boolean;
  /** Products with 4-bit weights round activations to 8 bits and multiply integers. */
  readonly integerProducts: boolean;
}

/** dtype -> role -> file. */
export type Graphs = ReadonlyMap<string, ReadonlyMap<string, GraphFile>>;
export type CacheDtype = (typeof CACHE_DTYPES)[number];
/** Devices that prefer different dtypes; webgpu_f16: with half precision in shaders. */
export type Backend = (typeof BACKENDS)[number];
/** The dtypes of the folder for each backend, the preferred one first. */
export type PreferredDtypes = Readonly<Record<Backend, readonly string[]>>;

/** Returns a path that is among the folder's files and refuses others. */
type Listed = (path: unknown, where?: string) => string;

export function parseGraphs(
  root: Fields,
  version: number,
  paths: readonly string[],
  listed: Listed,
): Graphs {
  const known = version > 1 ? parseGraphFiles(root.object("graph_files"), listed) : undefined;
  const fileOf = (path: string): GraphFile =>
    known === undefined
      ? graphFile1(path, paths)
      : (known.get(path) ??
        fail("invalid_file", `${root.where}: ${path} is none of "graph_files"`));
  const graphs = root.object("graphs");
  return new Map(
    graphs.keys().map((dtype) => {
      const roles = graphs.object(dtype);
      return [dtype, new Map(roles.keys().map((role) => [role, fileOf(listed(roles.get(role)))]))];
    }),
  );
}

function parseGraphFiles(fields: Fields, listed: Listed): ReadonlyMap<string, GraphFile> {
  return new Map(
    fields.keys().map((path) => {
      const graph = new Fields(fields.get(path), `${fields.where}: ${listed(path)}`);
      const cached = graph.get("cache_dtype") !== undefined;
      graph.requireKeys(cached ? CACHED_KEYS : KEYS);
      const externalData = graph
        .list("external_data", MAX_FILES)
        .map((data) => listed(data, graph.where));
      if (new Set(externalData).size < externalData.length) {
        fail("invalid_file", `${graph.where}: "external_data" names a file twice`);
      }
      const cacheDtype = cached ? graph.oneOf("cache_dtype", CACHE_DTYPES) : undefined;
      const inPlaceCache = cached && graph.boolean("in_place_cache");
      const integerProducts = graph.boolean("integer_products");
      return [path, { path, externalData, cacheDtype, inPlaceCache, integerProducts }];
    }),
  );
}

/** `dtypes`: those of "graphs". */
export function parsePreferred(
  root: Fields,
  version: number,
  dtypes: readonly string[],
): PreferredDtypes {
  if (version === 1) {
    return preferredDtypes1(dtypes);
  }
  const fields = root.object("preferred_dtypes");
  fields.requireKeys(BACKENDS);
  const listOf = (backend: Backend): readonly string[] => {
    const list = fields.list(backend, dtypes.length);
    return list.every((dtype, i) => dtypes.includes(dtype as string) && list.indexOf(dtype) === i)
      ? (list as readonly string[])
      : fields.refuse(backend, 'is not a list of dtypes of "graphs", each once');
  };
  return mapBackends(listOf);
}

const mapBackends = (of: (backend: Backend) => readonly string[]): PreferredDtypes => ({
  wasm: of("wasm"),
  webgpu: of("webgpu"),
  webgpu_f16: of("webgpu_f16"),
});

// Version 1: weights stand beside their graph as `<graph>_data`, `<graph>_data_1`, ...
function graphFile1(path: string, paths: readonly string[]): GraphFile {
  const externalData = paths.filter(
    (other) => other.startsWith(`${path}_data`) && /^(?:_\d+)?$/.test(other.slice(path.length + 5)),
  );
  const facts = { cacheDtype: undefined, inPlaceCache: false, integerProducts: false };
  return { path, externalData, ...facts };
}

// WebAssembly has no fast kernel for 4 bits, and computes half precision as single.
const PREFERRED_1: PreferredDtypes = {
  wasm: ["q8", "int8", "uint8", "fp32", "fp16", "q4", "bnb4", "q4f16"],
  webgpu: ["fp32", "q4", "bnb4", "q8", "fp16", "q4f16"],
  webgpu_f16: ["fp16", "q4f16", "fp32", "q4", "bnb4", "q8"],
};

function preferredDtypes1(dtypes: readonly string[]): PreferredDtypes {
  return mapBackends((backend) => PREFERRED_1[backend].filter((dtype) => dtypes.includes(dtype)));
}
