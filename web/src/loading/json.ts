// JSON from the network. JSON.parse keeps the last of two equal keys, so that two readers could see
// two manifests in one text; duplicate keys are refused here, as in the program.
import { fail, messageOf } from "../errors.js";

export type JsonObject = Readonly<Record<string, unknown>>;

const MAX_DEPTH = 64;
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?|[{}[\]]/g;

export function parseJson(text: string, where: string): unknown {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    fail("invalid_file", `${where}: not JSON: ${messageOf(error)}`, error);
  }
  refuseRepeatedKeys(text, where);
  return json;
}

// REQUIRES: `text` is valid JSON. One set of keys per open object, null per open list.
function refuseRepeatedKeys(text: string, where: string): void {
  const open: (Set<string> | null)[] = [];
  for (const [token, colon] of text.matchAll(TOKENS)) {
    if (token === "{" || token === "[") {
      open.push(token === "{" ? new Set() : null);
      if (open.length > MAX_DEPTH) {
        fail("invalid_file", `${where}: JSON nested deeper than ${MAX_DEPTH} levels`);
      }
    } else if (token === "}" || token === "]") {
      open.pop();
    } else if (colon !== undefined) {
      const key = JSON.parse(token.slice(0, -colon.length)) as string;
      const keys = open.at(-1);
      if (keys?.has(key)) {
        fail("invalid_file", `${where}: the key ${JSON.stringify(key).slice(0, 80)} stands twice`);
      }
      keys?.add(key);
    }
  }
}

export function isObject(json: unknown): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

/** An own property, so that "constructor" or "__proto__" in a file is only data. */
export function own(json: JsonObject, key: string): unknown {
  return Object.hasOwn(json, key) ? json[key] : undefined;
}
