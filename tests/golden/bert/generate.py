"""Golden values of a tiny BERT classifier by Transformers, with and without LoRA by PEFT, in new and old files."""

import json
import shutil
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import common
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

SEED = 7101
CLASSES = 4
CLASS_LABELS = (2, 0, 3)
UPDATES = 10
LR = 1e-2

WORDS = "The the patient was fever fe ##ver is ##ish , . É e a ##d ##mit ##ted ! - 5 ##mg é".split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXTS = [
    "The patient was admitted.",
    "the  feverish É, 5mg!",
    "Patient - zzz\tfever",
    "e\u0301 fever\u00a0is",
]

TEXT = """
A tiny BERT as Hugging Face Transformers runs it: 2 layers, hidden 24, 4 heads, MLP 37, vocabulary 61, 40 positions, exact
GELU, no dropout; f32, eager attention. Three right-padded notes of 7, 11 and 4 tokens, 4 classes.

- `model/`: the encoder with its pooler as transformers 5 saves it. `old/`: the same values as the first BERT releases have
  them: `pytorch_model.bin`, norms called gamma and beta, pretraining heads, no `model_type`, a bare `vocab.txt`.
- `head.*`: the head. `logits`, `loss` (cross-entropy against `class_labels`) and `grad.*` of every weight.
- `lora/`: LoRA by PEFT, r 3, alpha 5, on `query` and `value`, SEQ_CLS, the head in its file; the pooler is frozen.
  `lora.logits`, `lora.loss`, `lora.grad.*` by the names of its file, and `lora.curve`, ten losses under torch AdamW (lr 1e-2,
  weight decay 0.01).
- `tokens.json`: ids of a few texts by `BertTokenizer` from `old/vocab.txt`, cased and lower-cased.
"""


def main() -> None:
    common.enter(__file__)
    torch.manual_seed(SEED)
    config = BertConfig(
        vocab_size=61,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=37,
        max_position_embeddings=40,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=CLASSES,
        pad_token_id=0,
    )
    config._attn_implementation = "eager"
    model = BertForSequenceClassification(config).eval()
    randomise(model)
    inputs = batch()
    labels = torch.tensor(CLASS_LABELS)
    head = {f"head.{name}": p.detach().clone() for name, p in model.classifier.named_parameters()}
    save(model)

    tensors = {**inputs, "class_labels": labels, **head}
    logits = model(**inputs).logits
    loss = torch.nn.functional.cross_entropy(logits, labels)
    loss.backward()
    tensors |= {"logits": logits, "loss": loss}
    tensors |= {f"grad.{name}": p.grad.clone() for name, p in model.named_parameters()}

    tensors |= lora(inputs, labels, logits.detach())
    common.save_golden(tensors)
    tokens()
    common.write_readme("bert", TEXT, SEED, ["golden.safetensors"])


def batch() -> dict[str, torch.Tensor]:
    inputs = common.batch(SEED, 61)
    inputs["input_ids"][inputs["attention_mask"] == 0] = 0
    return {name: inputs[name] for name in ("input_ids", "attention_mask")}


def randomise(model: torch.nn.Module) -> None:
    rng = common.generator(SEED)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=rng)
            if "LayerNorm.weight" in name:
                parameter.copy_(1.0 + 0.2 * noise)
            elif name.endswith("bias"):
                parameter.copy_(0.3 * noise)
            elif "embeddings" in name:
                parameter.copy_(0.7 * noise)
            else:
                parameter.copy_(1.2 * parameter.shape[-1] ** -0.5 * noise)


def save(model: BertForSequenceClassification) -> None:
    common.save_base(model.bert, "model")
    old = {}
    for name, tensor in load_file("model/model.safetensors").items():
        name = name.removeprefix("bert.")
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        old[f"bert.{name}"] = tensor
    rng = common.generator(SEED + 1)
    old["cls.predictions.bias"] = torch.randn(61, generator=rng)
    old["cls.predictions.transform.LayerNorm.gamma"] = torch.randn(24, generator=rng)
    old["cls.seq_relationship.weight"] = torch.randn(2, 24, generator=rng)
    Path("old").mkdir(exist_ok=True)
    torch.save(old, "old/pytorch_model.bin")
    keys = ("vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size max_position_embeddings "
            "hidden_dropout_prob attention_probs_dropout_prob hidden_act initializer_range type_vocab_size").split()
    config = model.config.to_dict()
    Path("old/config.json").write_text(json.dumps({key: config[key] for key in keys}, indent=2) + "\n")
    unused = [f"[unused{i}]" for i in range(61 - len(SPECIAL) - len(WORDS))]
    Path("old/vocab.txt").write_text("".join(f"{piece}\n" for piece in SPECIAL + unused + WORDS), encoding="utf-8")
    Path("old/tokenizer_config.json").write_text('{"do_lower_case": false}\n')
    shutil.copy("old/vocab.txt", "model/vocab.txt")


def classifier() -> BertForSequenceClassification:
    return common.load_base("model", BertForSequenceClassification, num_labels=CLASSES)


def lora(inputs: dict[str, torch.Tensor], labels: torch.Tensor, plain: torch.Tensor) -> dict[str, torch.Tensor]:
    config = LoraConfig(task_type="SEQ_CLS", r=3, lora_alpha=5, lora_dropout=0.0, target_modules=["query", "value"])
    model = get_peft_model(classifier(), config).eval()
    common.randomise_adapter(model, SEED + 2)
    common.save_adapter(model, "lora")
    output = model(**inputs)
    loss = torch.nn.functional.cross_entropy(output.logits, labels)
    loss.backward()
    named = common.adapter_parameters(model)
    assert {id(p) for p in named.values()} == {id(p) for p in model.parameters() if p.requires_grad}
    tensors = {"lora.logits": output.logits.detach(), "lora.loss": loss.detach()}
    tensors |= {f"lora.grad.{name}": p.grad.clone() for name, p in named.items()}
    optimiser = torch.optim.AdamW(named.values(), lr=LR, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    losses = []
    for _ in range(UPDATES):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(**inputs).logits, labels)
        loss.backward()
        losses.append(loss.item())
        optimiser.step()
    tensors["lora.curve"] = torch.tensor(losses)
    again = PeftModel.from_pretrained(classifier(), "lora").eval()
    torch.testing.assert_close(again(**inputs).logits, tensors["lora.logits"], rtol=0, atol=1e-6)
    assert (tensors["lora.logits"] - plain).abs().max() > 0.1
    return tensors


def tokens() -> None:
    """Ids by the tokenizer that `vocab.txt` amounts to."""
    found = {"texts": TEXTS}
    for name, lower in (("cased", False), ("lower", True)):
        from transformers import BertTokenizer

        vocab = {piece: i for i, piece in enumerate(Path("old/vocab.txt").read_text(encoding="utf-8").splitlines())}
        tokenizer = BertTokenizer(vocab=vocab, do_lower_case=lower)
        found[name] = [tokenizer(text)["input_ids"] for text in TEXTS]
    assert found["cased"] != found["lower"]
    Path("tokens.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
