"""Golden ids for the tokenizer: tiny tokenizers of four kinds, and what the Python packages make of odd texts.

    python generate.py        # writes beside itself; see README.md for the versions

Every sentence is made up here. Nothing is random but for the fixed seed.
"""

import io
import json
import random
from pathlib import Path

import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2 as pb
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers.convert_slow_tokenizer import generate_merges

HERE = Path(__file__).parent
BLANK = "\u2581"

# ---- corpus -----------------------------------------------------------------------------------------------------

rng = random.Random(20)
WHO = ["Patient", "This man", "This woman", "Pt", "The patient", "Mr. [** **]", "Ms. ___"]
WHAT = ["was admitted with", "presents with", "complains of", "has a history of", "denies", "was treated for"]
FINDING = ["chest pain", "shortness of breath", "fever and chills", "hypertension", "diabetes mellitus type 2",
           "acute renal failure", "pneumonia", "atrial fibrillation", "altered mental status", "sepsis",
           "nausea, vomiting", "a GI bleed", "COPD exacerbation", "congestive heart failure", "café-au-lait spots"]
PLAN = ["started on heparin gtt", "given 40 mg IV Lasix", "transferred to the ICU", "intubated", "d/c'd home",
        "follow-up in 2 weeks", "BP 120/80, HR 72, RR 16", "WBC 12.4, Hgb 9.8", "  s/p   CABG x3", "no acute distress"]
SECTION = ["HISTORY OF PRESENT ILLNESS:", "PAST MEDICAL HISTORY:", "Allergies:", "_____", "=======", "--", "****"]
CORPUS = [f"{rng.choice(SECTION)} {rng.choice(WHO)} {rng.choice(WHAT)} {rng.choice(FINDING)} on "
          f"{rng.randint(1, 12)}/{rng.randint(1, 28)}; {rng.choice(PLAN)}." for _ in range(3000)]

# ---- texts ------------------------------------------------------------------------------------------------------

TEXTS = [
    "", " ", "  ", "     ", "\t", "\n", "\r\n", "\n\n\n", "\0", "a\0b", "\u0001\u001f\u007f", "\ufeffBOM first",
    "Patient was admitted with chest pain.", " leading blank", "  two leading blanks", "trailing blank ",
    "trailing blanks   ", "double  blanks   inside    text", "tab\tseparated\tvalues", "line one\nline two\r\nline 3",
    " \n \t mixed \r blanks \n", "[** **] was seen by Dr. [**Last Name**] on [**2101-1-1**]", "[**", "**]", "[****]",
    "___", "_", "__", "____", "_____", "______", "_______", "Name: ___ Unit No: ___", "a____b___c__d_e",
    "=======", "---------", "- - -", "*****", "x  _  x", "........", "!!!???", "120/80", "0123456789", "12.4 mg/dL",
    "café", "cafe\u0301", "naïve Müller Ångström", "e\u0301\u0323\u0302", "\u0301", "ﬁ ligature ½ ² ™ Ⅳ ㎎ ｆｕｌｌ",
    "\u00a0nbsp\u2003em\u3000ideographic\u200bzero\u00adsoft", "患者は胸痛で入院した。", "환자", "病人", "𠮷野家",
    "😀", "👩\u200d⚕️ and 👨🏽\u200d🔬", "🇺🇸", "الم في الصدر", "כאב בחזה", "\u202eright to left\u202c", "боль в груди",
    "हृदय", "µg °C ± ≥ → β", "\ufffd", "\U0010ffff", "<s>", "</s>", "<unk>", "<s>Patient</s>", "stop </s> go </s>",
    "<0x0A>", "a<0x0A>b", "<|begin_of_text|>", "<|end_of_text|>", "[CLS]", "[SEP] fever [UNK] [PAD]", "<pad>",
    BLANK, BLANK * 3, f"{BLANK}Patient", f"a{BLANK}b", f" {BLANK} ", "x" * 300, "ab" * 150, "fever" * 60,
    "Pneumonoultramicroscopicsilicovolcanoconiosis", "HISTORY OF PRESENT ILLNESS:\nPt is a 72M s/p CABG x3",
    "d/c'd home; she's well, they'll follow-up", "McDonald's O2 sat 98%", "A" * 17 + " " * 17 + "9" * 17,
    "pneumonia" + " pneumonia" * 20, "SEPSIS sepsis Sepsis sEpSiS", "a b c d e f g", "...and \\ \" ' ` ~ | {}",
    "<ud>", "a<ud>b <ud> <ud>x", "<ud>x<ud>", "ZQZ QZQ", "hypertension hyper tension", "pneumothorax chest chestchest",
]
assert len(set(TEXTS)) == len(TEXTS) >= 60

# ---- tokenizers -------------------------------------------------------------------------------------------------


def train_sentencepiece(vocab_size=600, **more) -> bytes:
    """LLaMA's own settings."""
    settings = {"byte_fallback": True, **more}
    out = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_writer=out, model_type="bpe", vocab_size=vocab_size, split_digits=True,
        add_dummy_prefix=True, normalization_rule_name="identity", remove_extra_whitespaces=False, num_threads=1,
        allow_whitespace_only_pieces=True, character_coverage=0.9995, minloglevel=2, **settings)
    proto = pb.ModelProto.FromString(out.getvalue())
    proto.trainer_spec.ClearField("input")
    return proto.SerializeToString(deterministic=True)


