"""The bases `llama_mha` and `llama_gqa` once more, in every form checkpoints are published in, and two hostile ones."""

import json
import os
import shutil
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import common
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

SEED = 6101
MHA = "../llama_mha/model"
GQA = "../llama_gqa/model"

TEXT = """
The bases `../llama_mha/model` and `../llama_gqa/model` in other containers and number formats; `config.json` stays there.

| folder | base | stored as |
|---|---|---|
| `bf16/` | mha | one safetensors file, bf16 |
| `shards/` | mha | safetensors shards with an index, f32, as `save_pretrained` cuts them |
| `zip/` | mha | `pytorch_model.bin`, the zip of PyTorch 1.6 and later, f16 |
| `legacy/` | gqa | `pytorch_model.bin`, the stream of before 1.6, f32: tied embeddings share a storage, one weight is a transposed view, and the rotary buffers of old conversions are there |
| `bin_shards/` | mha | `pytorch_model-*.bin` with an index as transformers 4 wrote it, bf16, zip and legacy mixed |
| `adapter_bin/` | mha | the adapter of `../peft_lora/adapter` as PEFT saves it without safetensors: `adapter_model.bin` |
| `hostile/` | - | `zip.bin` and `legacy.bin`: a state dict whose pickle runs `touch executed-by-a-pickle` when Python loads it |

`logits.bf16` and `logits.f16`: next-token logits [B, T, V] for the batch of `llama_mha`, computed in float32 from the rounded
weights of `bf16/` and `zip/`. `logits.bf16_compute`: the same model run in bfloat16 throughout, as a measure of what
that costs. The f32 forms must give the logits of their base.

The legacy form numbers its storages by memory address, so its files differ from run to run, and in nothing else.
"""


def main() -> None:
    common.enter(__file__)
    for folder in ("bf16", "shards", "zip", "legacy", "bin_shards", "adapter_bin", "hostile"):
        shutil.rmtree(folder, ignore_errors=True)
        Path(folder).mkdir()
    mha = load_file(f"{MHA}/model.safetensors")
    common.save_base(LlamaForCausalLM.from_pretrained(MHA, dtype=torch.bfloat16), "bf16")
    common.save_base(common.load_base(MHA), "shards", max_shard_size="40KB")
    for folder in ("bf16", "shards"):
        Path(folder, "config.json").unlink()
    torch.save(rounded(mha, torch.float16), "zip/pytorch_model.bin")
    torch.save(legacy_state(), "legacy/pytorch_model.bin", _use_new_zipfile_serialization=False)
    save_shards(rounded(mha, torch.bfloat16))
    save_adapter_bin()
    torch.save(hostile(), "hostile/zip.bin")
    torch.save(hostile(), "hostile/legacy.bin", _use_new_zipfile_serialization=False)
    for form in ("zip", "legacy"):
        torch.load(f"hostile/{form}.bin", weights_only=False)
        Path("executed-by-a-pickle").unlink()  # it was: Python runs the command

    golden = load_file("../llama_mha/golden.safetensors")
    inputs = {name: golden[name] for name in ("input_ids", "attention_mask")}
    tensors = dict(inputs)
    for name, dtype in (("bf16", torch.bfloat16), ("f16", torch.float16)):
        model = common.load_base(MHA)
        model.load_state_dict({key: value.float() for key, value in rounded(mha, dtype).items()})
        tensors[f"logits.{name}"] = model(**inputs).logits
    tensors["logits.bf16_compute"] = common.load_base(MHA).bfloat16()(**inputs).logits.float()
    common.save_golden(tensors)
    common.write_readme("checkpoint_forms", TEXT, SEED, ["golden.safetensors"])


def rounded(state: dict[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    return {name: tensor.to(dtype) for name, tensor in state.items()}


def legacy_state() -> dict[str, torch.Tensor]:
    """What an old conversion of a tied model holds: the head is the embedding itself, by storage."""
    state = load_file(f"{GQA}/model.safetensors")
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    name = "model.layers.0.mlp.up_proj.weight"
    state[name] = state[name].t().contiguous().t()
    assert not state[name].is_contiguous()
    for layer in range(3):
        state[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = torch.rand(5, generator=common.generator(SEED))
    return state


def save_shards(state: dict[str, torch.Tensor]) -> None:
    names = sorted(state)
    shards = {"pytorch_model-00001-of-00002.bin": names[::2], "pytorch_model-00002-of-00002.bin": names[1::2]}
    for index, (file, held) in enumerate(shards.items()):
        tensors = {name: state[name] for name in held}
        torch.save(tensors, Path("bin_shards", file), _use_new_zipfile_serialization=index == 0)
    weight_map = {name: file for file, held in shards.items() for name in held}
    size = sum(tensor.nbytes for tensor in state.values())
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(weight_map.items()))}
    Path("bin_shards/pytorch_model.bin.index.json").write_text(json.dumps(index, indent=2) + "\n")


def save_adapter_bin() -> None:
    model = PeftModel.from_pretrained(common.load_base(MHA), "../peft_lora/adapter")
    model.save_pretrained("adapter_bin", safe_serialization=False)
    Path("adapter_bin/README.md").unlink(missing_ok=True)
    path = Path("adapter_bin/adapter_config.json")
    config = json.loads(path.read_text())
    config["target_modules"] = sorted(config["target_modules"])  # PEFT writes a set, in arbitrary order
    path.write_text(json.dumps(config, indent=2, sort_keys=True))


class Command:
    """Runs a command in whoever unpickles it."""

    def __reduce__(self):
        return os.system, ("touch executed-by-a-pickle",)


def hostile() -> dict:
    """One tensor, and a passenger."""
    return {"model.norm.weight": torch.ones(24), "passenger": Command()}


if __name__ == "__main__":
    main()
