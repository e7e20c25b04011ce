// The engine's GroupQueryAttention is fast for one token and, in WebAssembly, five times slower than plain
// products for the image tokens of the first call (docs/web-performance.md). Its nodes become
//
//   If (cache is empty) ── then: (Split), (rotate), heads, q k^T + mask, Softmax, v   on the image tokens
//                       ── else: GroupQueryAttention as it was                        on what follows
//
// with the condition and the causal mask, which all layers share, in front. The query heads of one key
// head become rows of one matrix, as in src/blocks/attention.cc, which authors these graphs.
import { Pieces } from "../loading/pieces.js";
import { type Field, fields, Message, textOf } from "./protobuf.js";

const NODE_INPUT = 1;
const NODE_OUTPUT = 2;
const NODE_NAME = 3;
const NODE_OP_TYPE = 4;
const NODE_ATTRIBUTE = 5;
const NODE_DOMAIN = 7;
const FLOAT = 1;
const INT64 = 7;
const MICROSOFT = "com.microsoft";
const PREFIX = "/lorapress/prefill";
const LOWEST = -3.4028234663852886e38;

interface Attention {
  readonly at: number;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly heads: number;
  readonly keyValueHeads: number;
}

/**
 * NodeProtos in, NodeProtos out; `types` are the element types of the graph's inputs. Nodes of another
 * form than press writes do not change, nor does half precision, which the CPU computes by casts.
 */
export function rewriteAttention(
  nodes: readonly Uint8Array[],
  types: ReadonlyMap<string, number>,
  headDim: number,
): readonly Uint8Array[] {
  const found = nodes.flatMap((node, at) => attentionOf(node, at) ?? []);
  const [first] = found;
  const alike = found.every(
    ({ heads, keyValueHeads }) =>
      heads === first?.heads &&
      keyValueHeads === first.keyValueHeads &&
      heads % keyValueHeads === 0,
  );
  if (first === undefined || !alike || types.get(first.inputs[3] as string) !== FLOAT) {
    return nodes;
  }
  const byPlace = new Map(found.map((attention) => [attention.at, attention]));
  return nodes.flatMap((node, at) => {
    const attention = byPlace.get(at);
    if (attention === undefined) {
      return [node];
    }
    const branch = branchNode(attention, node, headDim).finish();
    return attention === first ? [...sharedNodes(attention), branch] : [branch];
  });
}

function attentionOf(bytes: Uint8Array, at: number): Attention | undefined {
  const file = new Pieces([bytes]);
  const all = [...fields(file, 0, file.size)];
  const texts = (number: number): string[] =>
    all.filter((field) => field.number === number).map((field) => textOf(file, field));
  if (texts(NODE_OP_TYPE)[0] !== "GroupQueryAttention" || texts(NODE_DOMAIN)[0] !== MICROSOFT) {
    return undefined;
  }
  const attributes = new Map(
    all.filter(({ number }) => number === NODE_ATTRIBUTE).map((field) => attributeOf(file, field)),
  );
  const inputs = texts(NODE_INPUT);
  const outputs = texts(NODE_OUTPUT);
  const rotary = attributes.get("do_rotary");
  const packed = inputs[1] === "" && inputs[2] === ""; // q, k and v in one, or each by itself
  const known =
    attributes.size === 3 &&
    ((rotary === 1 && inputs.length === 9) || (rotary === 0 && inputs.length === 7)) &&
    inputs.every((name, i) => (name === "") === (packed && (i === 1 || i === 2)));
  const heads = attributes.get("num_heads");
  const keyValueHeads = attributes.get("kv_num_heads");
  if (!known || outputs.length !== 3 || !heads || !keyValueHeads) {
    return undefined;
  }
  return { at, name: texts(NODE_NAME)[0] ?? "", inputs, outputs, heads, keyValueHeads };
}

/** Name and integer of an AttributeProto. */
function attributeOf(file: Pieces, attribute: Field): [string, number] {
  let [name, value] = ["", Number.NaN];
  for (const field of fields(file, attribute.content, attribute.end)) {
    if (field.number === 1) {
      name = textOf(file, field);
    } else if (field.number === 3 && field.wire === 0) {
      value = field.value;
    }
  }
  return [name, value];
}

