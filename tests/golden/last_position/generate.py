"""Golden values of a head that Hugging Face reads at padding, because configuration and tokenizer have another pad id."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import common
import torch
from safetensors.torch import load_file

SEED = 1901
BASE = "../llama_mha/model"
CLASSES = 3
WIDTH = 13

TEXT = """
`LlamaForSequenceClassification` on `../llama_mha/model` with a random head and the notes of that case, padded on the right
with id 2 to 13 tokens, while the configuration's `pad_token_id` is 0, as in LLaMA configurations of 2023. Every id differs
from 0, so the model reads its head at the last place of every row, padding or not.

- `score`: the head. `logits.padded`: class logits as the model gives them for the batch of width 13.
- `logits.whole`: the same for the first 4 tokens of every note, where nothing is padded.
- `hidden.padded`: what the head reads, the state after the final norm at the last place.
"""


def main() -> None:
    common.enter(__file__)
    model = common.load_classifier(BASE, CLASSES)
    model.config.pad_token_id = 0
    with torch.no_grad():
        model.score.weight.copy_(torch.randn(model.score.weight.shape, generator=common.generator(SEED)))
    golden = load_file("../llama_mha/golden.safetensors")
    ids, mask = golden["input_ids"], golden["attention_mask"]
    more = WIDTH - ids.shape[1]
    padded = {
        "input_ids": torch.nn.functional.pad(ids, (0, more), value=common.PAD),
        "attention_mask": torch.nn.functional.pad(mask, (0, more)),
    }
    assert (padded["input_ids"] != 0).all()
    read = []
    hook = model.score.register_forward_pre_hook(lambda module, arguments: read.append(arguments[0]))
    logits = model(**padded).logits
    hook.remove()
    whole = {name: tensor[:, :4] for name, tensor in padded.items()}
    tensors = {
        "input_ids": ids,
        "attention_mask": mask,
        "score": model.score.weight,
        "logits.padded": logits,
        "logits.whole": model(**whole).logits,
        "hidden.padded": read[0][:, -1],
    }
    torch.testing.assert_close(tensors["hidden.padded"] @ model.score.weight.T, logits)
    # The state at padding is another than that at the last token.
    at_last = read[0][torch.arange(len(ids)), mask.sum(dim=1) - 1] @ model.score.weight.T
    assert (at_last - logits).abs().max() > 0.1
    common.save_golden(tensors)
    common.write_readme("last_position", TEXT, SEED, ["golden.safetensors"])


if __name__ == "__main__":
    main()
