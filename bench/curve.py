#!/usr/bin/env python3
"""Hugging Face PEFT's loss curve from where `clinlora bench curve --out DIR` began: the same base, adapter and tokens.

  python bench/curve.py DIR [--device cuda] [--dtype bfloat16]

Prints one JSON object: both curves, and how far they are apart at most, as a share of theirs.
"""
import argparse
import json
import pathlib

import torch
from peft import PeftModel
from transformers import LlamaForCausalLM


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    arguments = parser.parse_args()

    ours = json.loads((arguments.folder / "curve.json").read_text())
    ids = torch.tensor(json.loads((arguments.folder / "tokens.json").read_text()), device=arguments.device)
    model = LlamaForCausalLM.from_pretrained(arguments.folder / "base", dtype=getattr(torch, arguments.dtype))
    model = PeftModel.from_pretrained(model, arguments.folder / "adapter", is_trainable=True).to(arguments.device)
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=ours["learning_rate"], weight_decay=ours["weight_decay"])
    losses = []
    for _ in ours["losses"]:
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
    apart = max(abs(a - b) / b for a, b in zip(ours["losses"], losses))
    result = dict(ours=ours["losses"], theirs=losses, grad_norms=ours["grad_norms"], apart=apart,
                  fell=losses[0] - losses[-1], agrees=apart <= 0.02, dtype=arguments.dtype)
    print(json.dumps(result))


main()
