// The engine on onnxruntime-web's WebGPU build. Graphs as in engine_wasm.ts. The cache and the image
// tokens stay on the device; of each step only the logits come back.
import type { InferenceSession, Tensor } from "onnxruntime-web";
import { asLorapressError, fail } from "../errors.js";
import type { Pieces } from "../loading/pieces.js";
import { requireServed } from "../loading/served.js";
import type {
  EncodedImage,
  Engine,
  GraphBytes,
  Logits,
  ModelShape,
  Sequences,
} from "./engine_api.js";
import { halvesToFloats } from "./half.js";
import { requireNames, requireSameCache, requireVocabulary } from "./ports.js";

type Ort = typeof import("onnxruntime-web");
type Feeds = Record<string, Tensor>;

class OrtImage implements EncodedImage {
  readonly tensor: Tensor;

  constructor(tensor: Tensor) {
    this.tensor = tensor;
  }

  dispose(): void {
    this.tensor.dispose();
  }
}

class OrtSequences implements Sequences {
  readonly rows: number;
  readonly cache: readonly Tensor[];
  /** One copy per row: the decoder asks for it in every step, though it reads it in the first only. */
  readonly images: Tensor;
  /** Whether `images` is this object's to free, or the caption's. */
  readonly ownsImages: boolean;

  constructor(rows: number, cache: readonly Tensor[], images: Tensor, ownsImages: boolean) {
    this.rows = rows;
    this.cache = cache;
    this.images = images;
    this.ownsImages = ownsImages;
  }

  dispose(): void {
    for (const tensor of this.cache) {
      tensor.dispose();
    }
    if (this.ownsImages) {
      this.images.dispose();
    }
  }
}

export class WebGpuEngine implements Engine {
  readonly device = "webgpu" as const;
  readonly threads: number;
  private readonly ort: Ort;
  private readonly wasm: string;
  private readonly shape: ModelShape;
  private readonly pastNames: string[] = [];
  private readonly presentNames: string[] = [];
  private encoder: InferenceSession | undefined;
  private decoder: InferenceSession | undefined;
  private cacheType: "float32" | "float16" = "float32";
  private turn: Promise<unknown> = Promise.resolve();

  /** `wasm`: the address of the engine's WebAssembly. */
  constructor(ort: Ort, shape: ModelShape, threads: number, wasm: string) {
    ort.env.logLevel = "error";
    ort.env.wasm.numThreads = threads;
    ort.env.wasm.wasmPaths = { wasm };
    this.ort = ort;
    this.wasm = wasm;
    this.threads = threads;
    this.shape = shape;
    for (let layer = 0; layer < shape.numLayers; ++layer) {
      for (const which of ["key", "value"]) {
        this.pastNames.push(`past_key_values.${layer}.${which}`);
        this.presentNames.push(`present.${layer}.${which}`);
      }
    }
  }

  loadEncoder(graph: GraphBytes): Promise<void> {
    return this.inTurn("cannot load the encoder", async () => {
      const session = await this.open(graph, ["last_hidden_state"]);
      this.encoder = session;
      requireNames(portsOf(session), "encoder", ["pixel_values"], ["last_hidden_state"]);
    });
  }

  loadDecoder(graph: GraphBytes): Promise<void> {
    return this.inTurn("cannot load the decoder", async () => {
      const session = await this.open(graph, this.presentNames);
      this.decoder = session;
      const inputs = ["input_ids", "encoder_hidden_states", ...this.pastNames];
      requireNames(portsOf(session), "decoder", inputs, ["logits", ...this.presentNames]);
      this.cacheType = this.requireCachePort(session);
    });
  }

  encode(pixels: Float32Array): Promise<EncodedImage> {
    return this.inTurn("the encoder failed", async () => {
      const session = this.encoder ?? fail("runtime", "the encoder is not loaded");
      const [height, width] = this.shape.imageSize;
      const input = new this.ort.Tensor("float32", pixels, [1, 3, height, width]);
      const outputs = await session.run({ pixel_values: input });
      return new OrtImage(outputs["last_hidden_state"] as Tensor);
    });
  }

