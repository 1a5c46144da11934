"""What the generators of the golden files share: random weights, the batch, saving, and the README of a case.

A generator runs on one thread of the CPU, in f32, with eager attention, so that the same package versions give the
same bytes. Each one is a script: `python generate.py` rewrites its own folder and touches nothing else.
"""

import json
import os
import platform
import sys
import warnings
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy
import peft
import safetensors
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM, LlamaForSequenceClassification

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)

PAD = 2
"""Pad and end of text share an id, as in the LLaMA checkpoints."""

IGNORED = -100
"""Label of a position that carries no loss."""

LARGEST_FILE = 200_000
"""Bytes: golden files are committed, so they stay small."""


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(seed: int, vocab: int, lengths=(7, 11, 4)) -> dict[str, torch.Tensor]:
    """A right-padded batch [B, T] of random ids; every note starts with BOS (1).

    The first note ends with a real id equal to PAD: only the attention mask tells it from padding.
    """
    width = max(lengths)
    ids = torch.full((len(lengths), width), PAD)
    mask = torch.zeros(len(lengths), width, dtype=torch.int64)
    rng = generator(seed)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(3, vocab, (length,), generator=rng)
        ids[row, 0] = 1
        mask[row, :length] = 1
    ids[0, lengths[0] - 1] = PAD
    return {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, IGNORED)}


def randomise(model: torch.nn.Module, seed: int, embedding_std: float = 1.0) -> None:
    """Random weights large enough for every part of the model to matter: norm gains 1 +- 0.2, biases +- 0.3,
    linear weights 1.2 / sqrt(inputs)."""
    rng = generator(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=rng)
            if "norm" in name:
                parameter.copy_(1.0 + 0.2 * noise)
            elif name.endswith("bias"):
                parameter.copy_(0.3 * noise)
            elif "embed_tokens" in name:
                parameter.copy_(embedding_std * noise)
            else:
                parameter.copy_(1.2 * parameter.shape[-1] ** -0.5 * noise)


def load_base(folder: str, model_class=LlamaForCausalLM, **options):
    """A base model in f32 with eager attention."""
    return model_class.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", **options).eval()


def load_classifier(folder: str, classes: int) -> LlamaForSequenceClassification:
    """The base with a fresh head `score`; the adapter brings the head that counts."""
    return load_base(folder, LlamaForSequenceClassification, num_labels=classes)


def save_base(model: torch.nn.Module, folder: str, **options) -> None:
    """A Hugging Face folder as `transformers` writes it, less the generation defaults."""
    model.save_pretrained(folder, **options)
    Path(folder, "generation_config.json").unlink(missing_ok=True)


def token_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of each target: position t predicts label t + 1; ignored ones are left out. [N]"""
    nll = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="none"
    )
    return nll[labels[:, 1:].flatten() != IGNORED]


def causal_lm_golden(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Logits, hidden states, loss and the gradient of every weight, for full fine-tuning."""
    model.zero_grad()
    output = model(**inputs, output_hidden_states=True)
    losses = token_losses(output.logits, inputs["labels"])
    torch.testing.assert_close(output.loss, losses.mean())
    output.loss.backward()
    tensors = dict(inputs)
    tensors["logits"] = output.logits
    for index, hidden in enumerate(output.hidden_states):
        tensors[f"hidden.{index}"] = hidden
    tensors |= {"loss": output.loss, "loss_sum": losses.sum(), "token_count": torch.tensor(len(losses))}
    for name, parameter in model.named_parameters():
        tensors[f"grad.{name}"] = parameter.grad
    return tensors


def class_logits(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Class logits [B, K] at the last position that the attention mask shows.

    Hugging Face takes the last id that is not the pad id instead, so its pooling is put aside: the head's own output
    holds the logits of every position.
    """
    seen = []
    score = model.get_base_model().score
    hook = score.register_forward_hook(lambda module, arguments, output: seen.append(output))
    model(**inputs)
    hook.remove()
    (every_position,) = seen
    last = inputs["attention_mask"].sum(dim=1) - 1
    return every_position[torch.arange(len(last)), last]


def class_logits_alone(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Class logits [B, K], each note run by itself and without padding."""
    rows = []
    for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True):
        ids = ids[mask == 1].unsqueeze(0)
        rows.append(class_logits(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}))
    return torch.cat(rows)


