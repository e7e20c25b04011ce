// Checks that the page's bundler has copied the files of this package.
import { fail, messageOf } from "../errors.js";

/** What to do when a file is missing: tools/copy.mjs, which package.json names as a program. */
const REMEDY: string =
  "if the bundler copies no files (esbuild, Rollup), add to the build: npx lorapress-copy FOLDER, where FOLDER holds the bundle";

/** Undefined when there is a file at `url`. */
async function findFault(url: string): Promise<string | undefined> {
  let response: Response;
  try {
    response = await fetch(url);
  } catch (error) {
    return messageOf(error);
  }
  await response.body?.cancel().catch(() => {});
  if (!response.ok) {
    return `HTTP status ${response.status}`;
  }
  // Servers of single-page applications answer with the page.
  return response.headers.get("content-type")?.startsWith("text/html") ? "a page" : undefined;
}

/** After a failure: fails with the address of the first of `urls` that is not served, if one is not. */
export async function requireServed(urls: readonly string[]): Promise<void> {
  for (const url of urls) {
    const fault = /^https?:/.test(url) ? await findFault(url) : undefined;
    if (fault !== undefined) {
      fail("not_found", `${url} is missing (${fault}); ${REMEDY}`);
    }
  }
}
