"""Golden values of a LLaMA with everything that LLaMA-3 and its kin add: grouped queries, scaled RoPE, tied embeddings,
biases, and a head size that is not hidden / heads."""

import json
import math
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import common
import torch
from transformers import LlamaConfig, LlamaForCausalLM

SEED = 2101
THETA = 500000.0
SCALING = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 0.0625,
    "high_freq_factor": 0.125,
    "original_max_position_embeddings": 8,
}

TEXT = """
A tiny LLaMA as Hugging Face Transformers writes and runs it: 3 layers, hidden 24, 4 heads of 10 (`head_dim` is given, and
is not hidden / heads), 2 key-value heads, MLP 51, vocabulary 97, tied embeddings, biases in attention and MLP, RMSNorm
epsilon 1e-6. RoPE: theta 500000, `llama3` scaling with factors chosen so that the five frequencies of a head take all
three branches (wavelength 6 is kept, 87 is interpolated, 1196 and more are divided by 8). f32 on the CPU, eager attention.

- `model/`: the checkpoint. `config_v4.json`: the same configuration as transformers 4 writes it (`rope_theta`,
  `rope_scaling`, `torch_dtype`). `golden.safetensors`: the values below, for a right-padded batch of lengths 7, 11 and 4.
- Pad id 2 is also the last *real* token of the first note: padding is what the attention mask says.
- `labels`: the ids, -100 on padding. Position t predicts label t + 1; `loss` is the mean over the `token_count` targets,
  `loss_sum` their sum. `grad.*` is the gradient of `loss`; that of the tied table is the sum of both uses.
- `hidden.0` is the embedding, `hidden.1` and `hidden.2` the outputs of the first two layers, `hidden.3` the output of the
  last layer *after the final norm*. At padded positions the queries see the real keys only.
"""


def main() -> None:
    common.enter(__file__)
    config = LlamaConfig(
        vocab_size=97,
        hidden_size=24,
        intermediate_size=51,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=10,
        max_position_embeddings=64,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_theta": THETA, **SCALING},
        tie_word_embeddings=True,
        attention_bias=True,
        mlp_bias=True,
        bos_token_id=1,
        eos_token_id=common.PAD,
        pad_token_id=common.PAD,
        attn_implementation="eager",
    )
    model = LlamaForCausalLM(config).eval()
    common.randomise(model, SEED, embedding_std=0.3)
    common.save_base(model, "model")
    write_v4_config()

    model = common.load_base("model")
    assert model.lm_head.weight is model.model.embed_tokens.weight
    check_branches(model)
    inputs = common.batch(SEED + 1, config.vocab_size)
    common.save_golden(common.causal_lm_golden(model, inputs))
    common.write_readme("llama_gqa", TEXT, SEED, ["golden.safetensors"])


def write_v4_config() -> None:
    """`model/config.json` in the words of transformers 4, which transformers 5 still reads to the same effect."""
    config = json.loads(Path("model/config.json").read_text())
    config["rope_scaling"] = config.pop("rope_parameters")
    config["rope_theta"] = config["rope_scaling"].pop("rope_theta")
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.57.1"
    Path("config_v4.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    read = LlamaConfig.from_json_file("config_v4.json").rope_parameters
    assert read == LlamaConfig.from_pretrained("model").rope_parameters, read


def check_branches(model: LlamaForCausalLM) -> None:
    """The frequencies that the model uses against the plain ones: kept, interpolated, divided."""
    head_dim = model.config.head_dim
    plain = THETA ** -(torch.arange(0, head_dim, 2) / head_dim)
    ratio = model.model.rotary_emb.inv_freq / plain
    print("wavelengths", [round(2 * math.pi / f, 1) for f in plain.tolist()], "ratios", ratio.tolist())
    divided = torch.full((3,), 1 / SCALING["factor"])
    torch.testing.assert_close(ratio[0], torch.tensor(1.0))
    torch.testing.assert_close(ratio[2:], divided)
    assert 0.3 < ratio[1] < 0.8, "no frequency in the middle"


if __name__ == "__main__":
    main()
