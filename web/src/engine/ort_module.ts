// The C functions that onnxruntime-web's WebAssembly exports, as far as they are used here
// (js/web/lib/wasm/wasm-types.ts in its sources). package.json pins the version.

export const POINTER_BYTES = 4;
export const LOG_ERRORS = 3;

/** The Emscripten module. Pointers are numbers; 0 is a failure where a handle is expected. */
export interface OrtModule {
  readonly HEAPU8: Uint8Array<ArrayBufferLike>;
  readonly HEAP32: Int32Array<ArrayBufferLike>;
  readonly HEAPU32: Uint32Array<ArrayBufferLike>;
  _malloc(bytes: number): number;
  _free(at: number): void;
  stackSave(): number;
  stackRestore(at: number): void;
  stackAlloc(bytes: number): number;
  UTF8ToString(at: number): string;
  mountExternalData(path: string, data: MountedFile): void;
  unmountExternalData(): void;
  _OrtInit(threads: number, logLevel: number): number;
  _OrtGetLastError(code: number, message: number): void;
  _OrtCreateSessionOptions(
    optimization: number,
    arena: boolean,
    memoryPattern: boolean,
    executionMode: number,
    profiling: boolean,
    profilePrefix: number,
    logId: number,
    logSeverity: number,
    logVerbosity: number,
    optimizedModelPath: number,
  ): number;
  _OrtReleaseSessionOptions(options: number): number;
  _OrtCreateSession(model: number, bytes: number, options: number): number | Promise<number>;
  _OrtReleaseSession(session: number): number;
  _OrtGetInputOutputCount(session: number, inputs: number, outputs: number): number;
  _OrtGetInputOutputMetadata(session: number, index: number, name: number, about: number): number;
  _OrtFree(at: number): number;
  _OrtCreateTensor(
    type: number,
    data: number,
    bytes: number,
    dims: number,
    rank: number,
    location: number,
  ): number;
  _OrtGetTensorData(tensor: number, type: number, data: number, dims: number, rank: number): number;
  _OrtReleaseTensor(tensor: number): number;
  _OrtRun(
    session: number,
    inputNames: number,
    inputs: number,
    inputCount: number,
    outputNames: number,
    outputCount: number,
    outputs: number,
    options: number,
  ): number | Promise<number>;
}

/** The part of an array that the engine uses of a weight file, which here is never one array. */
export interface MountedFile {
  readonly byteLength: number;
  subarray(begin: number, end: number): Uint8Array<ArrayBufferLike>;
}

export type OrtFactory = (settings: {
  readonly numThreads: number;
  readonly locateFile: (name: string) => string;
}) => Promise<OrtModule>;