  prefill(image: EncodedImage, prompt: readonly number[]): Promise<[Sequences, Logits]> {
    return this.inTurn("the decoder failed", async () => {
      const { tensor } = image as OrtImage;
      const { numKeyValueHeads, headDim, startTokenId } = this.shape;
      const dims = [1, numKeyValueHeads, 0, headDim];
      const nothing = this.cacheType === "float16" ? new Uint16Array(0) : new Float32Array(0);
      const cache = this.pastNames.map(() => new this.ort.Tensor(this.cacheType, nothing, dims));
      const ids = [startTokenId, ...prompt];
      return this.run(new OrtSequences(1, cache, tensor, false), ids);
    });
  }

  step(
    sequences: Sequences,
    parents: readonly number[],
    tokens: readonly number[],
  ): Promise<[Sequences, Logits]> {
    return this.inTurn("the decoder failed", async () => {
      const ordered = await this.reorder(sequences as OrtSequences, parents);
      return this.run(ordered, tokens);
    });
  }

  async dispose(): Promise<void> {
    const sessions = [this.encoder, this.decoder];
    this.encoder = undefined;
    this.decoder = undefined;
    await this.turn.catch(() => {});
    await Promise.all(sessions.map((session) => session?.release()));
  }

  // One call at a time: onnxruntime-web does not take a second while one runs.
  private inTurn<T>(what: string, task: () => Promise<T>): Promise<T> {
    const mine = this.turn.then(task, task).catch((error: unknown) => {
      throw asLorapressError(error, "runtime", what);
    });
    this.turn = mine.catch(() => {});
    return mine;
  }

  private async open(graph: GraphBytes, onDevice: readonly string[]): Promise<InferenceSession> {
    const whole = (file: Pieces): Uint8Array => file.read(0, file.size);
    const options: InferenceSession.SessionOptions = {
      executionProviders: ["webgpu"],
      graphOptimizationLevel: "all",
      externalData: graph.weights.map(({ name, bytes }) => ({ path: name, data: whole(bytes) })),
      preferredOutputLocation: Object.fromEntries(
        onDevice.map((name) => [name, "gpu-buffer" as const]),
      ),
    };
    try {
      return await this.ort.InferenceSession.create(whole(graph.model), options);
    } catch (error) {
      await requireServed([this.wasm]); // it is fetched with the first session
      throw error;
    }
  }

  // The manifest and the graph must speak of the same cache.
  private requireCachePort(session: InferenceSession): "float32" | "float16" {
    const port = session.inputMetadata.find(({ name }) => name === this.pastNames[0]);
    if (port?.isTensor !== true || (port.type !== "float32" && port.type !== "float16")) {
      fail("unsupported", `the decoder's ${this.pastNames[0]} is no float tensor`);
    }
    requireSameCache(port.shape, this.shape);
    return port.type;
  }

  // `ids`: the prompt of one row, or one id per row. The sequences are used up, whatever happens.
  private async run(
    sequences: OrtSequences,
    ids: readonly number[],
  ): Promise<[OrtSequences, Logits]> {
    const { rows, cache, images, ownsImages } = sequences;
    try {
      const session = this.decoder ?? fail("runtime", "the decoder is not loaded");
      const feeds: Feeds = {
        input_ids: new this.ort.Tensor("int64", BigInt64Array.from(ids, BigInt), [
          rows,
          ids.length / rows,
        ]),
        encoder_hidden_states: images,
      };
      for (const [i, name] of this.pastNames.entries()) {
        feeds[name] = cache[i] as Tensor;
      }
      const outputs = await session.run(feeds);
      const next = this.presentNames.map((name) => outputs[name] as Tensor);
      const logits = this.logitsOf(outputs["logits"] as Tensor, rows);
      for (const tensor of cache) {
        tensor.dispose();
      }
      return [new OrtSequences(rows, next, images, ownsImages), logits];
    } catch (error) {
      sequences.dispose();
      throw error;
    }
  }