def made_odd(model: bytes) -> bytes:
    """Marks every seventh merged piece as unused, ties some scores, and adds pieces: one that holds a user-defined symbol
    and so may never be used, one across two words, and two with the scores 0.0 and -0.0, which are not equal here."""
    proto = pb.ModelProto.FromString(model)
    for i, piece in enumerate(proto.pieces):
        if piece.type == piece.NORMAL and len(piece.piece) > 1:
            if i % 7 == 0:
                piece.type = piece.UNUSED
            if i % 3 == 0:
                piece.score = -100.0
    for piece, score in [("a<ud>", 1.0), (f"e{BLANK}f", 2.0), ("ZQ", -0.0), ("QZ", 0.0)]:
        proto.pieces.add(piece=piece, score=score)
    return proto.SerializeToString(deterministic=True)


def llama_json(model: bytes) -> Tokenizer:
    """Hugging Face's conversion, in the form of the tokenizer.json of LLaMA-1 and -2, without a post-processor."""
    pieces = pb.ModelProto.FromString(model).pieces
    vocab = {p.piece: i for i, p in enumerate(pieces)}
    scores = {p.piece: p.score for p in pieces}
    special = [p.piece for p in pieces if p.type in (p.UNKNOWN, p.CONTROL)]
    merges = generate_merges(vocab, scores, special)
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(BLANK), normalizers.Replace(" ", BLANK)])
    tokenizer.decoder = decoders.Sequence([decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in special])
    return tokenizer


def llama3_json() -> Tokenizer:
    """Byte-level BPE with the pattern of LLaMA-3."""
    pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
               r"\s*[\r\n]+|\s+(?!\S)|\s+")
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>"])
    bos = tokenizer.token_to_id("<|begin_of_text|>")
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
                                      special_tokens=[("<|begin_of_text|>", bos)])])
    return tokenizer


def bert_json() -> Tokenizer:
    """WordPiece, lower-cased, with a vocabulary cut by rule: the trainer's order of ids is left to chance."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    lowered = " ".join(CORPUS).lower().replace("\u00e9", "e")
    chars = sorted(set(lowered) - {" "})
    words = sorted({word.strip(".,;:()") for word in lowered.split()} - set(chars) - {""})
    halves = [f"##{word[4:]}" for word in words[::2] if len(word) > 6]
    tokens = [*special, *chars, *(f"##{char}" for char in chars), *words[1::2], *(w[:4] for w in words[::2]), *halves]
    vocab = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(special)
    ids = {t: tokenizer.token_to_id(t) for t in special}
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    return tokenizer


# ---- goldens ----------------------------------------------------------------------------------------------------


def of_sentencepiece(model: bytes) -> list:
    sp = spm.SentencePieceProcessor(model_proto=model)
    cases = []
    for text in TEXTS:
        ids = sp.encode(text, add_bos=True)
        cases.append({"ids": ids, "text": sp.decode(ids)})
    return cases


def of_tokenizers(tokenizer: Tokenizer, bos: list = ()) -> list:
    tokenizer.encode_special_tokens = True  # text that spells a special token stays text
    cases = []
    for text in TEXTS:
        ids = [*bos, *tokenizer.encode(text).ids]
        cases.append({"ids": ids, "text": tokenizer.decode(ids)})
    return cases


def main() -> None:
    llama = train_sentencepiece()
    odd = made_odd(train_sentencepiece(user_defined_symbols=["<ud>", "<ud>x", f"{BLANK}chest"]))
    nobytes = train_sentencepiece(vocab_size=300, byte_fallback=False)
    (HERE / "llama.model").write_bytes(llama)
    (HERE / "odd.model").write_bytes(odd)
    (HERE / "nobytes.model").write_bytes(nobytes)
    jsons = {"llama": llama_json(llama), "llama3": llama3_json(), "bert": bert_json()}
    expected = {"llama.model": of_sentencepiece(llama), "odd.model": of_sentencepiece(odd),
                "nobytes.model": of_sentencepiece(nobytes)}
    for name, tokenizer in jsons.items():
        expected[f"{name}.json"] = of_tokenizers(tokenizer, [1] if name == "llama" else [])
    # The file's truncation and padding must be ignored by its reader.
    jsons["bert"].enable_truncation(8)
    jsons["bert"].enable_padding(length=8, pad_id=0, pad_token="[PAD]")
    for name, tokenizer in jsons.items():
        tokenizer.save(str(HERE / f"{name}.json"), pretty=False)

    same = sum(a["ids"] == b["ids"] for a, b in zip(expected["llama.model"], expected["llama.json"]))
    print(f"{len(TEXTS)} texts; sentencepiece and the converted tokenizer.json agree on {same}")
    for i, (a, b) in enumerate(zip(expected["llama.model"], expected["llama.json"])):
        if a != b:
            print(ascii(TEXTS[i]), a, b)
    with (HERE / "cases.json").open("w", newline="\n") as file:
        json.dump({"texts": TEXTS, "expected": expected}, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
