"""Golden values of prompt tuning by Python PEFT: random values, and the initialisation from a text."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import common
import methods
import torch
from peft import PromptTuningConfig, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

SEED = 6301
MHA = "../llama_mha/model"
CLASSES = 4
SHORT, LONG = "finish this note", "finish this clinical note as a nurse would do it"

TEXT = """
Prompt tuning by Python PEFT on `../llama_mha/model`, with the batch of that case.

- `random/`: 5 virtual tokens. `classifier/`: 3, with SEQ_CLS and a head of 4 classes.
- `random.*`: `logits` of the notes' tokens, `loss`, `grad.*`, `curve` (ten losses under torch AdamW, lr 1e-2, weight decay
  0.01) and `final.*`, the tensors after it. BOS is a target here. `classifier.class_logits`: at each note's last token by
  the attention mask.
- `text_short`, `text_long`: the fresh tables of 6 virtual tokens from a text of 4 and of 11 ids (`text_short_ids`,
  `text_long_ids`, BOS included): the first is repeated as a whole and cut, the second cut.
"""


def main() -> None:
    common.enter(__file__)
    inputs = methods.inputs_of("llama_mha")
    tensors = dict(inputs)
    config = PromptTuningConfig(num_virtual_tokens=5, task_type="CAUSAL_LM")
    tensors |= methods.variant(MHA, config, "random", SEED, inputs)
    config = PromptTuningConfig(num_virtual_tokens=3, task_type="SEQ_CLS")
    tensors |= methods.classifier(MHA, config, "classifier", SEED + 30, inputs, CLASSES)
    tensors |= texts()
    common.save_golden(tensors)
    common.write_readme("peft_prompt", TEXT, SEED, ["golden.safetensors"])


def texts() -> dict[str, torch.Tensor]:
    """Fresh tables from both texts, through a word tokenizer that is not kept."""
    import tempfile

    words = sorted(set(f"{SHORT} {LONG}".split()))
    vocabulary = {"<unk>": 0, "<s>": 1, **{word: 5 + 3 * i for i, word in enumerate(words)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>")
    tensors = {}
    with tempfile.TemporaryDirectory() as folder:
        fast.save_pretrained(folder)
        for name, text in (("text_short", SHORT), ("text_long", LONG)):
            config = PromptTuningConfig(
                num_virtual_tokens=6,
                task_type="CAUSAL_LM",
                prompt_tuning_init="TEXT",
                prompt_tuning_init_text=text,
                tokenizer_name_or_path=folder,
            )
            model = get_peft_model(common.load_base(MHA), config)
            tensors[name] = methods.trained(model)["prompt_embeddings"]
            tensors[f"{name}_ids"] = torch.tensor(fast(text)["input_ids"])
    assert len(tensors["text_short_ids"]) == 4 and len(tensors["text_long_ids"]) == 11
    return tensors


if __name__ == "__main__":
    main()
