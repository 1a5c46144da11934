"""What the generators of the prompt-like PEFT methods share: random adapters, their folders, and their golden values.

A case is a list of variants. For each one PEFT saves a folder, and the golden file holds, by the variant's name: logits
of the notes' own tokens, loss, the gradient of every trained tensor by the name of PEFT's module, and ten losses under
torch AdamW with the tensors after them.
"""

import json
from pathlib import Path

import common
import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

UPDATES = 10
LR = 1e-2


def trained(model: PeftModel) -> dict[str, torch.nn.Parameter]:
    """Everything an adapter trains but a head, by the name it has in our files, sorted."""
    named = {}
    for name, parameter in model.named_parameters():
        if "prompt_encoder.default." in name:
            named[name.split("prompt_encoder.default.")[1]] = parameter
        elif "adaption_" in name:
            named[name] = parameter
    if list(named) == ["embedding.weight"]:
        named = {"prompt_embeddings": named["embedding.weight"]}
    return dict(sorted(named.items()))


def randomise(model: PeftModel, seed: int) -> None:
    """Random values for everything trained: gates away from zero, tables N(0, 1), encoders at their usual size."""
    rng = common.generator(seed)
    with torch.no_grad():
        for name, parameter in trained(model).items():
            noise = torch.randn(parameter.shape, generator=rng)
            if name.endswith("adaption_gate"):
                parameter.copy_(0.6 + 0.3 * noise)
            elif "adaption_prompt" in name or name in ("prompt_embeddings", "embedding.weight"):
                parameter.copy_(noise)
            elif noise.dim() == 1:
                parameter.copy_(0.3 * noise)
            else:
                parameter.copy_(1.5 * parameter.shape[-1] ** -0.5 * noise)


def save(model: PeftModel, folder: str) -> None:
    """A PEFT folder as `save_pretrained` writes it, less the model card; an encoder goes beside it, by the names of PEFT's
    module, for which PEFT has no file."""
    model.save_pretrained(folder)
    Path(folder, "README.md").unlink(missing_ok=True)
    path = Path(folder, "adapter_config.json")
    config = json.loads(path.read_text())
    for key, value in config.items():
        if isinstance(value, list):
            config[key] = sorted(value)
    path.write_text(json.dumps(config, indent=2, sort_keys=True))
    tensors = trained(model)
    if "embedding.weight" in tensors:
        encoder = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
        save_file(encoder, Path(folder, "encoder.safetensors"), metadata={"format": "pt"})
    stored = load_file(Path(folder, "adapter_model.safetensors"))
    assert any(tensor.abs().max() > 0.1 for tensor in stored.values()), "nothing was saved"


def note_logits(logits: torch.Tensor, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Logits at the notes' own tokens: those of virtual tokens stand before them. [B, T, V]"""
    return logits[:, -inputs["input_ids"].shape[1] :]


def variant(base: str, config, folder: str, seed: int, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Makes and saves one adapter on the language model of `base`, and computes its golden values."""
    model = get_peft_model(common.load_base(base), config).eval()
    randomise(model, seed)
    save(model, folder)
    tensors = {}
    model.zero_grad()
    output = model(**inputs)
    output.loss.backward()
    tensors["logits"] = note_logits(output.logits, inputs)
    tensors["loss"] = output.loss
    tensors |= {f"grad.{name}": parameter.grad.clone() for name, parameter in trained(model).items()}
    plain = common.load_base(base)(**inputs)
    assert (plain.logits - tensors["logits"]).abs().max() > 0.1, f"{folder} hardly changes the base"
    tensors = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    tensors["curve"] = curve(model, inputs)
    tensors |= {f"final.{name}": parameter.detach().clone() for name, parameter in trained(model).items()}
    check_reload(base, folder, inputs, tensors["logits"])
    return {f"{folder}.{name}": tensor for name, tensor in tensors.items()}


def curve(model: PeftModel, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """The loss before each of ten updates of what the adapter trains."""
    parameters = list(trained(model).values())
    assert {id(p) for p in parameters} == {id(p) for p in model.parameters() if p.requires_grad}
    optimiser = torch.optim.AdamW(parameters, lr=LR, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    losses = []
    for _ in range(UPDATES):
        optimiser.zero_grad()
        loss = model(**inputs).loss
        loss.backward()
        losses.append(loss.item())
        optimiser.step()
    return torch.tensor(losses)


def check_reload(base: str, folder: str, inputs: dict[str, torch.Tensor], logits: torch.Tensor) -> None:
    """PEFT reads its own folder and computes the same."""
    model = PeftModel.from_pretrained(common.load_base(base), folder).eval()
    torch.testing.assert_close(note_logits(model(**inputs).logits, inputs), logits, rtol=0, atol=1e-5)


def classifier(base: str, config, folder: str, seed: int, inputs: dict[str, torch.Tensor], classes: int) -> dict:
    """The same for a SEQ_CLS adapter with a random head: class logits at each note's last token, by the mask."""
    model = get_peft_model(common.load_classifier(base, classes), config).eval()
    randomise(model, seed)
    rng = common.generator(seed + 1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "score" in name:
                parameter.copy_(0.4 * torch.randn(parameter.shape, generator=rng))
    save(model, folder)
    return {f"{folder}.class_logits": class_logits(model, inputs).detach()}


def class_logits(model: PeftModel, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Class logits at each note's last token, by the mask. [B, K]"""
    seen = []
    score = model.get_base_model().score
    hook = score.register_forward_hook(lambda module, arguments, output: seen.append(output))
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    config = model.active_peft_config
    if config.peft_type == "PREFIX_TUNING":
        # PEFT 0.21 asks the classifier for an argument `past_key_values`, which transformers 5.24 calls `cache`.
        slots = torch.ones(len(ids), config.num_virtual_tokens, dtype=mask.dtype)
        cache = model.get_prompt(len(ids))
        model.get_base_model()(ids, attention_mask=torch.cat([slots, mask], dim=1), cache=cache)
    else:
        model(input_ids=ids, attention_mask=mask)
    hook.remove()
    every_position = note_logits(seen[-1], inputs)
    last = mask.sum(dim=1) - 1
    return every_position[torch.arange(len(last)), last]


def inputs_of(case: str) -> dict[str, torch.Tensor]:
    golden = load_file(f"../{case}/golden.safetensors")
    return {name: golden[name] for name in ("input_ids", "attention_mask", "labels")}
