// What a TypeScript project writes; compiled against the packed tarball by package.test.ts.
import { type Caption, Captioner, LorapressError } from "lorapress";
import type { ImgCaptioner } from "lorapress/img-captioner";
import { type InstallOptions, install } from "lorapress/transformers";
import { serve } from "lorapress/worker";

export async function describe(image: HTMLImageElement): Promise<string> {
  const captioner: Captioner = await Captioner.load("model/", { device: "auto", threads: 2 });
  const caption: Caption = await captioner.caption(image, { numBeams: 3 });
  // @ts-expect-error: no beams of letters
  await captioner.caption(image, { numBeams: "3" });
  const ids: readonly number[] = caption.ids;
  return `${caption.text} ${ids.length}`;
}

export function codeOf(error: unknown): string {
  // @ts-expect-error: not one of the codes
  if (error instanceof LorapressError && error.code === "oops") {
    return "";
  }
  return error instanceof LorapressError ? error.code : "none";
}

export const drop: (options: InstallOptions) => Promise<string> = async (options) =>
  (await install({} as never, "model/", options)).model;

export const worker: typeof serve = serve;

export const element: ImgCaptioner = document.createElement("img-captioner");
