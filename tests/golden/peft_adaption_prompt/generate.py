"""Golden values of adaption prompts by Python PEFT, with and without grouped queries."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import common
import methods
from peft import AdaptionPromptConfig
from transformers import LlamaConfig, LlamaForCausalLM

SEED = 6101
MHA, GQA = "../llama_mha/model", "base_gqa"

TEXT = """
Adaption prompts by Python PEFT, gates not zero, with the batch of `llama_mha`.

- `mha/`: 5 tokens on the top 2 of the 3 layers of `../llama_mha/model`. `gqa/`: 3 tokens on every layer of `base_gqa/`, whose
  4 query heads share 2 key-value heads, without biases: PEFT handles grouped queries where heads x width is the width of
  the model, and biases of `o_proj` wrongly.
- For each: `logits`, `loss`, `grad.*`, `curve` (ten losses under torch AdamW, lr 1e-2, weight decay 0.01) and `final.*`, the
  tensors after it.
"""


def main() -> None:
    common.enter(__file__)
    inputs = methods.inputs_of("llama_mha")
    tensors = dict(inputs)
    config = AdaptionPromptConfig(adapter_len=5, adapter_layers=2, task_type="CAUSAL_LM")
    tensors |= methods.variant(MHA, config, "mha", SEED, inputs)
    make_base()
    config = AdaptionPromptConfig(adapter_len=3, adapter_layers=2, task_type="CAUSAL_LM")
    tensors |= methods.variant(GQA, config, "gqa", SEED + 10, inputs)
    common.save_golden(tensors)
    common.write_readme("peft_adaption_prompt", TEXT, SEED, ["golden.safetensors"])


def make_base() -> None:
    config = LlamaConfig(
        vocab_size=97,
        hidden_size=24,
        intermediate_size=35,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=common.PAD,
        pad_token_id=common.PAD,
    )
    model = LlamaForCausalLM(config)
    common.randomise(model, SEED + 5)
    common.save_base(model, GQA)


if __name__ == "__main__":
    main()
