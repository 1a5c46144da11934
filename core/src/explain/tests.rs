//! Occlusion with scores that are known: a model that counts words.

use super::*;
use crate::probability::Calibrator;
use crate::quant::Bits;
use crate::task::{Label, TaskKind};
use crate::weights::bundle::tests::tiny;

const NOTE: &str =
    "PRESENT ILLNESS: He is well. Chest pain and pain at rest. No fever.\n\nALLERGIES: Pain killers.";

fn tokenizer() -> Tokenizer {
    let texts = [NOTE, "he is well and has chest pain", "no fever at rest", "pain killers"];
    Tokenizer::train(texts.iter().cycle().take(40), 300).expect("trains")
}

fn task() -> BundleTask {
    let (manifest, _) = tiny(Bits::Four);
    let mut task =
        manifest.tasks.into_iter().find(|task| task.kind == TaskKind::Binary).expect("a binary task");
    task.calibration = Calibrator::Temperature { temperature: 2.0 };
    task.labels = ["0", "1"].map(|name| Label { name: name.into(), description: String::new() }).to_vec();
    task
}

/// Half a logit for each "pain", one less for each "well".
fn logits(tokenizer: &Tokenizer, notes: &[Vec<u32>]) -> Vec<Vec<f32>> {
    let of = |ids: &Vec<u32>| {
        let text = tokenizer.decode(ids).expect("its own ids").to_lowercase();
        let count = |word: &str| u8::try_from(text.matches(word).count()).expect("few");
        vec![0.0, 0.5 * f32::from(count("pain")) - f32::from(count("well"))]
    };
    notes.iter().map(of).collect()
}

fn ranges(parts: Vec<Sentence>) -> Vec<Range<usize>> {
    parts.into_iter().map(|sentence| sentence.range).collect()
}

#[test]
fn the_effect_of_a_sentence_is_what_it_contributed() {
    let (tokenizer, task) = (tokenizer(), task());
    let parts = ranges(sentences(NOTE));
    let occlusion = Occlusion::new(&tokenizer, NOTE, parts.clone(), 512).expect("a note");
    assert_eq!(occlusion.notes().len(), 5);
    let effects = occlusion.effects(&task, 1, &logits(&tokenizer, occlusion.notes()));
    let odds: Vec<f64> = effects.iter().map(|effect| effect.log_odds).collect();
    assert_eq!(odds, [-1.0, 1.0, 0.0, 0.5], "well, pain twice, neither, pain once");
    assert!(effects.iter().zip(&parts).all(|(effect, part)| effect.range == *part));
    // The parts add up to the whole where the model only counts.
    let whole = logits(&tokenizer, &occlusion.notes()[..1])[0][1];
    assert!((odds.iter().sum::<f64>() - f64::from(whole)).abs() < 1e-6);
    let chance = |x: f64| 1.0 / (1.0 + (-x / 2.0).exp()); // the task's temperature is 2
    assert!((effects[1].probability - (chance(0.5) - chance(-0.5))).abs() < 1e-12);
    let against = occlusion.effects(&task, 0, &logits(&tokenizer, occlusion.notes()));
    assert!((against[1].log_odds + 1.0).abs() < 1e-12, "what speaks for one label speaks against the other");
}

#[test]
fn words_of_a_sentence_and_sections_are_parts_too() {
    let (tokenizer, task) = (tokenizer(), task());
    let sentence = sentences(NOTE).swap_remove(1).range;
    let occlusion = Occlusion::new(&tokenizer, NOTE, words(NOTE, sentence), 512).expect("a note");
    let effects = occlusion.effects(&task, 1, &logits(&tokenizer, occlusion.notes()));
    let pain: Vec<f64> =
        effects.iter().filter(|e| NOTE[e.range.clone()].contains("pain")).map(|e| e.log_odds).collect();
    assert_eq!((pain, effects.len()), (vec![0.5, 0.5], 6));
    let parts = sections(NOTE).into_iter().map(|section| section.range).collect();
    let occlusion = Occlusion::new(&tokenizer, NOTE, parts, 512).expect("a note");
    let effects = occlusion.effects(&task, 1, &logits(&tokenizer, occlusion.notes()));
    assert_eq!(effects.iter().map(|e| e.log_odds).collect::<Vec<_>>(), [0.0, 0.5]);
}

#[test]
fn deletion_curves_fall_and_rise_as_the_effects_say() {
    let (tokenizer, task) = (tokenizer(), task());
    let occlusion = Occlusion::new(&tokenizer, NOTE, ranges(sentences(NOTE)), 512).expect("a note");
    let effects = occlusion.effects(&task, 1, &logits(&tokenizer, occlusion.notes()));
    let deletion = Deletion::new(&tokenizer, NOTE, &effects, 512).expect("a note");
    let curves = deletion.curves(&task, 1, &logits(&tokenizer, deletion.notes()));
    assert_eq!(curves.removed, [0, 1, 2, 3, 4]);
    assert!(curves.most_first[1] < curves.most_first[0] && curves.least_first[1] > curves.least_first[0]);
    assert_eq!(curves.most_first[4], 0.5, "nothing is left");
    assert_eq!(curves.most_first[4], curves.least_first[4]);
    assert!(curves.agreement() > 0.05, "{curves:?}");
    let mut reversed = effects;
    reversed.iter_mut().for_each(|effect| effect.log_odds *= -1.0);
    let deletion = Deletion::new(&tokenizer, NOTE, &reversed, 512).expect("a note");
    let wrong = deletion.curves(&task, 1, &logits(&tokenizer, deletion.notes()));
    assert!((wrong.agreement() + curves.agreement()).abs() < 1e-12, "a wrong explanation is caught");
}

#[test]
fn only_what_is_read_is_explained() {
    let tokenizer = tokenizer();
    let all = tokenizer.encode(NOTE, 512).expect("a note").len();
    assert_eq!(visible(&tokenizer, NOTE, all).expect("a note"), NOTE.len());
    let cut = visible(&tokenizer, NOTE, all / 2).expect("a note");
    assert!(cut < NOTE.len());
    let read = tokenizer.encode(&NOTE[..cut], 512).expect("a note");
    assert!(read.len() <= all / 2 && read.len() + 3 > all / 2, "{} of {}", read.len(), all / 2);
}

#[test]
fn a_note_of_blanks_is_empty_and_one_sentence_leaves_its_beginning() {
    let (tokenizer, task) = (tokenizer(), task());
    for blank in ["", " \n\t "] {
        assert_eq!(Occlusion::new(&tokenizer, blank, Vec::new(), 9), Err(Error::EmptyNote), "{blank:?}");
    }
    let occlusion = Occlusion::new(&tokenizer, " pain ", std::iter::once(1..5).collect(), 9).expect("a note");
    assert_eq!(occlusion.notes()[1], occlusion.notes()[0][..1], "BOS alone");
    let none = Occlusion::new(&tokenizer, "pain", Vec::new(), 9).expect("a note");
    assert!(none.effects(&task, 1, &[vec![0.0, 1.0]]).is_empty());
    let deletion = Deletion::new(&tokenizer, "pain", &[], 9).expect("a note");
    assert_eq!(deletion.curves(&task, 1, &[vec![0.0, 1.0]]).agreement(), 0.0);
}
