"""Golden values of a LLaMA with plain multi-head attention: forward, gradients, and ten steps of full fine-tuning."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import common
import torch
from transformers import LlamaConfig, LlamaForCausalLM

SEED = 1101

TEXT = """
A tiny LLaMA as Hugging Face Transformers writes and runs it: 3 layers, hidden 24, 4 heads of 6, MLP 51, vocabulary 97,
rope theta 10000, untied, no biases, RMSNorm epsilon 1e-5. f32 on the CPU, eager attention.

- `model/`: the checkpoint. `golden.safetensors`: the values below, for a right-padded batch of lengths 7, 11 and 4.
- Pad id 2 is also the last *real* token of the first note: padding is what the attention mask says.
- `labels`: the ids, -100 on padding. Position t predicts label t + 1; `loss` is the mean over the `token_count` targets,
  `loss_sum` their sum. `grad.*` is the gradient of `loss`.
- `hidden.0` is the embedding, `hidden.1` and `hidden.2` the outputs of the first two layers, `hidden.3` the output of the
  last layer *after the final norm*. At padded positions the queries see the real keys only.
- `curve`: the loss before each of ten updates of all weights on this batch; torch AdamW, constant lr 1e-2, betas 0.9 and
  0.999, epsilon 1e-8, weight decay 0.01 on everything.
"""


def main() -> None:
    common.enter(__file__)
    config = LlamaConfig(
        vocab_size=97,
        hidden_size=24,
        intermediate_size=51,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=common.PAD,
        pad_token_id=common.PAD,
        attn_implementation="eager",
    )
    model = LlamaForCausalLM(config).eval()
    common.randomise(model, SEED)
    common.save_base(model, "model")

    model = common.load_base("model")
    inputs = common.batch(SEED + 1, config.vocab_size)
    tensors = common.causal_lm_golden(model, inputs)
    tensors["curve"] = fine_tune(model, inputs)
    common.save_golden(tensors)
    common.write_readme("llama_mha", TEXT, SEED, ["golden.safetensors"])


def fine_tune(model: LlamaForCausalLM, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    curve = []
    for _ in range(10):
        optimiser.zero_grad()
        loss = model(**inputs).loss
        loss.backward()
        optimiser.step()
        curve.append(loss.item())
    return torch.tensor(curve)


if __name__ == "__main__":
    main()
