// The ports of the transformers.js bundle's graphs (docs/bundles.md): the one table of their names, compared with
// tests/goldens/ports.json, as that of src/graph/ports.h; and checks of their types and shapes, since the manifest
// and the graphs must describe the same model.
import { fail } from "../errors.js";
import type { CacheDtype, Role } from "../loading/graph_files.js";
import type { ModelShape } from "./engine_api.js";

/** Ports other than the cache. */
export const PORTS = {
  encoder: { inputs: ["pixel_values"], outputs: ["last_hidden_state"] },
  decoder: { inputs: ["input_ids", "encoder_hidden_states"], outputs: ["logits"] },
} as const;

/** Of models with an imageTokenId, whose tokens are looked up in a graph of their own. */
export const PLACEHOLDER_PORTS = {
  encoder: { inputs: ["pixel_values"], outputs: ["image_features"] },
  embeddings: { inputs: ["input_ids"], outputs: ["inputs_embeds"] },
  decoder: { inputs: ["inputs_embeds"], outputs: ["logits"] },
} as const;

/** Of a decoder alone. */
export const TEXT_PORTS = {
  decoder: { inputs: ["input_ids", "attention_mask"], outputs: ["logits"] },
} as const;

/** Of an encoder that takes tiles of several sizes; all of ours are whole. */
export const PIXEL_MASK = "pixel_attention_mask";

export interface CachePorts {
  readonly past: readonly string[];
  readonly present: readonly string[];
}

/** Key and value of every layer, in this order. */
export function cachePorts(layers: number): CachePorts {
  const all = (prefix: string): string[] =>
    Array.from({ length: layers }, (_, layer) => [
      `${prefix}.${layer}.key`,
      `${prefix}.${layer}.value`,
    ]).flat();
  return { past: all("past_key_values"), present: all("present") };
}

/**
 * Of a decoder with cross attention: the cache of the positions so far, which has `pairs`, and that of the encoder's
 * states.
 */
export function crossCachePorts(
  layers: number,
  pairs: number = layers,
): { own: CachePorts; states: CachePorts } {
  const of = (owner: string, count: number): CachePorts => {
    const named = (ports: readonly string[]): string[] =>
      ports.map((name) => name.replace(/\.(?=[a-z]+$)/, `.${owner}.`));
    const { past, present } = cachePorts(count);
    return { past: named(past), present: named(present) };
  };
  return { own: of("decoder", pairs), states: of("encoder", layers) };
}

const BATCH_SYMBOL = "batch_size";
export const NO_CACHE: CachePorts = { past: [], present: [] };

export interface Port {
  readonly name: string;
  /** Element type, as the engine calls it. */
  readonly type: string;
  readonly dims: readonly (number | string)[];
}

/** A loaded graph. */
export interface GraphPorts {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
}

export interface PortNames {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

export function requireNames(
  graph: GraphPorts,
  role: Role,
  names: PortNames,
  cache: CachePorts = NO_CACHE,
): void {
  const missing = (ports: readonly Port[], wanted: readonly string[]): string | undefined =>
    wanted.find((name) => !ports.some((port) => port.name === name));
  const name =
    missing(graph.inputs, [...names.inputs, ...cache.past]) ??
    missing(graph.outputs, [...names.outputs, ...cache.present]);
  if (name !== undefined) {
    fail(
      "mismatch",
      `the ${role} has no ${name}; it and lorapress.json do not belong together, press again`,
    );
  }
}

/** The type of the decoder's cache; `wanted`: that of lorapress.json, if it has one. */
export function requireCache(
  port: Port | undefined,
  shape: ModelShape,
  wanted: CacheDtype | undefined,
): CacheDtype {
  const { numKeyValueHeads, headDim } = shape;
  const [batch, heads, , size] = port?.dims ?? [];
  const type = port?.type;
  if (type !== "float32" && type !== "float16") {
    fail("unsupported", `the decoder's ${port?.name} is no float tensor`);
  }
  const same = batch === BATCH_SYMBOL && heads === numKeyValueHeads && size === headDim;
  if (!same || type !== (wanted ?? type)) {
    fail(
      "mismatch",
      `the decoder's cache is ${type} [${port?.dims.join(", ")}], lorapress.json says ${wanted ?? type}, ${numKeyValueHeads} heads of ${headDim}; press again`,
    );
  }
  return type;
}

/** `dims` of logits of `rows` sequences. */
export function requireVocabulary(dims: readonly number[], rows: number, shape: ModelShape): void {
  const wanted = [rows, 1, shape.vocabSize];
  if (dims.length !== 3 || dims.some((size, i) => size !== wanted[i])) {
    fail(
      "mismatch",
      `the decoder gave logits [${dims.join(", ")}], expected [${wanted.join(", ")}]`,
    );
  }
}
