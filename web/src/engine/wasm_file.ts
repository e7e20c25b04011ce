// Compiles WebAssembly while it arrives.

export async function compileWasm(url: string): Promise<WebAssembly.Module> {
  const response = await fetch(url, { credentials: "same-origin" });
  if (!response.ok) {
    throw new Error(`HTTP status ${response.status}`);
  }
  // A server may not know the type, which compiling a stream insists on.
  return response.headers.get("content-type") === "application/wasm"
    ? WebAssembly.compileStreaming(response)
    : WebAssembly.compile(await response.arrayBuffer());
}
