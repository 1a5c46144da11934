"""Golden values of one stack of five methods, composed by hand from PEFT's own modules: PEFT cannot stack them."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import common
import methods
import torch
from peft import PeftModel, PromptEncoderConfig, PrefixTuningConfig
from peft.tuners.adaption_prompt.layer import AdaptedAttention
from peft.tuners.p_tuning.model import PromptEncoder
from peft.tuners.prefix_tuning.model import PrefixEncoder
from safetensors.torch import load_file
from transformers import DynamicCache

BASE = "../llama_mha/model"
LORA, GATED, PREFIX = "../peft_lora/adapter", "../peft_adaption_prompt/mha", "../peft_prefix/projected"
PROMPT, ENCODED = "../peft_prompt/random", "../peft_p_tuning/lstm"

TEXT = """
Five adapters of the other cases on `../llama_mha/model` at once, with the batch of that case: `lora` (`peft_lora/adapter`),
`gated` (`peft_adaption_prompt/mha`), `prefix` (`peft_prefix/projected`), `prompt` (`peft_prompt/random`) and `encoded`
(`peft_p_tuning/lstm`).

PEFT cannot stack them, so its modules are composed by hand: LoRA layers in the base, `AdaptedAttention` around the top two
attention layers (its projections are the LoRA layers), the prefix as a cache, and before the embedded notes first `prompt`,
then `encoded`. An attention layer sees `[3 slots][5 of prompt][5 of encoded][note]`.

- `logits` at the notes' tokens; `loss`, the mean over their tokens, BOS included; `grad.<adapter>.*`, its gradients.
"""


def main() -> None:
    common.enter(__file__)
    inputs = methods.inputs_of("llama_mha")
    batch, length = inputs["input_ids"].shape

    wrapped = PeftModel.from_pretrained(common.load_base(BASE), LORA, is_trainable=True).eval()
    model = wrapped.base_model.model
    trained = {f"lora.{name}": p for name, p in common.adapter_parameters(wrapped).items()}
    gated = load_file(f"{GATED}/adapter_model.safetensors")
    for layer in (1, 2):
        block = model.model.layers[layer]
        block.self_attn = AdaptedAttention("llama", 5, block.self_attn)
        for kind in ("adaption_prompt", "adaption_gate"):
            name = f"base_model.model.model.layers.{layer}.self_attn.{kind}"
            parameter = getattr(block.self_attn, kind)
            with torch.no_grad():
                parameter.copy_(gated[name])
            trained[f"gated.{name}"] = parameter
    prefix = encoder(PrefixEncoder, PrefixTuningConfig, PREFIX)
    encoded = encoder(PromptEncoder, PromptEncoderConfig, ENCODED)
    prompt = torch.nn.Parameter(load_file(f"{PROMPT}/adapter_model.safetensors")["prompt_embeddings"])
    trained |= {f"prefix.{name}": p for name, p in prefix.named_parameters()}
    trained |= {f"encoded.{name}": p for name, p in encoded.named_parameters()}
    trained["prompt.prompt_embeddings"] = prompt

    slots = prefix(torch.arange(3)).view(3, 6, 4, 6).permute(1, 2, 0, 3)  # [2L, heads, slots, width]
    slots = slots.unsqueeze(1).expand(-1, batch, -1, -1, -1)
    virtual = torch.cat([prompt, encoded(torch.arange(5))]).unsqueeze(0).expand(batch, -1, -1)
    embedded = torch.cat([virtual, model.model.embed_tokens(inputs["input_ids"])], dim=1)
    before = virtual.shape[1]
    mask = torch.cat([torch.ones(batch, 3 + before, dtype=torch.int64), inputs["attention_mask"]], dim=1)
    labels = torch.cat([torch.full((batch, before), common.IGNORED), inputs["labels"]], dim=1)
    cache = DynamicCache([(slots[2 * layer], slots[2 * layer + 1]) for layer in range(3)])
    logits = model(inputs_embeds=embedded, attention_mask=mask, cache=cache).logits
    loss = common.token_losses(logits, labels).mean()
    loss.backward()

    tensors = {**inputs, "logits": logits[:, -length:], "loss": loss}
    tensors |= {f"grad.{name}": parameter.grad for name, parameter in sorted(trained.items())}
    common.save_golden(tensors)
    common.write_readme("peft_mixed", TEXT, 0, ["golden.safetensors"])


def encoder(module_class, config_class, folder: str) -> torch.nn.Module:
    """PEFT's encoder with the values that stand beside its folder."""
    config = config_class.from_pretrained(folder)
    config.inference_mode = False
    module = module_class(config)
    module.load_state_dict(load_file(f"{folder}/encoder.safetensors"))
    return module


if __name__ == "__main__":
    main()
