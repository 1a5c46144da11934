"""Golden values of P-tuning by Python PEFT: MLP and LSTM encoders."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import common
import methods
from peft import PromptEncoderConfig

SEED = 6401
MHA = "../llama_mha/model"
CLASSES = 4

TEXT = """
P-tuning by Python PEFT on `../llama_mha/model`, with the batch of that case. The encoders, of which PEFT saves the output
alone, stand beside its files in `encoder.safetensors`, by the names of PEFT's module.

- `mlp/`: 4 virtual tokens, width 9. `lstm/`: 5 virtual tokens, 2 layers of 7 each way. `classifier/`: MLP, 3 virtual tokens,
  with SEQ_CLS and a head of 4 classes.
- For each: `logits` of the notes' tokens, `loss`, `grad.*`, `curve` (ten losses under torch AdamW, lr 1e-2, weight decay
  0.01) and `final.*`, the tensors after it. BOS is a target here. `classifier.class_logits`: at each note's last token by
  the attention mask.
"""


def main() -> None:
    common.enter(__file__)
    inputs = methods.inputs_of("llama_mha")
    tensors = dict(inputs)
    config = PromptEncoderConfig(num_virtual_tokens=4, encoder_hidden_size=9, task_type="CAUSAL_LM")
    tensors |= methods.variant(MHA, config, "mlp", SEED, inputs)
    config = PromptEncoderConfig(
        num_virtual_tokens=5,
        encoder_hidden_size=7,
        encoder_num_layers=2,
        encoder_reparameterization_type="LSTM",
        task_type="CAUSAL_LM",
    )
    tensors |= methods.variant(MHA, config, "lstm", SEED + 10, inputs)
    config = PromptEncoderConfig(num_virtual_tokens=3, encoder_hidden_size=5, task_type="SEQ_CLS")
    tensors |= methods.classifier(MHA, config, "classifier", SEED + 30, inputs, CLASSES)
    common.save_golden(tensors)
    common.write_readme("peft_p_tuning", TEXT, SEED, ["golden.safetensors"])


if __name__ == "__main__":
    main()
