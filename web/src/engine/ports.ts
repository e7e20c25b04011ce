// The manifest and the graphs must speak of the same model.

import { fail } from "../errors.js";
import type { ModelShape } from "./engine_api.js";

const BATCH_SYMBOL = "batch_size";

interface Named {
  readonly name: string;
}

export function requireNames(
  session: { readonly inputs: readonly Named[]; readonly outputs: readonly Named[] },
  role: string,
  inputs: readonly string[],
  outputs: readonly string[],
): void {
  const has = (ports: readonly Named[], name: string): boolean =>
    ports.some((port) => port.name === name);
  const missing =
    inputs.find((name) => !has(session.inputs, name)) ??
    outputs.find((name) => !has(session.outputs, name));
  if (missing !== undefined) {
    fail(
      "mismatch",
      `the ${role} has no ${missing}; it and lorapress.json do not belong together, press again`,
    );
  }
}

/** `dims` of the decoder's cache. */
export function requireSameCache(dims: readonly (number | string)[], shape: ModelShape): void {
  const { numKeyValueHeads, headDim } = shape;
  const [batch, heads, , size] = dims;
  if (batch !== BATCH_SYMBOL || heads !== numKeyValueHeads || size !== headDim) {
    fail(
      "mismatch",
      `the decoder's cache is [${dims.join(", ")}], lorapress.json says ${numKeyValueHeads} heads of ${headDim}; press again`,
    );
  }
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
