"""Makes tests/goldens/chat: prompts by transformers' apply_chat_template.

The templates lie in chat_templates/, each with the public model it is of:
  smolvlm, idefics2   HuggingFaceTB/SmolVLM-256M-Instruct, HuggingFaceM4/idefics2-8b-chatty
  smollm2, smollm3    HuggingFaceTB/SmolLM2-135M-Instruct, SmolLM3-3B (its long text shortened)
  llava               llava-hf/llava-1.5-7b-hf
  qwen2, qwen2.5      Qwen/Qwen2-0.5B-Instruct, Qwen/Qwen2.5-0.5B-Instruct
  qwen3               Qwen/Qwen3-0.6B
  llama3, llama3.2    meta-llama/Meta-Llama-3-8B-Instruct, meta-llama/Llama-3.2-1B-Instruct
  mistral             mistralai/Mistral-7B-Instruct-v0.1
  phi3                microsoft/Phi-3-mini-4k-instruct
  gemma, gemma3       google/gemma-1.1-2b-it, google/gemma-3-4b-it
  chatml              teknium/OpenHermes-2.5-Mistral-7B
"""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path
from typing import Any
from unittest import mock

from jinja2.exceptions import TemplateError, UndefinedError
from transformers.utils import chat_template_utils

from common import GOLDENS, versions, write_json

TEMPLATES = Path(__file__).parent / "chat_templates"
NOW = 1781524800  # 2026-06-15 12:00 UTC, for strftime_now: one date in every usual time zone
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
TOOL = {  # keys in order, since JSON in C++ sorts them
    "function": {"name": "f\u00e9t", "parameters": {"a": [1, True, None], "b": {}, "c": '"\\<\n'}},
    "type": "function",
}


def user(*content: Any) -> dict[str, Any]:
    """Return a user's message: one text, or parts of which an empty text stands for an image."""
    if len(content) == 1 and isinstance(content[0], str):
        return {"role": "user", "content": content[0]}
    return {"role": "user", "content": parts(*content)}


def parts(*texts: str) -> list[dict[str, str]]:
    """Return content parts; an empty text is an image."""
    return [{"type": "text", "text": text} if text else {"type": "image"} for text in texts]


def says(role: str, content: Any) -> dict[str, Any]:
    """Return a message."""
    return {"role": role, "content": content}


PLAIN = {
    "user": [user("What is this?")],
    "unicode": [user("  \u00e9t\u00e9 \u4f60\u597d \U0001f600 'q' \"d\" <b>&amp;\n\tend \n")],
    "system": [says("system", "Be brief. "), user("Hi")],
    "turns": [user("Hi"), says("assistant", "\nHello!"), user("Go on")],
    "think": [user("Hi"), says("assistant", "<think>\nhm\n</think>\n\nYes"), user("Why?")],
    "answered": [user("Hi"), says("assistant", "<think>\nhm\n</think>\n\nYes")],
    "no_think": [says("system", "Talk /no_think"), user("Hi"), says("assistant", "Yes")],
    "override": [says("system", "Only this. /system_override"), user("Hi")],
    "twice": [user("a"), user("b")],
}
LISTS = {
    "image": [user("", "Describe it.")],
    "image alone": [{"role": "user", "content": parts("")}],
    "text list": [{"role": "user", "content": parts("Only text \u00fc")}],
    "image last": [user("Look:", "")],
    "two images": [user("", "", "Compare\n them")],
    "system list": [says("system", parts("Be brief.")), user("", "What?")],
    "turns with image": [
        user("", "What?"),
        says("assistant", parts("A cat.")),
        {"role": "user", "content": parts("Sure?")},
    ],
}
MESSAGES = {**PLAIN, **LISTS}
WANTS_LISTS = ("smolvlm", "idefics2", "llava")
TAKES_LISTS = (*WANTS_LISTS, "gemma3", "qwen3", "smollm3")
EXTRA = ({"tools": [TOOL]}, {"enable_thinking": False})


def render(template: str, messages: list[dict[str, Any]], **kwargs: Any) -> dict[str, str]:
    """Return the text, or that the template refuses."""
    moment = datetime.datetime.fromtimestamp(NOW)
    with mock.patch.object(chat_template_utils, "datetime") as clock:
        clock.now.return_value = moment
        try:
            rendered, _ = chat_template_utils.render_jinja_template(
                [messages], chat_template=template, **kwargs
            )
        except (TemplateError, UndefinedError, TypeError, AttributeError) as error:
            raised = type(error) is TemplateError
            return {"raised": str(error)} if raised else {"fails": type(error).__name__}
    return {"text": rendered[0]}


def cases(name: str, template: str) -> list[dict[str, Any]]:
    """Return the message lists that a template is for, through it."""
    lists = MESSAGES if name in TAKES_LISTS else PLAIN
    shown = [(given, True, {}) for given in (LISTS if name in WANTS_LISTS else lists)]
    shown += [
        (given, False, {}) for given in ("turns", "turns with image") if (given, True, {}) in shown
    ]
    system = "system list" if name in WANTS_LISTS else "system"
    shown += [(system, True, extra) for extra in EXTRA]
    found = []
    for given, prompt, extra in shown:
        seen = {**TOKENS, "add_generation_prompt": prompt, **extra}
        result = render(template, MESSAGES[given], **seen)
        found.append({"messages": given, "add_generation_prompt": prompt, "extra": extra, **result})
    return found


def main() -> None:
    """Write chat.json and the templates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=GOLDENS / "chat")
    out = parser.parse_args().out
    templates = []
    for path in sorted(TEMPLATES.glob("*.jinja")):
        text = path.read_text(encoding="utf-8")
        templates.append({"name": path.stem, "template": text, "cases": cases(path.stem, text)})
    out.mkdir(parents=True, exist_ok=True)
    document = {
        "format": 1,
        "versions": versions("transformers"),
        "now": NOW,
        "tokens": TOKENS,
        "messages": MESSAGES,
        "templates": templates,
    }
    write_json(out / "chat.json", document)


if __name__ == "__main__":
    main()