interface NodeOptions {
  readonly domain?: string;
  readonly integers?: Readonly<Record<string, number>>;
  readonly floats?: Readonly<Record<string, number>>;
  readonly lists?: Readonly<Record<string, readonly number[]>>;
}

const INTEGER_ATTRIBUTE = 2;
const FLOAT_ATTRIBUTE = 1;
const TENSOR_ATTRIBUTE = 4;
const GRAPH_ATTRIBUTE = 5;
const INTEGERS_ATTRIBUTE = 7;

function node(
  opType: string,
  inputs: readonly string[],
  outputs: readonly string[],
  options: NodeOptions = {},
): Message {
  const out = new Message();
  for (const name of inputs) {
    out.text(NODE_INPUT, name);
  }
  for (const name of outputs) {
    out.text(NODE_OUTPUT, name);
  }
  out.text(NODE_NAME, `${outputs[0]}_node`).text(NODE_OP_TYPE, opType);
  for (const [name, value] of Object.entries(options.integers ?? {})) {
    out.message(NODE_ATTRIBUTE, attribute(name, INTEGER_ATTRIBUTE).number(3, value));
  }
  for (const [name, value] of Object.entries(options.floats ?? {})) {
    out.message(NODE_ATTRIBUTE, attribute(name, FLOAT_ATTRIBUTE).float(2, value));
  }
  for (const [name, values] of Object.entries(options.lists ?? {})) {
    const list = attribute(name, INTEGERS_ATTRIBUTE);
    for (const value of values) {
      list.number(8, value);
    }
    out.message(NODE_ATTRIBUTE, list);
  }
  return options.domain === undefined ? out : out.text(NODE_DOMAIN, options.domain);
}

function attribute(name: string, type: number): Message {
  return new Message().text(1, name).number(20, type);
}

function constant(
  output: string,
  type: number,
  dims: readonly number[],
  values: number[],
): Message {
  const tensor = new Message();
  for (const size of dims) {
    tensor.number(1, size);
  }
  tensor.number(2, type);
  for (const value of values) {
    if (type === FLOAT) {
      tensor.float(4, value);
    } else {
      tensor.number(7, value);
    }
  }
  const value = attribute("value", TENSOR_ATTRIBUTE).message(5, tensor);
  return node("Constant", [], [output]).message(NODE_ATTRIBUTE, value);
}

const integers = (output: string, ...values: number[]): Message =>
  constant(output, INT64, [values.length], values);

//  first = (Shape(past)[2] == 0), rows = Shape(x)[1]
//  mask [group * rows, rows] = Where(key position <= query position, 0, lowest)
function sharedNodes({ inputs, heads, keyValueHeads }: Attention): Uint8Array[] {
  const name = (part: string): string => `${PREFIX}/${part}`;
  const group = heads / keyValueHeads;
  const scalar = (output: string, value: number): Message => constant(output, INT64, [], [value]);
  return [
    integers(name("zero"), 0),
    integers(name("one"), 1),
    scalar(name("begin"), 0),
    scalar(name("step"), 1),
    node("Shape", [inputs[3] as string], [name("past")], { integers: { start: 2, end: 3 } }),
    node("Equal", [name("past"), name("zero")], [name("first")]),
    node("Shape", [inputs[0] as string], [name("rows")], { integers: { start: 1, end: 2 } }),
    node("Squeeze", [name("rows"), name("zero")], [name("end")]),
    node("Range", [name("begin"), name("end"), name("step")], [name("keys")]),
    node("Concat", Array<string>(group).fill(name("keys")), [name("queries")], {
      integers: { axis: 0 },
    }),
    node("Unsqueeze", [name("queries"), name("one")], [name("column")]),
    node("LessOrEqual", [name("keys"), name("column")], [name("visible")]),
    constant(name("seen"), FLOAT, [], [0]),
    constant(name("hidden"), FLOAT, [], [LOWEST]),
    node("Where", [name("visible"), name("seen"), name("hidden")], [name("mask")]),
  ].map((message) => message.finish());
}

