// tests/goldens/generation/rules.json: what generate() says with repetition penalty, n-grams and bad words.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readGolden } from "./goldens.js";
import { ROOT } from "./program.js";

export interface RulesFolder {
  readonly name: string; // below the scratch folder
  readonly checkpoint: string;
  readonly images: readonly string[];
  readonly options: Readonly<Record<string, unknown>>;
  readonly maxNewTokens: number;
  readonly captions: readonly { readonly image: number; readonly ids: number[] }[];
}

interface Search {
  readonly image: number;
  readonly options: Readonly<Record<string, unknown>>;
  readonly ids: number[];
}

/** One folder of each checkpoint of the file: the settings with the most rules. */
export function rulesInGraph(): RulesFolder[] {
  const path = join(ROOT, "tests/goldens/generation/rules.json");
  const { checkpoints } = JSON.parse(readFileSync(path, "utf8"));
  return checkpoints.map((row: Readonly<Record<string, unknown>>): RulesFolder => {
    const searches = row["searches"] as readonly Search[];
    const count = ({ options }: Search): number => Object.keys(options).length;
    const most = searches.reduce((best, one) => (count(one) > count(best) ? one : best));
    const options = JSON.stringify(most.options);
    const { checkpoint, images } = readGolden(row["checkpoint"] as string);
    return {
      name: `rules-${row["checkpoint"]}`,
      checkpoint,
      images,
      options: most.options,
      maxNewTokens: row["max_new_tokens"] as number,
      captions: searches.filter((one) => JSON.stringify(one.options) === options),
    };
  });
}
