// The project's own engine, and ONNX Runtime from the first graph on that the engine refuses.
import { LorapressError } from "../errors.js";
import type { Role } from "../loading/graph_files.js";
import type { EncodedImage, Engine, Logits, ModelSource, Sequences } from "./engine_api.js";

/** An image of whichever engine there was, and its pixels for the other. */
interface Image extends EncodedImage {
  readonly pixels: Float32Array;
  engine: Engine;
  inner: EncodedImage;
}

export class FallbackEngine implements Engine {
  /** Settled once that engine has everything that was loaded. */
  private engine: Promise<Engine>;
  private readonly startOther: () => Promise<Engine>;
  private readonly note: (text: string) => void;
  private readonly loaded = new Map<Role, ModelSource>();
  /** Also when it is unloaded. */
  private encoder: ModelSource | undefined;
  private fallen = false;

  constructor(engine: Engine, startOther: () => Promise<Engine>, note: (text: string) => void) {
    this.engine = Promise.resolve(engine);
    this.startOther = startOther;
    this.note = note;
  }

  async read(source: ModelSource): Promise<() => Promise<void>> {
    const reader = await this.engine;
    // It may have refused another part meanwhile, and takes no more: whether that matters shows when this part is loaded.
    const load = await reader.read(source).catch((error: unknown) => async () => {
      throw error;
    });
    return async () => {
      const engine = await this.engine;
      await (engine === reader ? this.load(engine, source, load) : loadInto(engine, [source]));
      this.loaded.set(source.role, source);
      this.encoder = this.loaded.get("encoder") ?? this.encoder;
    };
  }

  async encode(pixels: Float32Array): Promise<EncodedImage> {
    const engine = await this.engine;
    const inner = await engine.encode(pixels);
    const image: Image = { pixels, engine, inner, dispose: () => image.inner.dispose() };
    return image;
  }

  async prefill(
    image: EncodedImage | undefined,
    ids: readonly number[],
    room: number,
  ): Promise<[Sequences, Logits]> {
    const engine = await this.engine;
    const seen = image as Image | undefined;
    if (seen !== undefined && seen.engine !== engine) {
      seen.inner.dispose();
      const gone = this.loaded.has("encoder") ? undefined : this.encoder;
      await loadInto(engine, gone ? [gone] : []);
      Object.assign(seen, { engine, inner: await engine.encode(seen.pixels) });
      await (gone && engine.unload("encoder"));
    }
    return engine.prefill(seen?.inner, ids, room);
  }

  async step(
    sequences: Sequences,
    parents: readonly number[],
    tokens: readonly number[],
  ): Promise<[Sequences, Logits]> {
    return (await this.engine).step(sequences, parents, tokens);
  }

  async unload(role: Role): Promise<void> {
    this.loaded.delete(role);
    await (await this.engine).unload(role);
  }

  async dispose(): Promise<void> {
    const engine = await this.engine.catch(() => undefined);
    await engine?.dispose();
  }

  private async load(
    engine: Engine,
    source: ModelSource,
    load: () => Promise<void>,
  ): Promise<void> {
    try {
      await load();
    } catch (error) {
      const refused = error instanceof LorapressError && error.code === "unsupported";
      if (this.fallen || !refused) {
        throw error;
      }
      this.fallen = true;
      this.note(`ONNX Runtime runs this model: ${error.message}`);
      this.engine = this.replace(engine, [...this.loaded.values(), source]);
      await this.engine;
    }
  }

  private async replace(engine: Engine, sources: readonly ModelSource[]): Promise<Engine> {
    await engine.dispose();
    const other = await this.startOther();
    await loadInto(other, sources);
    return other;
  }
}

async function loadInto(engine: Engine, sources: readonly ModelSource[]): Promise<void> {
  for (const source of sources) {
    await (await engine.read(source))();
  }
}
