// The project's own engine as WebAssembly: what src/engine/module/module.h exports, as far as it is used here, and what
// it imports. Pointers and handles are numbers; 0 is none.
import { type ErrorCode, fail } from "../errors.js";

export interface NativeExports {
  readonly memory: WebAssembly.Memory;
  readonly __stack_pointer?: WebAssembly.Global;
  _initialize(): void;
  lp_version(): number;
  lp_error(): number;
  lp_allocate(bytes: number): number;
  lp_free(at: number): void;
  lp_bytes(): number;
  lp_threads(count: number): void;
  lp_worker_stack(index: number): number;
  lp_worker_run(index: number): void;
  lp_open(...shape: readonly number[]): number;
  lp_file(name: number, size: number): number;
  lp_load(part: number): number;
  lp_unload(part: number): void;
  lp_encode(pixels: number, tiles: number): number;
  lp_image(positions: number, width: number): number;
  lp_image_data(image: number): number;
  lp_image_positions(image: number): number;
  lp_image_width(image: number): number;
  lp_free_image(image: number): void;
  lp_prefill(image: number, ids: number, count: number, room: number): number;
  lp_step(sequences: number, parents: number, tokens: number, rows: number): number;
  lp_logits(sequences: number): number;
  lp_free_sequences(sequences: number): void;
}

export const VERSION = 1;
export const INITIAL_PAGES = 64;
export const MOST_THREADS = 16;

export const PARTS = { encoder: 0, embeddings: 1, decoder: 2 } as const;

/** Of lp_problem. */
const PROBLEMS: readonly ErrorCode[] = ["unsupported", "invalid_file", "runtime", "mismatch"];

/** What the first thread's instance calls. */
export interface NativeHost {
  /** Bytes of a file that is being loaded, to an address. */
  read(file: number, offset: number, to: number, bytes: number): void;
  /** These bytes are not read again. */
  done(file: number, begin: number, end: number): void;
  textAt(at: number): string;
}

export function importsOf(
  host: NativeHost | undefined,
  memory: WebAssembly.Memory | undefined,
): WebAssembly.Imports {
  const never = (): void => {};
  return {
    lorapress: {
      read: host ? host.read.bind(host) : never,
      done: host ? host.done.bind(host) : never,
      refused: (problem: number, text: number) =>
        fail(PROBLEMS[problem] ?? "runtime", host?.textAt(text) ?? "a thread failed"),
      now: () => performance.now(),
    },
    ...(memory && { env: { memory } }),
  };
}
