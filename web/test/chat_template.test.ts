import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { ChatTemplate, chatMessages } from "../src/generation/chat_template.js";
import { ROOT } from "./lib/program.js";

const golden = JSON.parse(readFileSync(join(ROOT, "tests/goldens/chat/chat.json"), "utf8"));

describe("chat templates give the prompts of transformers", () => {
  beforeAll(() => void vi.useFakeTimers({ now: golden.now * 1000, toFake: ["Date"] }));
  afterAll(() => void vi.useRealTimers());

  for (const { name, template, cases } of golden.templates) {
    it(name, () => {
      const chat = new ChatTemplate(template, golden.tokens, name);
      for (const given of cases) {
        const { messages, extra, add_generation_prompt } = given;
        const render = (): string =>
          chat.apply(golden.messages[messages], add_generation_prompt, extra);
        const what = `${messages} ${JSON.stringify(extra)}`;
        if (given.text !== undefined) {
          expect(render(), what).toBe(given.text);
        } else if (given.raised !== undefined) {
          const refusal = `${name}: the chat template cannot be rendered: ${given.raised}`;
          expect(render, what).toThrow(refusal);
        } // Where Python fails to add a text and a list, this library writes the list as text.
      }
    });
  }

  it("refuses in one line what is no Jinja", () => {
    for (const text of ["{% for %}", "{{ ", "{% include 'x' %}", "{{ raise_exception('a\nb') }}"]) {
      let message = "";
      try {
        new ChatTemplate(text, {}).apply([], true);
      } catch (error) {
        message = (error as Error).message;
      }
      expect(message, text).toMatch(/^chat_template: the chat template cannot be rendered: .+$/);
    }
  });

  it("messages have the form of processors", () => {
    expect(chatMessages("", "Describe it.", true)).toEqual([
      { role: "user", content: [{ type: "image" }, { type: "text", text: "Describe it." }] },
    ]);
    expect(chatMessages("Be brief.", "", true)).toEqual([
      { role: "system", content: [{ type: "text", text: "Be brief." }] },
      { role: "user", content: [{ type: "image" }] },
    ]);
    expect(chatMessages("Be brief.", "Hi", false)).toEqual([
      { role: "system", content: "Be brief." },
      { role: "user", content: "Hi" },
    ]);
  });
});
