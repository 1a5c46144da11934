"""Golden values of prefix tuning by Python PEFT: plain, projected, and on a base with grouped queries."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import common
import methods
from peft import PrefixTuningConfig

SEED = 6201
MHA, GQA = "../llama_mha/model", "../llama_gqa/model"
CLASSES = 4

TEXT = """
Prefix tuning by Python PEFT, with the batch of the base's case.

- `plain/`: 5 slots on `llama_mha`, no projection. `projected/`: 3 slots, projection of width 7; its table and layers,
  which PEFT does not save, stand beside it in `encoder.safetensors`. `grouped/`: 4 slots on `llama_gqa` (2 key-value heads
  of 10). `classifier/`: 2 slots on `llama_mha` with SEQ_CLS and a head of 4 classes.
- For each: `logits` of the notes' tokens, `loss`, `grad.*`, `curve` (ten losses under torch AdamW, lr 1e-2, weight decay
  0.01) and `final.*`, the tensors after it. `classifier.class_logits`: at each note's last token by the attention mask.
"""


def main() -> None:
    common.enter(__file__)
    inputs = methods.inputs_of("llama_mha")
    lm = {"task_type": "CAUSAL_LM"}
    tensors = dict(inputs)
    config = PrefixTuningConfig(num_virtual_tokens=5, **lm)
    tensors |= methods.variant(MHA, config, "plain", SEED, inputs)
    config = PrefixTuningConfig(num_virtual_tokens=3, prefix_projection=True, encoder_hidden_size=7, **lm)
    tensors |= methods.variant(MHA, config, "projected", SEED + 10, inputs)
    config = PrefixTuningConfig(num_virtual_tokens=4, **lm)
    tensors |= methods.variant(GQA, config, "grouped", SEED + 20, inputs)
    config = PrefixTuningConfig(num_virtual_tokens=2, task_type="SEQ_CLS")
    tensors |= methods.classifier(MHA, config, "classifier", SEED + 30, inputs, CLASSES)
    common.save_golden(tensors)
    common.write_readme("peft_prefix", TEXT, SEED, ["golden.safetensors"])


if __name__ == "__main__":
    main()
