// Sizes of bundles as visitors download them.
import { gzipSync } from "node:zlib";
import type { BuildOptions, BuildResult } from "esbuild";

/** For esbuild, so that what is imported later is a file of its own. */
export const SPLIT: Pick<BuildOptions, "format" | "outdir" | "splitting"> &
  Record<"bundle" | "metafile" | "minify", true> & { write: false } = {
  bundle: true,
  minify: true,
  splitting: true,
  format: "esm",
  outdir: "out",
  metafile: true,
  write: false,
};

type Result = BuildResult<typeof SPLIT>;

/** What comes with `entry`, an output, and with what it imports at once. */
export function downloadOf(
  { metafile, outputFiles }: Result,
  entry: string,
): { readonly bytes: number; readonly inputs: readonly string[] } {
  const wanted = new Set([entry]);
  for (const path of wanted) {
    for (const { kind, path: other } of metafile.outputs[path]?.imports ?? []) {
      if (kind === "import-statement" && other in metafile.outputs) {
        wanted.add(other);
      }
    }
  }
  const files = outputFiles.filter(({ path }) =>
    [...wanted].some((one) => path.endsWith(`/${one}`)),
  );
  if (files.length !== wanted.size) {
    throw new Error(`${entry} is none of ${Object.keys(metafile.outputs)}`);
  }
  return {
    bytes: files.reduce((sum, { contents }) => sum + gzipSync(contents).length, 0),
    inputs: [...wanted].flatMap((path) => Object.keys(metafile.outputs[path]?.inputs ?? {})),
  };
}
