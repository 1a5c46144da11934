"""Golden values of LoRA adapters made by Python PEFT on `llama_mha`: logits, gradients, merging, four loss curves."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import common
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import get_linear_schedule_with_warmup

SEED = 4101
BASE = "../llama_mha/model"
UPDATES = 10
WARM_UP = 3
LR = 1e-2
MAX_NORM = 1.3
MICRO_BATCHES = (slice(0, 2), slice(2, 3))
ALL_SITES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

TEXT = """
LoRA by Python PEFT on the base `../llama_mha/model`, with the batch of that case. B is random, alpha is not r, dropout 0.

- `adapter/`: CAUSAL_LM, r 3, alpha 5, `q_proj` and `v_proj`. `golden.safetensors` belongs to it, but for
  `rslora_all_logits`.
- `adapter_rslora_all/`: r 4, alpha 1.5, rank-stabilised (alpha / sqrt(r)), all seven projections: `rslora_all_logits`.
- `grad.*`: the gradient of `loss`, by the names in `adapter_model.safetensors`.
- `merged_logits`: after `merge_and_unload`, before any update.

Every curve starts from `adapter/`, updates the adapter alone ten times with torch AdamW (lr 1e-2, betas 0.9 and 0.999,
epsilon 1e-8, weight decay 0.01), and holds the loss before each update.

- `curve`, and `final.*`, the adapter after it: the whole batch, constant lr.
- `curve_accumulated`: micro-batches of rows 0..1 and row 2, weighted by their numbers of targets (16 and 3): the large
  batch again.
- `curve_micro_mean`: the loss and its gradient are the plain mean of the two micro-batch means, as Accelerate has it.
- `curve_clipped`: the whole batch, `clip_grad_norm_` at 1.3 (`max_norm`; `grad_norm` is the global norm before clipping,
  above the limit in some updates and below it in others), linear schedule with 3 warm-up updates of 10 (`lr` is the rate
  of each update, the first one 0).
"""


def main() -> None:
    common.enter(__file__)
    make("adapter", SEED, r=3, lora_alpha=5, target_modules=["q_proj", "v_proj"])
    make("adapter_rslora_all", SEED + 1, r=4, lora_alpha=1.5, target_modules=ALL_SITES, use_rslora=True)

    golden = load_file("../llama_mha/golden.safetensors")
    inputs = {name: golden[name] for name in ("input_ids", "attention_mask", "labels")}
    tensors = dict(inputs)

    model = load("adapter")
    output = model(**inputs)
    output.loss.backward()
    tensors |= {"logits": output.logits, "loss": output.loss}
    tensors |= {f"grad.{name}": tensor.grad for name, tensor in common.adapter_parameters(model).items()}
    assert (output.logits - golden["logits"]).abs().max() > 0.1, "the adapter hardly changes the base"

    tensors["merged_logits"] = load("adapter").merge_and_unload()(**inputs).logits
    torch.testing.assert_close(tensors["merged_logits"], output.logits, rtol=0, atol=1e-4)
    tensors["rslora_all_logits"] = load("adapter_rslora_all")(**inputs).logits

    curves(tensors, inputs)
    common.save_golden(tensors)
    common.write_readme("peft_lora", TEXT, SEED, ["golden.safetensors"])


def make(folder: str, seed: int, **config) -> None:
    """Saves a random adapter."""
    model = get_peft_model(common.load_base(BASE), LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **config))
    common.randomise_adapter(model, seed)
    common.save_adapter(model, folder)


def load(folder: str) -> PeftModel:
    return PeftModel.from_pretrained(common.load_base(BASE), folder, is_trainable=True).eval()


def curves(tensors: dict[str, torch.Tensor], inputs: dict[str, torch.Tensor]) -> None:
    """Adds the four loss curves and what belongs to them."""
    micro_batches = [{name: tensor[rows] for name, tensor in inputs.items()} for rows in MICRO_BATCHES]
    counts = [int((part["labels"][:, 1:] != common.IGNORED).sum()) for part in micro_batches]
    shares = [count / sum(counts) for count in counts]
    halves = [1 / len(micro_batches)] * len(micro_batches)

    model = load("adapter")
    tensors["curve"] = train(model, [inputs], [1.0])["loss"]
    tensors |= {f"final.{name}": tensor for name, tensor in common.adapter_parameters(model).items()}
    tensors["curve_accumulated"] = train(load("adapter"), micro_batches, shares)["loss"]
    tensors["curve_micro_mean"] = train(load("adapter"), micro_batches, halves)["loss"]
    clipped = train(load("adapter"), [inputs], [1.0], scheduled=True, max_norm=MAX_NORM)
    tensors |= {"curve_clipped": clipped["loss"], "grad_norm": clipped["norm"], "lr": clipped["lr"]}
    tensors["max_norm"] = torch.tensor(MAX_NORM)
    unclipped = train(load("adapter"), [inputs], [1.0], scheduled=True)

    torch.testing.assert_close(tensors["curve_accumulated"], tensors["curve"], rtol=0, atol=1e-5)
    assert (tensors["curve_micro_mean"] - tensors["curve"]).abs().min() > 0.01, "the two means hardly differ"
    assert tensors["grad_norm"].min() < MAX_NORM < tensors["grad_norm"].max(), "clipping is never or always on"
    assert (clipped["loss"] - unclipped["loss"]).abs().max() > 1e-3, "clipping hardly matters"


def train(model: PeftModel, micro_batches: list, weights: list[float], scheduled=False, max_norm=float("inf")) -> dict:
    """Ten updates; the loss of an update is the weighted sum over its micro-batches."""
    parameters = list(common.adapter_parameters(model).values())
    assert {id(p) for p in parameters} == {id(p) for p in model.parameters() if p.requires_grad}
    optimiser = torch.optim.AdamW(parameters, lr=LR, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    schedule = get_linear_schedule_with_warmup(optimiser, WARM_UP, UPDATES) if scheduled else None
    history = {"loss": [], "norm": [], "lr": []}
    for _ in range(UPDATES):
        optimiser.zero_grad()
        total = 0.0
        for part, weight in zip(micro_batches, weights, strict=True):
            loss = model(**part).loss * weight
            loss.backward()
            total += loss.item()
        history["norm"].append(torch.nn.utils.clip_grad_norm_(parameters, max_norm).item())
        history["lr"].append(optimiser.param_groups[0]["lr"])
        history["loss"].append(total)
        optimiser.step()
        if schedule:
            schedule.step()
    return {name: torch.tensor(values) for name, values in history.items()}


if __name__ == "__main__":
    main()
