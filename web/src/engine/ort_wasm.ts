// The engine on onnxruntime-web's CPU build. Tensors stay in the engine's heap; logits are copied out.
import type { PieceMemory } from "../loading/pieces.js";
import type { Logits, ModelShape, ModelSource } from "./engine_api.js";
import { halvesToFloats } from "./half.js";
import { splitGraph } from "./onnx_file.js";
import { type Floats, type GraphBytes, OrtEngine } from "./ort_engine.js";
import { type ElementType, type HeapTensor, OrtHeap } from "./ort_heap.js";
import { HeapFile } from "./ort_heap_file.js";
import type { OrtFactory } from "./ort_module.js";
import { OrtSession } from "./ort_session.js";
import { requireVocabulary } from "./ports.js";

// Weights that stand in the graph file itself; a bundle's other files end in .onnx_data.
const OWN_WEIGHTS = "graph";

export class WasmEngine extends OrtEngine<HeapTensor> {
  protected readonly memory: PieceMemory;
  private readonly heap: OrtHeap;
  private logits: Float32Array<ArrayBuffer> = new Float32Array(0);

  private constructor(heap: OrtHeap, shape: ModelShape) {
    super(shape);
    this.heap = heap;
    this.memory = heap.memory;
  }

  static async start(
    factory: OrtFactory,
    shape: ModelShape,
    threads: number,
    wasm: string,
  ): Promise<WasmEngine> {
    return new WasmEngine(await OrtHeap.start(factory, threads, wasm), shape);
  }

  protected async open(source: ModelSource, bytes: GraphBytes): Promise<OrtSession> {
    const session = await this.openOnce(bytes, false);
    // A freed weight was requested again: load once more, and free nothing before everything is read.
    return session ?? ((await this.openOnce(await this.readBytes(source), true)) as OrtSession);
  }

  // undefined: a weight was requested again; never where weights are kept.
  private async openOnce(
    { model, weights }: GraphBytes,
    keep: boolean,
  ): Promise<OrtSession | undefined> {
    const split = splitGraph(model, OWN_WEIGHTS, this.shape.headDim);
    const mounted = new Map<string, HeapFile>();
    try {
      for (const [name, ranges] of split.weights) {
        const file = name === OWN_WEIGHTS ? model : weights.get(name);
        if (file !== undefined) {
          mounted.set(name, new HeapFile(this.heap, file, ranges, keep));
        }
      }
      return await OrtSession.open(this.heap, split.graph, mounted);
    } catch (error) {
      if (keep || [...mounted.values()].every(({ missed }) => !missed)) {
        throw error;
      }
      return undefined;
    } finally {
      for (const file of mounted.values()) {
        file.dispose();
      }
    }
  }

  protected tensor(
    type: ElementType,
    dims: readonly number[],
    { buffer, byteOffset, byteLength }: ArrayBufferView,
  ): HeapTensor {
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    return this.heap.tensor(type, dims, (to) => to.set(bytes));
  }

  protected release(tensor: HeapTensor): void {
    this.heap.release(tensor);
  }

  protected floats(tensor: HeapTensor): Floats {
    const { type, dims, bytes } = this.heap.view(tensor);
    const copy = bytes.slice().buffer;
    return {
      dims,
      values: type === "float16" ? halvesToFloats(new Uint16Array(copy)) : new Float32Array(copy),
    };
  }

  protected readLogits(tensor: HeapTensor, rows: number): Logits {
    const { type, dims, bytes } = this.heap.view(tensor);
    requireVocabulary(dims, rows, this.shape);
    if (type === "float16") {
      return halvesToFloats(new Uint16Array(bytes.slice().buffer));
    }
    if (this.logits.byteLength !== bytes.length) {
      this.logits = new Float32Array(bytes.length / 4);
    }
    new Uint8Array(this.logits.buffer).set(bytes);
    return this.logits;
  }

  protected async rowsOf(
    tensors: readonly HeapTensor[],
    parents: readonly number[],
  ): Promise<HeapTensor[]> {
    const made: HeapTensor[] = [];
    try {
      for (const tensor of tensors) {
        const { type, dims, bytes } = this.heap.view(tensor);
        const size = bytes.length / (dims[0] as number);
        const fill = (to: Uint8Array): void => {
          for (const [row, parent] of parents.entries()) {
            to.set(bytes.subarray(parent * size, (parent + 1) * size), row * size);
          }
        };
        made.push(this.heap.tensor(type, [parents.length, ...dims.slice(1)], fill));
      }
      return made;
    } catch (error) {
      for (const tensor of made) {
        this.heap.release(tensor);
      }
      throw error;
    }
  }
}
