// Prompts of chat models: a folder's chat template (Jinja), rendered as transformers' apply_chat_template
// renders it, with @huggingface/jinja.
import { Template } from "@huggingface/jinja";
import { fail, messageOf } from "../errors.js";

export type ChatPart =
  | { readonly type: "image" }
  | { readonly type: "text"; readonly text: string };

export interface ChatMessage {
  readonly role: string;
  readonly content: string | readonly ChatPart[];
}

const SPECIAL_TOKENS = [
  "bos_token",
  "eos_token",
  "unk_token",
  "sep_token",
  "pad_token",
  "cls_token",
  "mask_token",
];
/** The texts of special tokens in a parsed tokenizer_config.json, as a text or an AddedToken. */
function specialTokens(config: unknown): Record<string, string> {
  const tokens: Record<string, string> = {};
  for (const name of SPECIAL_TOKENS) {
    const token = (config as Record<string, unknown> | null)?.[name];
    const text = (token as { content?: unknown } | null | undefined)?.content ?? token;
    if (typeof text === "string") {
      tokens[name] = text;
    }
  }
  return tokens;
}

export class ChatTemplate {
  private readonly template: Template;
  private readonly tokens: Record<string, string>;
  private readonly name: string;

  /** `config`: the parsed tokenizer_config.json. Throws LorapressError: invalid_file. */
  constructor(text: string, config: unknown, name = "chat_template") {
    this.name = name;
    this.tokens = specialTokens(config);
    this.template = this.guard(() => new Template(text));
  }

  /**
   * The prompt of `messages`; `extra` holds further names that the template sees. Throws LorapressError
   * (invalid_file) where the template refuses the messages.
   */
  apply(
    messages: readonly ChatMessage[],
    addGenerationPrompt: boolean,
    extra: Record<string, unknown> = {},
  ): string {
    return this.guard(() =>
      this.template.render({
        ...this.tokens,
        ...extra,
        messages,
        add_generation_prompt: addGenerationPrompt,
      }),
    );
  }

  /** True where `text` has the special token with which the tokenizer would begin it. */
  begins(text: string): boolean {
    const { bos_token = "" } = this.tokens;
    return bos_token !== "" && text.startsWith(bos_token);
  }

  private guard<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      const reason = messageOf(error).replace(/[\r\n]+/g, " ");
      return fail(
        "invalid_file",
        `${this.name}: the chat template cannot be rendered: ${reason}`,
        error,
      );
    }
  }
}

/**
 * [system], user: the messages of one request. With `image` the user's content begins with an image, and
 * contents are lists of parts; otherwise contents are texts.
 */
export function chatMessages(system: string, prompt: string, image: boolean): ChatMessage[] {
  const parts = (text: string): ChatPart[] => (text === "" ? [] : [{ type: "text", text }]);
  const content = (text: string): ChatMessage["content"] => (image ? parts(text) : text);
  const asked = image ? [{ type: "image" } as const, ...parts(prompt)] : prompt;
  const first = system === "" ? [] : [{ role: "system", content: content(system) }];
  return [...first, { role: "user", content: asked }];
}