def save_golden(tensors: dict[str, torch.Tensor], path: str = "golden.safetensors") -> None:
    """Every tensor contiguous and on its own, scalars as [1]; one that is zero everywhere or not finite proves nothing."""
    tensors = {name: torch.atleast_1d(tensor.detach()).clone().contiguous() for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        assert tensor.isfinite().all() and tensor.abs().max() > 0, f"{name} proves nothing: {tensor}"
    save_file(tensors, path)


# --- PEFT -----------------------------------------------------------------------------------------------------------


def randomise_adapter(model: torch.nn.Module, seed: int, adapter: str = "default") -> None:
    """Random A, B and head of one adapter: B is not zero, so the adapter changes the output."""
    rng = generator(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if f".{adapter}." in name:
                scale = 0.3 if "lora_B" in name else parameter.shape[-1] ** -0.5
                parameter.copy_(scale * torch.randn(parameter.shape, generator=rng))


def adapter_parameters(model: torch.nn.Module, adapter: str = "default") -> dict[str, torch.nn.Parameter]:
    """The tensors of one adapter by the names they have in `adapter_model.safetensors`, sorted."""
    named = {
        name.replace(f".modules_to_save.{adapter}.", ".").replace(f".{adapter}.", "."): parameter
        for name, parameter in model.named_parameters()
        if f".{adapter}." in name
    }
    return dict(sorted(named.items()))


def save_adapter(model: torch.nn.Module, folder: str) -> None:
    """A PEFT folder as `save_pretrained` writes it, less the model card.

    PEFT writes sets in arbitrary order; sorted here, so that a second run gives the same bytes.
    """
    model.save_pretrained(folder)
    Path(folder, "README.md").unlink(missing_ok=True)
    path = Path(folder, "adapter_config.json")
    config = json.loads(path.read_text())
    for key, value in config.items():
        if isinstance(value, list):
            config[key] = sorted(value)
    path.write_text(json.dumps(config, indent=2, sort_keys=True))
    stored = set(load_file(Path(folder, "adapter_model.safetensors")))
    assert stored == set(adapter_parameters(model)), "names differ from those of the file"


# --- the README of a case -------------------------------------------------------------------------------------------


def write_readme(title: str, text: str, seed: int, files: list[str]) -> None:
    """README.md: what the case holds, the versions that made it, and the tensors of each golden file."""
    versions = ", ".join(
        f"{module.__name__} {module.__version__}" for module in (torch, transformers, peft, safetensors, numpy)
    )
    lines = [f"# {title}", "", text.strip(), ""]
    lines += ["Regenerate with `python generate.py` in this folder.", ""]
    lines += [f"Seed {seed}. Made with Python {platform.python_version()}, {versions}.", ""]
    for file in files:
        lines += [f"## {file}", "", "| tensor | shape |", "|---|---|"]
        lines += [f"| `{name}` | {shape} |" for name, shape in folded(load_file(file)).items()] + [""]
    Path("README.md").write_text("\n".join(lines).rstrip() + "\n")
    for path in sorted(Path().rglob("*")):
        if path.is_file():
            path.chmod(0o644)
            assert path.stat().st_size < LARGEST_FILE, f"{path} is too large to commit"
    print(Path("README.md").read_text())


def folded(tensors: dict[str, torch.Tensor]) -> dict[str, str]:
    """Names and shapes, with the layers of one tensor folded into a single line: `layers.{0..2}`."""
    groups: dict[str, list[int]] = {}
    shapes: dict[str, str] = {}
    for name, tensor in sorted(tensors.items()):
        parts = name.split(".")
        encoder = "mlp_head" in parts or "transform" in parts  # layers of different shapes
        index = None if encoder else next((part for part in parts if part.isdigit()), None)
        key = name if index is None else ".".join("{}" if part.isdigit() else part for part in parts)
        groups.setdefault(key, []).append(int(index or 0))
        dtype = "" if tensor.dtype == torch.float32 else f" {str(tensor.dtype).removeprefix('torch.')}"
        shape = f"{list(tensor.shape)}{dtype}"
        assert shapes.setdefault(key, shape) == shape, f"{key} has several shapes"
    return {
        key.replace("{}", f"{{{min(found)}..{max(found)}}}") if "{}" in key else key: shapes[key]
        for key, found in groups.items()
    }


def enter(script: str) -> None:
    """Works in the folder of a generator, so that paths in the artefacts are relative to it."""
    os.chdir(Path(script).resolve().parent)
    sys.dont_write_bytecode = True
