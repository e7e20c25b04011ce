// An engine that is not ONNX Runtime: its "graph" is a table of logits by step and last token, which the vectors of
// beams.json were made with (tests/oracle/make_generation.py).
import type {
  EncodedImage,
  Engine,
  Logits,
  ModelSource,
  Sequences,
} from "../../src/engine/engine_api.js";
import { toScores } from "./generation.js";

export interface Table {
  readonly start: number;
  readonly eos_token_ids: readonly number[];
  readonly max_new_tokens: number;
  readonly logits: readonly (readonly (readonly (number | null)[])[])[];
}

interface Rows extends Sequences {
  readonly ids: readonly (readonly number[])[];
}

export class TableEngine implements Engine {
  /** Images and sequences that nobody has disposed of. */
  alive = 0;
  /** Of each prefill. */
  readonly begun: (readonly number[])[] = [];
  readonly loaded: string[] = [];
  private table: Table | undefined;

  async read(source: ModelSource): Promise<() => Promise<void>> {
    const file = await source.read(source.graph.path);
    const text = new TextDecoder().decode(file.read(0, file.size));
    return async () => {
      this.loaded.push(source.role);
      if (source.role === "decoder") {
        this.table = JSON.parse(text);
      }
    };
  }

  async encode(): Promise<EncodedImage> {
    this.alive += 1;
    return { dispose: this.disposal() };
  }

  async prefill(_: EncodedImage, ids: readonly number[]): Promise<[Sequences, Logits]> {
    this.begun.push(ids);
    return this.rows([[ids.at(-1) as number]]);
  }

  async step(
    sequences: Sequences,
    parents: readonly number[],
    tokens: readonly number[],
  ): Promise<[Sequences, Logits]> {
    const { ids } = sequences as Rows;
    sequences.dispose();
    return this.rows(parents.map((parent, row) => [...(ids[parent] ?? []), tokens[row] as number]));
  }

  async unload(role: string): Promise<void> {
    this.loaded.splice(this.loaded.indexOf(role), 1);
  }

  async dispose(): Promise<void> {
    this.table = undefined;
  }

  private rows(ids: readonly (readonly number[])[]): [Rows, Logits] {
    const { logits } = this.table as Table;
    const scores = ids.map((row) => logits[row.length - 1]?.[row.at(-1) as number] ?? []);
    this.alive += 1;
    return [{ rows: ids.length, ids, dispose: this.disposal() }, toScores(scores.flat())];
  }

  private disposal(): () => void {
    let done = false;
    return () => {
      this.alive -= done ? 0 : 1;
      done = true;
    };
  }
}
