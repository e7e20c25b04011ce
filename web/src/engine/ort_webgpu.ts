// The engine on onnxruntime-web's WebGPU build. The cache and the image tokens stay on the device.
import type { InferenceSession, Tensor } from "onnxruntime-web";
import type { Pieces } from "../loading/pieces.js";
import { requireServed } from "../loading/served.js";
import type { Logits, ModelShape, ModelSource } from "./engine_api.js";
import { halvesToFloats } from "./half.js";
import { type Floats, type GraphBytes, OrtEngine, type Session } from "./ort_engine.js";
import { type Port, requireVocabulary } from "./ports.js";

type Ort = typeof import("onnxruntime-web");

export class WebGpuEngine extends OrtEngine<Tensor> {
  protected readonly memory = undefined;
  private readonly ort: Ort;
  private readonly wasm: string;

  /** `wasm`: the address of the engine's WebAssembly. */
  constructor(ort: Ort, shape: ModelShape, threads: number, wasm: string) {
    super(shape);
    ort.env.logLevel = "error";
    ort.env.wasm.numThreads = threads;
    ort.env.wasm.wasmPaths = { wasm };
    this.ort = ort;
    this.wasm = wasm;
  }

  protected async open(
    _: ModelSource,
    { model, weights }: GraphBytes,
    keptInside: readonly string[],
  ): Promise<Session<Tensor>> {
    const whole = (file: Pieces): Uint8Array => file.read(0, file.size);
    const options: InferenceSession.SessionOptions = {
      executionProviders: ["webgpu"],
      graphOptimizationLevel: "all",
      externalData: Array.from(weights, ([path, bytes]) => ({ path, data: whole(bytes) })),
      preferredOutputLocation: Object.fromEntries(
        keptInside.map((name) => [name, "gpu-buffer" as const]),
      ),
    };
    try {
      return sessionOf(await this.ort.InferenceSession.create(whole(model), options));
    } catch (error) {
      await requireServed([this.wasm]); // it is fetched with the first session
      throw error;
    }
  }

  protected tensor(
    type: "float32" | "float16" | "int64" | "bool",
    dims: readonly number[],
    values: Float32Array | Uint16Array | BigInt64Array | Uint8Array,
  ): Tensor {
    return new this.ort.Tensor(type as "float32", values as Float32Array, dims);
  }

  protected release(tensor: Tensor): void {
    tensor.dispose();
  }

  protected floats({ data, dims }: Tensor): Floats {
    return { dims, values: toFloats(data).slice() };
  }

  protected readLogits({ data, dims }: Tensor, rows: number): Logits {
    requireVocabulary(dims, rows, this.shape);
    return toFloats(data);
  }

  protected async rowsOf(
    tensors: readonly Tensor[],
    parents: readonly number[],
  ): Promise<Tensor[]> {
    const device: GPUDevice = await this.ort.env.webgpu.device;
    const commands = device.createCommandEncoder();
    const made = tensors.map((tensor) => rowsOnDevice(this.ort, device, commands, tensor, parents));
    device.queue.submit([commands.finish()]);
    return made;
  }
}

function sessionOf(session: InferenceSession): Session<Tensor> {
  const ports = (all: readonly InferenceSession.ValueMetadata[]): Port[] =>
    all.map((port) => ({
      name: port.name,
      type: port.isTensor ? port.type : "other",
      dims: port.isTensor ? port.shape : [],
    }));
  return {
    inputs: ports(session.inputMetadata),
    outputs: ports(session.outputMetadata),
    run: async (inputs, outputs) => {
      const found = await session.run(Object.fromEntries(inputs));
      return outputs.map((name) => found[name] as Tensor);
    },
    release: () => session.release(),
  };
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

// Buffers are read in units of 16 bytes by the engine.
function rowsOnDevice(
  ort: Ort,
  device: GPUDevice,
  commands: GPUCommandEncoder,
  tensor: Tensor,
  parents: readonly number[],
): Tensor {
  const dataType = tensor.type as "float32" | "float16";
  const dims = [parents.length, ...tensor.dims.slice(1)];
  const values = tensor.dims.slice(1).reduce((product, size) => product * size, 1);
  const size = values * (dataType === "float16" ? 2 : 4);
  const buffer = device.createBuffer({
    size: Math.ceil((size * parents.length) / 16) * 16,
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
  });
  for (const [row, parent] of parents.entries()) {
    commands.copyBufferToBuffer(tensor.gpuBuffer, parent * size, buffer, row * size, size);
  }
  return ort.Tensor.fromGpuBuffer(buffer, { dataType, dims, dispose: () => buffer.destroy() });
}
