"""Does Python read a tokenizer.json of ours, with equal ids?

    python check_trained.py tokenizer.json ids.json     # ids.json: [{"text": "..", "ids": [..]}, ..]
"""

import json
import sys

from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file(sys.argv[1])
tokenizer.encode_special_tokens = True
with open(sys.argv[2], encoding="utf-8") as file:
    cases = json.load(file)
wrong = [i for i, case in enumerate(cases) if tokenizer.encode(case["text"]).ids != case["ids"]]
print(f"{len(cases) - len(wrong)} of {len(cases)} texts have equal ids; different: {wrong}")
sys.exit(bool(wrong) or not cases)
