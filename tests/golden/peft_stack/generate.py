"""Golden values of two stacked LoRA adapters on `llama_gqa`: one pretrained on notes, one trained with a classifier."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import common
import torch
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file

SEED = 5101
BASE = "../llama_gqa/model"
CLASSES = 4
HEAD = "base_model.model.score.weight"
CLASS_LABELS = (2, 0, 3)

TEXT = """
Two LoRA adapters by Python PEFT on one base, `../llama_gqa/model`, with the batch of that case. B is random, alpha is not
r, dropout 0.

- `clinical/`: CAUSAL_LM, r 4, alpha 2, `q_proj`, `k_proj`, `v_proj`, `o_proj`; saved from the causal language model.
- `downstream/`: SEQ_CLS with 4 classes, r 3, alpha 7, `q_proj` and `v_proj`, the head `score` in `modules_to_save`; saved
  from the classification model.
- `clinical_lm_logits`: next-token logits with `clinical` alone.
- `logits.none`, `logits.clinical`, `logits.downstream`, `logits.both`: class logits at the last real token of each note,
  always with the head of `downstream`.
- `loss`: the mean cross-entropy of `logits.both` against `class_labels`; `grad.clinical.*` and `grad.downstream.*` its
  gradients, by the names in `adapter_model.safetensors`. Those of `clinical` are for a clinical adapter that trains on.
- `alone.both`: `logits.both` once more, each note run by itself without padding.

Pad id 2 is also the last real token of the first note. Hugging Face pools by pad id and would take the token before it;
the values here follow the attention mask.
"""


def main() -> None:
    common.enter(__file__)
    make_clinical()
    make_downstream()
    golden = load_file("../llama_gqa/golden.safetensors")
    inputs = {name: golden[name] for name in ("input_ids", "attention_mask")}
    labels = torch.tensor(CLASS_LABELS)
    tensors = {**inputs, "class_labels": labels}

    clinical = PeftModel.from_pretrained(common.load_base(BASE), "clinical").eval()
    tensors["clinical_lm_logits"] = clinical(**inputs).logits
    assert (tensors["clinical_lm_logits"] - golden["logits"]).abs().max() > 0.1, "the adapter hardly changes the base"

    model = stack()
    with model.disable_adapter():
        tensors["logits.none"] = common.class_logits(model, inputs)
    for names in (["clinical"], ["downstream"], ["clinical", "downstream"]):
        activate(model, names)
        tensors[f"logits.{names[0] if len(names) == 1 else 'both'}"] = common.class_logits(model, inputs)
    check_single_adapter(tensors["logits.downstream"], inputs)

    logits = tensors["logits.both"]
    tensors["loss"] = torch.nn.functional.cross_entropy(logits, labels)
    tensors["loss"].backward()
    tensors[f"grad.downstream.{HEAD}"] = model.base_model.model.score.weight.grad
    for adapter in ("clinical", "downstream"):
        for name, parameter in common.adapter_parameters(model, adapter).items():
            tensors[f"grad.{adapter}.{name}"] = parameter.grad
    tensors["alone.both"] = common.class_logits_alone(model, inputs)
    torch.testing.assert_close(tensors["alone.both"], logits, rtol=0, atol=1e-5)

    common.save_golden(tensors)
    common.write_readme("peft_stack", TEXT, SEED, ["golden.safetensors"])


def make_clinical() -> None:
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=4,
        lora_alpha=2,
        lora_dropout=0.0,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
    )
    model = get_peft_model(common.load_base(BASE), config)
    common.randomise_adapter(model, SEED)
    common.save_adapter(model, "clinical")


def make_downstream() -> None:
    config = LoraConfig(
        task_type="SEQ_CLS", r=3, lora_alpha=7, lora_dropout=0.0, target_modules=["q_proj", "v_proj"]
    )
    model = get_peft_model(common.load_classifier(BASE, CLASSES), config)
    common.randomise_adapter(model, SEED + 1)
    common.save_adapter(model, "downstream")


def stack() -> PeftModel:
    """Both adapters on the classification model.

    PEFT loads neither a CAUSAL_LM adapter on this model nor a second adapter without the first one's head, so both are
    added to a plain `PeftModel`, without a task, and the head goes into the base model.
    """
    base = common.load_classifier(BASE, CLASSES)
    model = None
    for adapter in ("clinical", "downstream"):
        config = LoraConfig.from_pretrained(adapter)
        config.task_type, config.modules_to_save, config.inference_mode = None, None, False
        if model is None:
            model = PeftModel(base, config, adapter_name=adapter)
        else:
            model.add_adapter(adapter, config)
        tensors = load_file(f"{adapter}/adapter_model.safetensors")
        if HEAD in tensors:
            base.score.weight = torch.nn.Parameter(tensors.pop(HEAD))
        result = set_peft_model_state_dict(model, tensors, adapter_name=adapter)
        assert not result.unexpected_keys, result.unexpected_keys
        stored = common.adapter_parameters(model, adapter)
        assert all(torch.equal(stored[name], tensor) for name, tensor in tensors.items())
        assert stored.keys() == tensors.keys()
    return model.eval()


def activate(model: PeftModel, adapters: list[str]) -> None:
    """Sums these adapters, and lets exactly them and the head train."""
    model.base_model.set_adapter(adapters)
    assert sorted(model.base_model.active_adapters) == sorted(adapters)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("score" in name or any(f".{adapter}." in name for adapter in adapters))


def check_single_adapter(expected: torch.Tensor, inputs: dict[str, torch.Tensor]) -> None:
    """The way a user loads `downstream`, head and all, agrees; and so does Hugging Face's own pooling where it can."""
    model = PeftModel.from_pretrained(common.load_classifier(BASE, CLASSES), "downstream").eval()
    torch.testing.assert_close(common.class_logits(model, inputs), expected, rtol=0, atol=1e-6)
    by_pad_id = model(**inputs).logits
    torch.testing.assert_close(by_pad_id[1:], expected[1:], rtol=0, atol=1e-6)
    assert (by_pad_id[0] - expected[0]).abs().max() > 0.01, "the first note does not tell mask from pad id"


if __name__ == "__main__":
    main()
