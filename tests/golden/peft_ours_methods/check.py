"""Loads the folders that Clinlora wrote in Python PEFT, compares logits with golden ones and records it in checked.json.

    python check.py
"""

import hashlib
import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import common
import methods
import peft
import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file

TOLERANCE = 1e-5
CLASSES = 4


def main() -> None:
    common.enter(__file__)
    record = {"peft": peft.__version__, "transformers": transformers.__version__, "torch": torch.__version__, "cases": {}}
    for path in sorted(Path().glob("*/adapter_config.json")):
        folder = path.parent
        case, variant = folder.name.rsplit("_", 1)
        worst = check(folder, case, variant)
        print(f"{folder.name}: Python PEFT agrees within {worst:.1e}")
        sums = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}
        record["cases"][folder.name] = {"worst": worst, "sha256": sums}
    Path("checked.json").write_text(json.dumps(record, indent=2) + "\n")


def check(folder: Path, case: str, variant: str) -> float:
    golden = load_file(f"../{case}/golden.safetensors")
    inputs = {name: golden[name] for name in ("input_ids", "attention_mask", "labels")}
    base = json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
    if variant == "classifier":
        model = PeftModel.from_pretrained(common.load_classifier(base, CLASSES), str(folder)).eval()
        if case == "peft_adaption_prompt":
            # PEFT writes no head beside these, so there is no golden one; it must at least load ours.
            head = load_file(folder / "adapter_model.safetensors")["base_model.model.score.weight"]
            return difference(model.get_base_model().score.weight, head)
        return difference(methods.class_logits(model, inputs), golden["classifier.class_logits"])
    model = PeftModel.from_pretrained(common.load_base(base), str(folder)).eval()
    logits = methods.note_logits(model(**inputs).logits, inputs)
    real = inputs["attention_mask"] == 1
    return difference(logits[real], golden[f"{variant}.logits"][real])


def difference(ours: torch.Tensor, expected: torch.Tensor) -> float:
    worst = (ours - expected).abs().max().item()
    assert worst <= TOLERANCE, f"{worst:.1e} apart"
    return worst


if __name__ == "__main__":
    main()
