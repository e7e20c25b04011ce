// What the engine feeds a decoder in each call, and that it frees every tensor once: over sessions that are no graphs.
import { expect, it } from "vitest";
import type { ModelShape, ModelSource } from "../src/engine/engine_api.js";
import { OrtEngine, type Session } from "../src/engine/ort_engine.js";
import { cachePorts, crossCachePorts, PORTS } from "../src/engine/ports.js";

const SHAPE: ModelShape = {
  imageSize: [2, 2],
  vocabSize: 3,
  numHiddenLayers: 2,
  numKeyValueHeads: 1,
  headDim: 4,
};

interface FakeTensor {
  readonly name: string;
  readonly dims: readonly number[];
}
interface Call {
  readonly inputs: ReadonlyMap<string, FakeTensor>;
  readonly outputs: readonly string[];
}

class FakeEngine extends OrtEngine<FakeTensor> {
  protected readonly memory = undefined;
  readonly alive = new Set<FakeTensor>();
  readonly calls: Call[] = [];
  /** The run that fails, counted from 0. */
  failing = Number.POSITIVE_INFINITY;

  protected async open(source: ModelSource): Promise<Session<FakeTensor>> {
    const { own, states } = crossCachePorts(SHAPE.numHiddenLayers);
    const caches = this.shape.crossAttention ? [own, states] : [cachePorts(SHAPE.numHiddenLayers)];
    const port = (name: string) => ({ name, type: "float32", dims: ["batch_size", 1, "n", 4] });
    const decoder = source.role === "decoder";
    const { inputs, outputs } = decoder ? PORTS.decoder : PORTS.encoder;
    const past = decoder ? caches.flatMap((cache) => cache.past) : [];
    const present = decoder ? caches.flatMap((cache) => cache.present) : [];
    return {
      inputs: [...inputs, ...past].map(port),
      outputs: [...outputs, ...present].map(port),
      run: async (inputs, outputs) => {
        const given = new Map(inputs);
        expect(inputs.every(([, tensor]) => this.alive.has(tensor))).toBe(true);
        if (this.calls.push({ inputs: given, outputs }) > this.failing) {
          throw new Error("the run failed");
        }
        const rows = given.get("input_ids")?.dims[0] ?? 1;
        return outputs.map((name) => this.made(name, [rows, 1, 3, 4]));
      },
      release: () => {},
    };
  }

  made(name: string, dims: readonly number[]): FakeTensor {
    const tensor = { name, dims };
    this.alive.add(tensor);
    return tensor;
  }

  protected tensor(type: string, dims: readonly number[]): FakeTensor {
    return this.made(type, dims);
  }

  protected release(tensor: FakeTensor): void {
    expect(this.alive.delete(tensor), `${tensor.name} is freed twice`).toBe(true);
  }

  protected floats(): never {
    throw new Error("not used");
  }

  protected readLogits(_: FakeTensor, rows: number): Float32Array {
    return new Float32Array(rows * SHAPE.vocabSize);
  }

  protected async rowsOf(tensors: readonly FakeTensor[], parents: readonly number[]) {
    return tensors.map(({ name, dims }) => this.made(name, [parents.length, ...dims.slice(1)]));
  }
}

async function opened(crossAttention: boolean): Promise<FakeEngine> {
  const engine = new FakeEngine({ ...SHAPE, crossAttention });
  const graph = {
    path: "x",
    externalData: [],
    cacheDtype: "float32",
    inPlaceCache: false,
    integerProducts: false,
  } as const;
  for (const role of ["encoder", "decoder"] as const) {
    const load = await engine.read({
      role,
      graph,
      read: async () => undefined as never,
      chunks: async () => {},
      free: () => {},
    });
    await load();
  }
  return engine;
}

// One caption: two beams that change places, one that ends.
async function caption(engine: FakeEngine): Promise<void> {
  const image = await engine.encode(new Float32Array(12));
  try {
    let [sequences] = await engine.prefill(image, [0, 1]);
    for (const parents of [[0, 0], [0, 1], [1, 0], [1]]) {
      [sequences] = await engine.step(
        sequences,
        parents,
        parents.map(() => 2),
      );
      expect(sequences.rows).toBe(parents.length);
    }
    sequences.dispose();
  } finally {
    image.dispose();
  }
}

for (const cross of [false, true]) {
  const name = cross ? "cross attention" : "a prefix";
  it(`frees every tensor of captions with ${name}, also where a run fails`, async () => {
    const whole = await opened(cross);
    await caption(whole);
    expect(whole.alive.size).toBe(0);
    expect(whole.calls.length).toBe(6);
    for (let failing = 0; failing < whole.calls.length; ++failing) {
      const engine = await opened(cross);
      engine.failing = failing;
      await expect(caption(engine)).rejects.toThrow("the run failed");
      expect(engine.alive.size, `failing run ${failing}`).toBe(0);
    }
  });
}

it("computes keys and values of the image once, and gives later calls a copy per row", async () => {
  const engine = await opened(true);
  await caption(engine);
  const { own, states } = crossCachePorts(SHAPE.numHiddenLayers);
  const [, first, ...later] = engine.calls as [Call, Call, ...Call[]];
  expect(first.outputs).toEqual(["logits", ...own.present, ...states.present]);
  for (const name of [...own.past, ...states.past]) {
    expect(first.inputs.get(name)?.dims, name).toEqual([1, 1, 0, 4]);
  }
  expect(later.map(({ outputs }) => outputs)).toEqual(later.map(() => ["logits", ...own.present]));
  for (const [i, rows] of [2, 2, 2, 1].entries()) {
    const { inputs } = later[i] as Call;
    expect(inputs.get("encoder_hidden_states")?.dims[0]).toBe(rows);
    for (const [at, name] of states.past.entries()) {
      expect(inputs.get(name), name).toMatchObject({
        name: states.present[at],
        dims: [rows, 1, 3, 4],
      });
    }
  }
});
