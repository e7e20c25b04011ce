// Folders whose decoder applies the rules to its own logits (`press --rules-in-graph`): the runtime applies them no
// second time, and refuses what they rule out.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Captioner } from "../src/index.js";
import { engines, readPng } from "./lib/goldens.js";
import { pressed } from "./lib/program.js";
import { rulesInGraph } from "./lib/rules.js";
import { TestServer } from "./lib/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start({ "/": pressed("") });
});
afterAll(() => server.stop());

describe("rules inside the decoder", () => {
  const first = rulesInGraph()[0]?.name;
  for (const { name, images, captions, options } of rulesInGraph()) {
    it.each(engines(first === name))(`${name} on %s says what generate() says`, async (engine) => {
      const captioner = await Captioner.load(`${server.origin}/${name}`, { dtype: "fp32", engine });
      expect(Object.keys(options)).toHaveLength(3);
      for (const { image, ids } of captions) {
        const found = await captioner.caption(readPng(images[image] ?? ""));
        expect(found.ids).toEqual(ids);
      }
      const source = readPng(images[0] ?? "");
      await expect(captioner.caption(source, { repetitionPenalty: 9 })).rejects.toThrow(
        /repetitionPenalty is not the folder's/,
      );
      await expect(captioner.caption(source, { numBeams: 3 })).rejects.toThrow(/numBeams 3/);
      await captioner.dispose();
    });
  }
});
