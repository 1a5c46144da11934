//! `tokenizer.model` against the same tokenizer's `tokenizer.json`: equal ids for odd and for real text.
//!
//! Ids against Python's packages are tested where the tokenizers are, in `core/src/tokenizer`.

use std::fs;

use clinlora_core::tokenizer::Tokenizer;
use clinlora_tests::{golden, shared};

const ODD: [&str; 14] = [
    "double  blanks   and    more",
    "  leading",
    "trailing  ",
    "Admitted [**2101-10-20**] under Dr. [**Last Name (STitle) 1022**] at [**Hospital1 18**]",
    "Ms. ___ is a ___ year old woman; ____ ___.",
    "line\nline\n\nline\r\n\tindented\n",
    "\n",
    "caf\u{e9} cafe\u{301} \u{fb01}ne \u{b5}g \u{2265} 38\u{b0}C",
    "\u{60a3}\u{8005}\u{306f}\u{80f8}\u{75db} \u{1f469}\u{200d}\u{2695}\u{fe0f} \u{5db}\u{5d0}\u{5d1}",
    "\u{a0}\u{2003}\u{200b}\u{feff}\u{202e}",
    "nul \0 bell \u{7} delete \u{7f}",
    "<s> </s> <unk> <0x0A> \u{2581}\u{2581}x",
    "7.35/40/98 K+ 3.9 q6h x10",
    "",
];

fn both() -> (Tokenizer, Tokenizer) {
    let read = |name| fs::read(golden("tokenizer").join(name)).unwrap();
    (
        Tokenizer::from_sentencepiece(&read("llama.model")).unwrap(),
        Tokenizer::from_json(&read("llama.json")).unwrap(),
    )
}

fn assert_equal_ids(text: &str, what: &str) {
    thread_local!(static BOTH: (Tokenizer, Tokenizer) = both());
    BOTH.with(|(model, json)| {
        let ids = model.encode(text, usize::MAX).unwrap();
        assert!(ids == json.encode(text, usize::MAX).unwrap(), "{what}: other ids");
        assert_eq!(model.decode(&ids).unwrap(), json.decode(&ids).unwrap(), "{what}");
        // The mark of a blank in pieces, U+2581, comes back as a blank: SentencePiece cannot tell them apart.
        let kept = text.replace('\u{2581}', " ");
        let decoded = model.decode(&ids).unwrap();
        assert!(decoded.trim_start() == kept.trim_start(), "{what}: the text is not kept");
    });
}

#[test]
fn a_sentencepiece_model_and_its_json_agree_on_odd_text() {
    for text in ODD {
        assert_equal_ids(text, &format!("{text:?}"));
        assert_equal_ids(&format!("{text} {text}\n{text}"), &format!("{text:?} three times"));
    }
}

#[test]
fn a_sentencepiece_model_and_its_json_agree_on_real_transcriptions() {
    let Some(folder) = shared("data/mtsamples") else {
        println!("skipped: shared/data/mtsamples is not here");
        return;
    };
    let mut texts = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "jsonl") {
            for (line, text) in fs::read_to_string(&path).unwrap().lines().enumerate() {
                let note: serde_json::Value = serde_json::from_str(text).unwrap();
                let where_ = format!("{}:{}", path.display(), line + 1);
                assert_equal_ids(note["text"].as_str().unwrap(), &where_);
                texts += 1;
            }
        }
    }
    assert!(texts > 0, "no notes in the folder");
    println!("{texts} transcriptions");
}