  private logitsOf(tensor: Tensor, rows: number): Logits {
    const { data, dims } = tensor;
    requireVocabulary(dims, rows, this.shape);
    return toFloats(data);
  }

  private async reorder(
    sequences: OrtSequences,
    parents: readonly number[],
  ): Promise<OrtSequences> {
    const { rows, cache, images, ownsImages } = sequences;
    if (parents.length === rows && parents.every((parent, row) => parent === row)) {
      return sequences;
    }
    try {
      const device = await this.ort.env.webgpu.device;
      const take = rowTaker(this.ort, device, parents);
      const next = cache.map(take.rows);
      // All rows see the same image, so only their number matters.
      const nextImages = parents.length === rows ? images : take.rows(images);
      take.finish();
      for (const tensor of cache) {
        tensor.dispose();
      }
      if (nextImages !== images && ownsImages) {
        images.dispose();
      }
      const owns = nextImages !== images || ownsImages;
      return new OrtSequences(parents.length, next, nextImages, owns);
    } catch (error) {
      sequences.dispose();
      throw error;
    }
  }
}

function portsOf(session: InferenceSession): Parameters<typeof requireNames>[0] {
  const { inputNames, outputNames } = session;
  const named = (names: readonly string[]): { name: string }[] => names.map((name) => ({ name }));
  return { inputs: named(inputNames), outputs: named(outputNames) };
}

// Engines with Float16Array give one; others the bits.
function toFloats(data: Tensor["data"]): Float32Array {
  if (data instanceof Float32Array) {
    return data;
  }
  if (data instanceof Uint16Array) {
    return halvesToFloats(data);
  }
  return Float32Array.from(data as unknown as ArrayLike<number>);
}

interface RowTaker {
  /** A new tensor whose row i is row parents[i] of the old one. */
  readonly rows: (tensor: Tensor) => Tensor;
  readonly finish: () => void;
}

function rowTaker(ort: Ort, device: GPUDevice | undefined, parents: readonly number[]): RowTaker {
  const commands = device?.createCommandEncoder();
  const rows = (tensor: Tensor): Tensor => {
    const dims = [parents.length, ...tensor.dims.slice(1)];
    return tensor.location === "gpu-buffer" && device !== undefined && commands !== undefined
      ? rowsOnDevice(ort, device, commands, tensor, parents, dims)
      : rowsInMemory(ort, tensor, parents, dims);
  };
  return {
    rows,
    finish: () => {
      if (device !== undefined && commands !== undefined) {
        device.queue.submit([commands.finish()]);
      }
    },
  };
}

function rowsInMemory(
  ort: Ort,
  tensor: Tensor,
  parents: readonly number[],
  dims: number[],
): Tensor {
  const from = tensor.data as Float32Array;
  const size = from.length / (tensor.dims[0] as number);
  const to = new (from.constructor as Float32ArrayConstructor)(size * parents.length);
  for (const [row, parent] of parents.entries()) {
    to.set(from.subarray(parent * size, (parent + 1) * size), row * size);
  }
  return new ort.Tensor(tensor.type as "float32", to, dims);
}

// Buffers are read in units of 16 bytes by the engine.
function rowsOnDevice(
  ort: Ort,
  device: GPUDevice,
  commands: GPUCommandEncoder,
  tensor: Tensor,
  parents: readonly number[],
  dims: number[],
): Tensor {
  const type = tensor.type as "float32" | "float16";
  const values = tensor.dims.slice(1).reduce((product, size) => product * size, 1);
  const size = values * (type === "float16" ? 2 : 4);
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const buffer = device.createBuffer({
    size: Math.ceil((size * parents.length) / 16) * 16,
    usage,
  });
  for (const [row, parent] of parents.entries()) {
    commands.copyBufferToBuffer(tensor.gpuBuffer, parent * size, buffer, row * size, size);
  }
  return ort.Tensor.fromGpuBuffer(buffer, {
    dataType: type,
    dims,
    dispose: () => buffer.destroy(),
  });
}
