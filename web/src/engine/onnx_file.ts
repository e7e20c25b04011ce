// Changes to a graph file before the engine's CPU build gets it (onnx.proto has the field numbers):
//
//   weights out   While it reads a file, the engine copies weights inside the file twice, external
//                 weights once. So all weights are declared external, in this same file, and only
//                 the small rest is passed as the graph.
//   attention     see onnx_attention.ts

import type { Pieces, Range } from "../loading/pieces.js";
import { rewriteAttention } from "./onnx_attention.js";
import { type Field, fields, Message, textOf } from "./protobuf.js";

/** Smaller tensors stay inside: shapes and axes are read while the graph is being built. */
const LEAST_BYTES = 1024;
const MODEL_GRAPH = 7;
const GRAPH_NODE = 1;
const GRAPH_INITIALIZER = 5;
const GRAPH_INPUT = 11;
const TENSOR_RAW_DATA = 9;
const TENSOR_EXTERNAL_DATA = 13;
const TENSOR_DATA_LOCATION = 14;
const LOCATION_EXTERNAL = 1;

export interface Split {
  /** The graph file without the weights. */
  readonly graph: Uint8Array;
  /** Where the weights are: in this file, which the graph calls `own`, or in the files beside it. */
  readonly weights: ReadonlyMap<string, readonly Range[]>;
}

export function splitGraph(file: Pieces, own: string, headDim: number): Split {
  const weights = new Map<string, Range[]>();
  const note = (name: string, range: Range): void => {
    weights.set(name, [...(weights.get(name) ?? []), range]);
  };
  const model = new Message();
  for (const field of fields(file, 0, file.size)) {
    if (field.number === MODEL_GRAPH && field.wire === 2) {
      model.message(MODEL_GRAPH, graphOf(file, field, headDim, own, note));
    } else {
      model.raw(file.read(field.begin, field.end));
    }
  }
  return { graph: model.finish(), weights };
}

type Note = (name: string, range: Range) => void;

function graphOf(file: Pieces, graph: Field, headDim: number, own: string, note: Note): Message {
  const nodes: Uint8Array[] = [];
  const inputs = new Map<string, number>();
  const rest = new Message();
  for (const field of fields(file, graph.content, graph.end)) {
    if (field.number === GRAPH_NODE && field.wire === 2) {
      nodes.push(file.read(field.content, field.end));
    } else if (field.number === GRAPH_INITIALIZER && field.wire === 2) {
      rest.message(GRAPH_INITIALIZER, tensorOf(file, field, own, note));
    } else {
      if (field.number === GRAPH_INPUT) {
        inputs.set(...inputOf(file, field));
      }
      rest.raw(file.read(field.begin, field.end));
    }
  }
  const out = new Message();
  for (const node of rewriteAttention(nodes, inputs, headDim)) {
    out.bytes(GRAPH_NODE, node);
  }
  return out.raw(rest.finish());
}

/** Name and element type of a ValueInfoProto: type.tensor_type.elem_type. */
function inputOf(file: Pieces, input: Field): [string, number] {
  let [name, type] = ["", 0];
  for (const field of fields(file, input.content, input.end)) {
    if (field.number === 1) {
      name = textOf(file, field);
    } else if (field.number === 2) {
      const [tensor] = fields(file, field.content, field.end);
      const parts = tensor === undefined ? [] : [...fields(file, tensor.content, tensor.end)];
      type = parts.find(({ number }) => number === 1)?.value ?? 0;
    }
  }
  return [name, type];
}

function tensorOf(file: Pieces, tensor: Field, own: string, note: Note): Message {
  const out = new Message();
  const beside = new Map<string, string>();
  for (const field of fields(file, tensor.content, tensor.end)) {
    const bytes = field.end - field.content;
    if (field.number !== TENSOR_RAW_DATA || bytes < LEAST_BYTES) {
      out.raw(file.read(field.begin, field.end));
      if (field.number === TENSOR_EXTERNAL_DATA) {
        const [key, value] = [...fields(file, field.content, field.end)];
        beside.set(key ? textOf(file, key) : "", value ? textOf(file, value) : "");
      }
      continue;
    }
    note(own, [field.content, field.end]);
    const entry = (key: string, value: string): Message =>
      new Message().text(1, key).text(2, value);
    out
      .message(TENSOR_EXTERNAL_DATA, entry("location", own))
      .message(TENSOR_EXTERNAL_DATA, entry("offset", String(field.content)))
      .message(TENSOR_EXTERNAL_DATA, entry("length", String(bytes)))
      .number(TENSOR_DATA_LOCATION, LOCATION_EXTERNAL);
  }
  const [location, length] = [beside.get("location"), Number(beside.get("length"))];
  if (location !== undefined && length > 0) {
    const begin = Number(beside.get("offset") ?? 0);
    note(location, [begin, begin + length]);
  }
  return out;
}
