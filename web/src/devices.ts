// Chooses device and dtype: as the caller says, else as suits this machine.
import { type Device, ENGINES, type EngineName } from "./engine/engine_api.js";
import { fail } from "./errors.js";
import { type Backend, type GraphFile, ROLES, type Role } from "./loading/graph_files.js";
import type { Manifest } from "./loading/manifest.js";

/** One of the folder's dtypes, one per graph, or "auto". */
export type DtypeChoice =
  | string
  | { readonly encoder?: string | undefined; readonly decoder?: string | undefined };

/** Embeddings of tokens are a part of the decoder here; a decoder alone has no encoder, whose dtype is then "". */
export type Dtypes = Readonly<Record<Exclude<Role, "embeddings">, string>>;

export interface DeviceFacts {
  readonly device: Device;
  readonly engine: EngineName;
  /** Half precision in shaders. */
  readonly shaderF16: boolean;
  /** The most WebAssembly threads that there can be. */
  readonly threads: number;
  /** As the browser reports it: rounded and at most 8; undefined where it does not. */
  readonly memoryGiB: number | undefined;
}

const MAX_THREADS = 4;

async function findAdapter(): Promise<GPUAdapter | null> {
  try {
    return (await globalThis.navigator?.gpu?.requestAdapter()) ?? null;
  } catch {
    return null;
  }
}

/**
 * `wanted` "auto": WebGPU on real hardware, else WebAssembly. `engine` "auto": the project's own on CPUs; it alone: no
 * WebGPU.
 */
export async function inspectDevice(
  wanted: Device | "auto",
  threads: number | undefined,
  engine: EngineName | "auto" = "auto",
): Promise<DeviceFacts> {
  if (wanted !== "auto" && wanted !== "wasm" && wanted !== "webgpu") {
    fail("invalid_argument", `device is ${String(wanted)}, expected auto, webgpu or wasm`);
  }
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 64)) {
    fail("invalid_argument", `threads is ${threads}, expected 1 to 64`);
  }
  if (engine !== "auto" && !ENGINES.includes(engine)) {
    fail("invalid_argument", `engine is ${String(engine)}, expected auto, native or ort`);
  }
  if (engine === "native" && wanted === "webgpu") {
    fail("invalid_argument", "engine native runs on CPUs; use device: wasm or auto");
  }
  const onCpu = wanted === "wasm" || engine === "native";
  const adapter = onCpu ? null : await findAdapter();
  if (wanted === "webgpu" && adapter === null) {
    fail("unsupported", "this browser gives no WebGPU adapter; use device: auto or wasm");
  }
  // A software adapter is many times slower than WebAssembly.
  const usable =
    adapter !== null && (wanted === "webgpu" || adapter.info?.isFallbackAdapter !== true);
  const cores = globalThis.navigator?.hardwareConcurrency ?? 1;
  const chosen: EngineName = usable || engine === "ort" ? "ort" : "native";
  // The first thread of the own engine waits for the others, which a page's own must not do.
  const waits = chosen === "ort" || globalThis.document === undefined;
  const several = waits && globalThis.crossOriginIsolated === true;
  return {
    device: usable ? "webgpu" : "wasm",
    engine: chosen,
    shaderF16: usable && adapter.features.has("shader-f16"),
    threads: several ? (threads ?? Math.min(cores, MAX_THREADS)) : 1,
    memoryGiB: (globalThis.navigator as { deviceMemory?: number } | undefined)?.deviceMemory,
  };
}

// A graph that takes a larger share of the machine's memory is used only on request.
const MEMORY_SHARE = 1 / 8;

/** Bytes of a graph and its weights. */
export function graphBytes({ files }: Manifest, { path, externalData }: GraphFile): number {
  return [path, ...externalData].reduce((sum, file) => sum + (files.get(file)?.bytes ?? 0), 0);
}

const nameOf = ({ conditioning }: Manifest, role: Role): string =>
  ROLES[conditioning].find(([known]) => known === role)?.[1] ?? role;

export function graphOf(manifest: Manifest, dtype: string, role: Role): GraphFile {
  const roles = manifest.graphs.get(dtype);
  if (roles === undefined) {
    const known = [...manifest.graphs.keys()].join(", ");
    fail("not_found", `no dtype "${dtype.slice(0, 40)}" in this folder (there are: ${known})`);
  }
  const name = nameOf(manifest, role);
  return (
    roles.get(name) ??
    fail(
      "unsupported",
      `bundle "${manifest.bundle}" has no ${name}; press a transformers.js bundle`,
    )
  );
}

export function chooseDtypes(manifest: Manifest, choice: DtypeChoice, facts: DeviceFacts): Dtypes {
  const wanted = typeof choice === "string" ? { encoder: choice, decoder: choice } : choice;
  const images = manifest.conditioning !== "none";
  if (!images && typeof choice !== "string" && choice.encoder !== undefined) {
    fail("invalid_argument", "dtype names an encoder, and a model of text alone has none");
  }
  const pick = (role: keyof Dtypes): string => {
    const dtype = wanted[role] ?? "auto";
    if (dtype !== "auto") {
      graphOf(manifest, dtype, role);
      return dtype;
    }
    return automatic(manifest, role, facts);
  };
  return { encoder: images ? pick("encoder") : "", decoder: pick("decoder") };
}

/** The graphs that are run, in the order in which they are loaded. */
export function chosenGraphs(
  manifest: Manifest,
  dtypes: Dtypes,
): readonly (readonly [Role, GraphFile])[] {
  return ROLES[manifest.conditioning].map(([role]) => {
    const dtype = dtypes[role === "embeddings" ? "decoder" : role];
    return [role, graphOf(manifest, dtype, role)] as const;
  });
}

function automatic(manifest: Manifest, role: Role, facts: DeviceFacts): string {
  const backend: Backend =
    facts.device === "webgpu" && facts.shaderF16 ? "webgpu_f16" : facts.device;
  const preferred = manifest.preferredDtypes[backend];
  const name = nameOf(manifest, role);
  const there = preferred.filter((dtype) => manifest.graphs.get(dtype)?.has(name));
  const size = (dtype: string): number => graphBytes(manifest, graphOf(manifest, dtype, role));
  const small = [...there].sort((a, b) => size(a) - size(b))[0];
  if (facts.engine === "native" && small !== undefined) {
    return small; // as fast in 4 bit as in 8, and half the download
  }
  const room = (facts.memoryGiB ?? 8) * 2 ** 30 * MEMORY_SHARE;
  return there.find((dtype) => size(dtype) <= room) ?? small ?? manifest.defaultDtype;
}

// Nodes of small graphs take less time than waking a second thread: docs/web-performance.md has figures.
const SMALL_GRAPH_BYTES = 16e6;

/** The number of threads worth using. */
export function chooseThreads(manifest: Manifest, dtypes: Dtypes, facts: DeviceFacts): number {
  const sizes = chosenGraphs(manifest, dtypes).map(([, graph]) => graphBytes(manifest, graph));
  return Math.max(...sizes) < SMALL_GRAPH_BYTES ? 1 : facts.threads;
}
