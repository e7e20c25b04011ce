"""A language model that is a table by step and last token: beam search without a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import (
    GenerationConfig,
    GenerationMixin,
    LogitsProcessor,
    LogitsProcessorList,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import CausalLMOutput

from common import rng_for

NEAR = 1e-4  # log-probabilities closer than this count as equal


class Noise(LogitsProcessor):
    """Moves every score a little, to find results that hang on a near tie."""

    def __init__(self, seed: int) -> None:
        self.random = torch.Generator().manual_seed(seed)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores plus uniform noise."""
        return scores + (torch.rand(scores.shape, generator=self.random) - 0.5) * NEAR


class MarkovConfig(PretrainedConfig):
    """Nothing but a name."""

    model_type = "markov"


class Markov(PreTrainedModel, GenerationMixin):
    """Gives table[step][i] as the logits after token i."""

    config_class = MarkovConfig

    def __init__(self, table: torch.Tensor) -> None:
        super().__init__(MarkovConfig(vocab_size=table.shape[1]))
        self.table = torch.nn.Parameter(table, requires_grad=False)

    def forward(self, input_ids: torch.Tensor, **_: Any) -> CausalLMOutput:
        """Return [batch, length, vocab]."""
        steps = torch.arange(input_ids.shape[1]).expand_as(input_ids)
        return CausalLMOutput(logits=self.table[steps, input_ids])


def returned(model: Markov, config: GenerationConfig, *noise: Any) -> tuple[list[Any], list[float]]:
    """Return the ids of every hypothesis, without start token and padding, and the scores."""
    out = model.generate(
        torch.tensor([[0]]), generation_config=config, logits_processor=LogitsProcessorList(noise)
    )
    lengths = (out.beam_indices >= 0).sum(-1).tolist()
    rows = [ids[1 : 1 + n] for ids, n in zip(out.sequences.tolist(), lengths, strict=True)]
    return rows, [round(float(s), 5) for s in out.sequences_scores]


def beam_cases(options: list[dict[str, Any]], steps: int) -> list[dict[str, Any]]:
    """Return every finished hypothesis and its score for some tables and settings."""
    cases = []
    for vocab, ends, seed in ((8, (3,), 1), (11, (5, 6), 2), (12, (2,), 3)):
        rng = rng_for("markov", vocab, seed)
        table = np.round(rng.normal(0, 1.4, (steps, vocab, vocab)), 2)
        table[:, :, list(ends)] += 0.75
        model = Markov(torch.tensor(table, dtype=torch.float32)).eval()
        runs = []
        for chosen in options:
            config = GenerationConfig(
                max_new_tokens=steps,
                do_sample=False,
                use_cache=False,
                eos_token_id=list(ends),
                pad_token_id=ends[0],
                num_return_sequences=chosen["num_beams"],
                return_dict_in_generate=True,
                output_scores=True,
                **chosen,
            )
            ids, scores = returned(model, config)
            if all(returned(model, config, Noise(seed))[0] == ids for seed in (1, 2, 3)):
                runs.append({"options": chosen, "ids": ids, "scores": scores})
        cases.append(
            {
                "start": 0,
                "eos_token_ids": list(ends),
                "max_new_tokens": steps,
                "logits": table.tolist(),
                "runs": runs,
            }
        )
    return cases
