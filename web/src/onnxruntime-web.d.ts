// The package exports this module without types.
declare module "onnxruntime-web/ort-wasm-simd-threaded.mjs" {
  const factory: import("./ort_module.js").OrtFactory;
  // biome-ignore lint/style/noDefaultExport: its own
  export default factory;
}