function branchNode(attention: Attention, original: Uint8Array, headDim: number): Message {
  const { outputs } = attention;
  const scope = `${PREFIX}/${attention.at}`;
  const otherwise = new Message();
  const file = new Pieces([original]);
  let index = 0;
  for (const field of fields(file, 0, file.size)) {
    if (field.number === NODE_OUTPUT) {
      otherwise.text(NODE_OUTPUT, `${scope}/else_${index++}`);
    } else {
      otherwise.raw(file.read(field.begin, field.end));
    }
  }
  const branch = (name: string, nodes: readonly Message[]): Message => {
    const graph = new Message();
    for (const part of nodes) {
      graph.message(1, part);
    }
    graph.text(2, `${scope}/${name}`);
    for (const i of outputs.keys()) {
      const tensor = new Message().number(1, FLOAT);
      const value = new Message().text(1, `${scope}/${name}_${i}`);
      graph.message(12, value.message(2, new Message().message(1, tensor)));
    }
    return attribute(`${name}_branch`, GRAPH_ATTRIBUTE).message(6, graph);
  };
  return node("If", [`${PREFIX}/first`], outputs)
    .message(NODE_ATTRIBUTE, branch("then", plainNodes(scope, attention, headDim)))
    .message(NODE_ATTRIBUTE, branch("else", [otherwise]));
}

//  packed ── Split ─┬─ (rotate q, k) ── heads first ── q k^T / sqrt d + mask ── Softmax ── v ── y
//  or q, k and v ──┘
// q [batch, kv_heads, group * rows, d]; k and v, which become the cache, [batch, kv_heads, rows, d].
function plainNodes(scope: string, attention: Attention, headDim: number): Message[] {
  const { inputs, heads, keyValueHeads } = attention;
  const name = (part: string): string => `${scope}/${part}`;
  const [first, second, third, , , , , cos, sin] = inputs as [string, string, string, ...string[]];
  const [key, value] = [name("then_1"), name("then_2")];
  const packed = second === "";
  const [q, k, v] = packed ? [name("q"), name("k"), name("v")] : [first, second, third];
  const split = [
    integers(name("widths"), heads * headDim, keyValueHeads * headDim, keyValueHeads * headDim),
    node("Split", [first, name("widths")], [q, k, v], { integers: { axis: 2 } }),
  ];
  const heads4 = (from: string, to: string, count: number): Message[] => [
    integers(name(`${to}_shape`), 0, 0, count, headDim),
    node("Reshape", [from, name(`${to}_shape`)], [name(to)]),
  ];
  const headsFirst = (from: string, to: string): Message =>
    node("Transpose", [from], [to], { lists: { perm: [0, 2, 1, 3] } });
  const rotate = (from: string, to: string): Message =>
    cos === undefined || sin === undefined
      ? node("Identity", [from], [to])
      : node("RotaryEmbedding", [from, `${PREFIX}/zero`, cos, sin], [to], { domain: MICROSOFT });
  const scale = { integers: { transB: 1 }, floats: { alpha: 1 / Math.sqrt(headDim) } };
  return [
    ...(packed ? split : []),
    rotate(q, name("q_turned")),
    rotate(k, name("k_turned")),
    ...heads4(name("q_turned"), "q_heads", heads),
    ...heads4(name("k_turned"), "k_heads", keyValueHeads),
    ...heads4(v, "v_heads", keyValueHeads),
    headsFirst(name("q_heads"), name("q_first")),
    headsFirst(name("k_heads"), key),
    headsFirst(name("v_heads"), value),
    integers(name("grouped_shape"), 0, keyValueHeads, -1, headDim),
    node("Reshape", [name("q_first"), name("grouped_shape")], [name("grouped")]),
    node("FusedMatMul", [name("grouped"), key], [name("scores")], { domain: MICROSOFT, ...scale }),
    node("Add", [name("scores"), `${PREFIX}/mask`], [name("masked")]),
    node("Softmax", [name("masked")], [name("weights")], { integers: { axis: -1 } }),
    node("MatMul", [name("weights"), value], [name("attended")]),
    integers(name("ungrouped_shape"), 0, heads, -1, headDim),
    node("Reshape", [name("attended"), name("ungrouped_shape")], [name("ungrouped")]),
    headsFirst(name("ungrouped"), name("joined")),
    integers(name("joined_shape"), 0, 0, heads * headDim),
    node("Reshape", [name("joined"), name("joined_shape")], [name("then_0")]),
  ];
}
