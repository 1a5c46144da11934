"""Loads the adapter folders that Clinlora wrote in Python PEFT and compares the logits with golden ones.

    python check.py            # the folders beside this file; records what was found in checked.json
    python check.py FOLDER     # the same three folders, freshly written to FOLDER; records nothing
"""

import hashlib
import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import common
import peft
import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file

TOLERANCE = 1e-5

CASES = {
    # folder: base, golden file and the logits in it, labels of the head
    "causal": ("../llama_mha/model", "../peft_lora/golden.safetensors", "logits", None),
    "rslora_all": ("../llama_mha/model", "../peft_lora/golden.safetensors", "rslora_all_logits", None),
    "classifier": ("../llama_gqa/model", "../peft_stack/golden.safetensors", "logits.downstream", 4),
}
FILES = ("adapter_config.json", "adapter_model.safetensors")


def main(folder: Path | None) -> None:
    folder = folder.resolve() if folder else None
    common.enter(__file__)
    record = {"peft": peft.__version__, "transformers": transformers.__version__, "torch": torch.__version__, "cases": {}}
    for case, expected in CASES.items():
        path = (folder or Path()) / case
        worst = check(path, *expected)
        print(f"{case}: Python PEFT agrees within {worst:.1e}")
        sums = {file: hashlib.sha256((path / file).read_bytes()).hexdigest() for file in FILES}
        record["cases"][case] = {"worst": worst, "sha256": sums}
    if folder is None:
        Path("checked.json").write_text(json.dumps(record, indent=2) + "\n")


def check(path: Path, base: str, golden: str, key: str, labels: int | None) -> float:
    model = common.load_base(base) if labels is None else common.load_classifier(base, labels)
    model = PeftModel.from_pretrained(model, str(path)).eval()
    loaded = common.adapter_parameters(model)
    stored = load_file(path / FILES[1])
    assert loaded.keys() == stored.keys(), f"{path}: PEFT has {sorted(loaded.keys() ^ stored.keys())} otherwise"
    assert all(torch.equal(loaded[name], tensor) for name, tensor in stored.items()), f"{path}: other values"
    golden = load_file(golden)
    inputs = {name: golden[name] for name in ("input_ids", "attention_mask")}
    logits = model(**inputs).logits if labels is None else common.class_logits(model, inputs)
    difference = (logits - golden[key]).abs()
    if labels is None:
        difference = difference[inputs["attention_mask"] == 1]
    worst = difference.max().item()
    assert worst <= TOLERANCE, f"{path}: {worst:.1e} apart"
    return worst


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
