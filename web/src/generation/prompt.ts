// What a model is given before it generates: a caption's prompt as token ids.
import { fail } from "../errors.js";
import type { Manifest } from "../loading/manifest.js";
import { type ChatTemplate, chatMessages } from "./chat_template.js";
import type { OpenSettings } from "./generate_options.js";
import type { Tokenizer } from "./tokenizer.js";

export interface Prompt {
  /** For the engine. */
  readonly ids: readonly number[];
  /** Without the image's positions and the start token. */
  readonly words: readonly number[];
  /** Positions beside those of the words: the image's, or with cross attention the start token's. */
  readonly imagePositions: number;
  /** Whether the rules of generation see its ids. */
  readonly counts: boolean;
}

/** `image`: the texts that stand for an image in a prompt, as its processor writes them; "" for the plain ones. */
export function promptOf(
  asked: OpenSettings,
  manifest: Manifest,
  tokenizer: Tokenizer,
  chat: ChatTemplate | undefined,
  image = "",
): Prompt {
  if (manifest.conditioning === "placeholder") {
    return placeholderPrompt(asked, manifest, tokenizer, chat, image);
  }
  if (manifest.conditioning === "none") {
    return textPrompt(asked, tokenizer, chat);
  }
  if (asked.system !== "") {
    fail("invalid_argument", `system is a message for chat models, this is none`);
  }
  const words = typeof asked.prompt === "string" ? tokenizer.encode(asked.prompt) : asked.prompt;
  const ids = [manifest.decoderStartTokenId, ...words];
  // With cross attention the start token has the first position, and is one of the ids that generate() sees.
  const cross = manifest.conditioning === "cross";
  return { ids, words, imagePositions: cross ? 1 : manifest.imageTokens, counts: cross };
}

// Undefined where the prompt goes through no template.
function chosenTemplate(
  asked: OpenSettings,
  chat: ChatTemplate | undefined,
): ChatTemplate | undefined {
  const template = asked.rawPrompt ? undefined : chat;
  if (asked.system !== "" && template === undefined) {
    fail(
      "invalid_argument",
      "system needs a chat template, and the folder has none or it is left out",
    );
  }
  return template;
}

// The ids of apply_chat_template(), or of a text with the tokenizer's special tokens; given ids as they are.
function textPrompt(
  asked: OpenSettings,
  tokenizer: Tokenizer,
  chat: ChatTemplate | undefined,
): Prompt {
  const { prompt } = asked;
  const template = chosenTemplate(asked, chat);
  let ids: readonly number[];
  if (typeof prompt !== "string") {
    ids = prompt;
  } else if (template === undefined) {
    ids = tokenizer.encode(prompt, true);
  } else {
    ids = tokenizer.encode(template.apply(chatMessages(asked.system, prompt, false), true), false);
  }
  if (ids.length === 0) {
    fail("invalid_argument", "the prompt has no tokens, and the model needs one to continue");
  }
  return { ids, words: ids, imagePositions: 0, counts: true };
}

function placeholderPrompt(
  asked: OpenSettings,
  manifest: Manifest,
  tokenizer: Tokenizer,
  chat: ChatTemplate | undefined,
  image: string,
): Prompt {
  const { imageTokenId, imageTokens } = manifest;
  const template = chosenTemplate(asked, chat);
  const token =
    tokenizer.tokenOf(imageTokenId) ??
    fail("mismatch", `the tokenizer has no token ${imageTokenId}, the place of the image`);
  const expanded = image === "" ? token.repeat(imageTokens) : image;
  let ids: readonly number[];
  if (typeof asked.prompt !== "string") {
    const given = asked.prompt.includes(imageTokenId);
    ids = given ? asked.prompt : [...tokenizer.encode(expanded), ...asked.prompt];
  } else {
    const text =
      template?.apply(chatMessages(asked.system, asked.prompt, true), true) ??
      (asked.prompt.includes(token) ? asked.prompt : token + asked.prompt);
    const parts = text.split(token);
    if (parts.length !== 2) {
      fail("invalid_argument", `the prompt has ${parts.length - 1} times ${token}, expected 1`);
    }
    const begins = chat?.begins(text) ?? false;
    ids = tokenizer.encode(parts.join(expanded), !begins);
  }
  const words = ids.filter((id) => id !== imageTokenId);
  return { ids, words, imagePositions: ids.length - words.length, counts: true };
}
