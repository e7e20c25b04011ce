// The project's own engine, over one instance of its WebAssembly, or two: an encoder that is not kept and is loaded beside a decoder
// has one of its own, whose memory the browser may take back.
import { fail } from "../errors.js";
import type { Role } from "../loading/graph_files.js";
import type {
  EncodedImage,
  Engine,
  Logits,
  ModelShape,
  ModelSource,
  Sequences,
} from "./engine_api.js";
import { type NativeInstance, receiveFiles } from "./native_instance.js";
import { PARTS } from "./native_module.js";

interface Handle {
  readonly handle: number;
}

export class NativeEngine implements Engine {
  private readonly shape: ModelShape;
  private readonly keepEncoder: boolean;
  private readonly startOther: () => Promise<NativeInstance>;
  private readonly main: NativeInstance;
  private decodes = false;
  /** Of its own, or `main`. */
  private encoder: NativeInstance | undefined;
  /** An encoder's own instance without its weights, until the garbage collector takes it: of two there would be two memories. */
  private resting: WeakRef<NativeInstance> | undefined;

  private constructor(
    shape: ModelShape,
    keepEncoder: boolean,
    startOther: () => Promise<NativeInstance>,
    main: NativeInstance,
  ) {
    this.shape = shape;
    this.keepEncoder = keepEncoder;
    this.startOther = startOther;
    this.main = main;
  }

  /** `start` makes an instance. */
  static async start(
    shape: ModelShape,
    keepEncoder: boolean,
    start: () => Promise<NativeInstance>,
  ): Promise<NativeEngine> {
    return new NativeEngine(shape, keepEncoder, start, await start());
  }

  /** Bytes that the engine holds: weights, caches and buffers. */
  get held(): number {
    const other = this.encoder === this.main ? undefined : this.encoder;
    return this.main.held + (other?.held ?? 0);
  }

  async read(source: ModelSource): Promise<() => Promise<void>> {
    const files = await receiveFiles(source); // requested at once, in the order of the calls
    return async () => {
      if (source.role === "encoder") {
        this.encoder = await this.encoderInstance();
        this.encoder.load(PARTS.encoder, files);
      } else {
        this.main.load(PARTS[source.role], files);
        this.decodes ||= source.role === "decoder";
      }
    };
  }

  async encode(pixels: Float32Array): Promise<EncodedImage> {
    const instance = this.encoder ?? fail("runtime", "the encoder is not loaded");
    const [height, width] = this.shape.imageSize ?? fail("runtime", "the model takes no image");
    const tiles = pixels.length / (3 * height * width);
    let handle = instance.lend(pixels, (at) =>
      instance.call("runtime", (engine) => engine.lp_encode(at, tiles)),
    );
    if (instance !== this.main) {
      handle = this.moved(instance, handle);
    }
    return this.lent(handle, (engine) => engine.lp_free_image);
  }

  async prefill(
    image: EncodedImage | undefined,
    ids: readonly number[],
    room: number,
  ): Promise<[Sequences, Logits]> {
    const seen = (image as (EncodedImage & Handle) | undefined)?.handle ?? 0;
    const handle = this.main.lend(Int32Array.from(ids), (at) =>
      this.main.call("mismatch", (engine) => engine.lp_prefill(seen, at, ids.length, room)),
    );
    return this.sequences(handle, 1);
  }

  async step(
    sequences: Sequences,
    parents: readonly number[],
    tokens: readonly number[],
  ): Promise<[Sequences, Logits]> {
    const { handle } = sequences as Sequences & Handle;
    const rows = parents.length;
    try {
      this.main.lend(Int32Array.from([...parents, ...tokens]), (at) =>
        this.main.call("runtime", (engine) => engine.lp_step(handle, at, at + 4 * rows, rows)),
      );
    } catch (error) {
      sequences.dispose();
      throw error;
    }
    return this.sequences(handle, rows);
  }

  async unload(role: Role): Promise<void> {
    const instance = role === "encoder" ? this.encoder : this.main;
    instance?.use((engine) => engine.lp_unload(PARTS[role]));
    this.decodes &&= role !== "decoder";
    if (role === "encoder") {
      this.resting = instance && instance !== this.main ? new WeakRef(instance) : this.resting;
      this.encoder = undefined;
    }
  }

  async dispose(): Promise<void> {
    for (const instance of [this.resting?.deref(), this.encoder, this.main]) {
      instance?.dispose();
    }
  }

  // Where there is no decoder yet, its weights take the place of the encoder's.
  private async encoderInstance(): Promise<NativeInstance> {
    const shared = this.keepEncoder || !this.decodes;
    return shared ? this.main : (this.resting?.deref() ?? (await this.startOther()));
  }

  /** The features of an image of the encoder's own instance, in the decoder's. */
  private moved(from: NativeInstance, image: number): number {
    const [positions, width] = from.use((engine) => [
      engine.lp_image_positions(image),
      engine.lp_image_width(image),
    ]) as [number, number];
    const handle = this.main.call("runtime", (engine) => engine.lp_image(positions, width));
    const data = (instance: NativeInstance, of: number): Float32Array =>
      instance.floats(
        instance.use((engine) => engine.lp_image_data(of)),
        positions * width,
      );
    data(this.main, handle).set(data(from, image));
    from.free(image, (engine) => engine.lp_free_image);
    return handle;
  }

  private sequences(handle: number, rows: number): [Sequences, Logits] {
    const at = this.main.use((engine) => engine.lp_logits(handle));
    const logits = this.main.floats(at, rows * this.shape.vocabSize);
    const lent = this.lent(handle, (engine) => engine.lp_free_sequences);
    return [Object.assign(lent, { rows }), logits];
  }

  private lent(
    handle: number,
    by: Parameters<NativeInstance["free"]>[1],
  ): Handle & { dispose(): void } {
    return { handle, dispose: () => this.main.free(handle, by) };
  }
}
