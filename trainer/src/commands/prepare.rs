//! `clinlora prepare`.

use super::print_json;
use crate::cli::{Common, Prepare, PrepareNotes, PrepareTasks, PrepareWhat};
use crate::console;
use crate::error::Result;
use crate::mimic::{NoteOptions, TaskOptions, prepare_notes, prepare_tasks};
use crate::training::interrupt;

/// Makes task sets or pretraining notes from raw tables, and prints how many rows each stage let through.
///
/// # Errors
/// [`crate::error::Error`] for tables that cannot be used; nothing is written then.
pub fn run(args: &Prepare, common: &Common) -> Result<()> {
    interrupt::listen();
    match &args.what {
        PrepareWhat::Tasks(args) => tasks(args, common),
        PrepareWhat::Notes(args) => notes(args, common),
    }
}

fn tasks(args: &PrepareTasks, common: &Common) -> Result<()> {
    let report = prepare_tasks(&TaskOptions {
        mimic3: args.mimic3.clone(),
        out: args.out.clone(),
        splits: args.splits.clone(),
        pmv_labels: args.pmv_labels.clone(),
        skip_bad_rows: args.skip_bad_rows,
        overwrite: args.overwrite,
    })?;
    if common.json {
        return print_json(&report);
    }
    console::result(format_args!("{}\n{}", report.table(), report.out.display()))
}

fn notes(args: &PrepareNotes, common: &Common) -> Result<()> {
    let report = prepare_notes(&NoteOptions {
        mimic4_note: args.mimic4_note.clone(),
        out: args.out.clone(),
        tokenizer: args.tokenizer.clone(),
        max_tokens: args.max_tokens as usize,
        split: args.split,
        packing: args.packing,
        skip_bad_rows: args.skip_bad_rows,
        overwrite: args.overwrite,
    })?;
    if common.json {
        return print_json(&report);
    }
    console::result(format_args!("{}\n{}", report.table(), report.out.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::path::Path;

    use super::*;
    use crate::commands::pretrain::pretrain;
    use crate::commands::recipe_run::RunOptions;
    use crate::device::DeviceChoice;
    use crate::mimic::{NoteSplit, NotesReport, Split};
    use crate::recipe::{Purpose, Recipe};

    const WORDS: [&str; 11] = [
        "chest",
        "pain",
        "fever",
        "no",
        "acute",
        "edema",
        "lungs",
        "clear",
        "[**2151-7-16**]",
        "left",
        "stable",
    ];

    /// A note of some words, as the tables hold it.
    fn text(note: usize) -> String {
        let words = (0..5 + note % 13).map(|i| WORDS[(note * 7 + i * i) % WORDS.len()]);
        words.collect::<Vec<_>>().join(if note.is_multiple_of(3) { "\n" } else { "  " })
    }

    /// Tables of MIMIC-IV-Note: 90 notes of 30 patients, one of them without a text.
    fn tables(folder: &Path) {
        let header = "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text";
        let row = |note: usize, kind: &str| {
            let text = if note == 17 { String::new() } else { text(note) };
            let subject = 10_000_000 + note % 30;
            format!("{subject}-{kind}-{note},{subject},,{kind},{note},2151-07-16 10:00:00,,\"{text}\"")
        };
        let table = |notes: std::ops::Range<usize>, kind: &str| {
            let rows: Vec<String> = notes.map(|note| row(note, kind)).collect();
            format!("{header}\n{}\n", rows.join("\n"))
        };
        fs::write(folder.join("radiology.csv"), table(40..90, "RR")).unwrap();
        let file = fs::File::create(folder.join("discharge.csv.gz")).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        gzip.write_all(table(0..40, "DS").as_bytes()).unwrap();
        gzip.finish().unwrap();
    }

    fn notes_of(folder: &Path, out: &str, change: impl FnOnce(&mut NoteOptions)) -> Result<NotesReport> {
        let mut options = NoteOptions {
            mimic4_note: folder.to_owned(),
            out: folder.join(out),
            tokenizer: None,
            max_tokens: 12,
            split: NoteSplit::Patient,
            packing: false,
            skip_bad_rows: 0,
            overwrite: false,
        };
        change(&mut options);
        prepare_notes(&options)
    }

    fn common() -> Common {
        Common { json: false, device: DeviceChoice::Cpu, seed: None }
    }

    fn run(folder: &Path, name: &str, recipe: &str) -> Result<String> {
        let path = folder.join(format!("{name}.toml"));
        let out = folder.join(name);
        let training = "[training]\nepochs = 2\nlearning_rate = 1e-2\nbatch_size = 4\nselect = \"last\"\n";
        fs::write(&path, format!("out = {out:?}\nmax_tokens = 12\n{recipe}\n{training}")).unwrap();
        let recipe = Recipe::read(&path, &[], Purpose::Pretrain)?;
        pretrain(&recipe, &common(), &RunOptions::anew(name))?;
        Ok(fs::read_to_string(out.join("run.jsonl")).unwrap())
    }

    /// Losses in a run's log.
    fn losses(log: &str) -> Vec<f64> {
        let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.filter_map(|line| line["loss"].as_f64()).collect()
    }

    #[test]
    fn a_corpus_of_ids_trains_like_the_texts_it_was_made_from() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path();
        tables(folder);
        let report = notes_of(folder, "texts", |_| {}).unwrap();
        assert_eq!(report.leak.patients, 0);
        let total: u64 = report.splits.iter().map(|split| split.notes).sum();
        assert_eq!(total, 89, "one of 90 has no text");
        let line = fs::read_to_string(folder.join("texts/train.jsonl")).unwrap();
        assert!(!line.contains("  ") && !line.contains("[**") && !line.contains("\\n"), "{line}");

        let texts = format!(
            "[data]\ntrain = {:?}\nvalid = {:?}",
            folder.join("texts/train.jsonl"),
            folder.join("texts/valid.jsonl")
        );
        let scratch = "[base.scratch]\nvocab_size = 280\nhidden_size = 16\nintermediate_size = 24\nnum_hidden_layers = 1\n\
            num_attention_heads = 2\nnum_key_value_heads = 1";
        run(folder, "base", &format!("method = \"full\"\n{scratch}\n{texts}")).unwrap();

        let base = folder.join("base");
        let report = notes_of(folder, "ids", |options| options.tokenizer = Some(base.clone())).unwrap();
        assert!(
            report.splits.iter().all(|split| split.tokens > split.notes && split.tokens <= 12 * split.notes)
        );
        let ids =
            format!("[data]\ntrain = {:?}\nvalid = {:?}", folder.join("ids/train"), folder.join("ids/valid"));
        let adapter = format!("[base]\npath = {base:?}\n[[adapter]]\nname = \"clinical\"\nr = 2\nalpha = 3");
        let from_texts = losses(&run(folder, "from-texts", &format!("{adapter}\n{texts}")).unwrap());
        let from_ids = losses(&run(folder, "from-ids", &format!("{adapter}\n{ids}")).unwrap());
        assert!(from_texts.len() > 20, "{from_texts:?}");
        assert_eq!(from_texts, from_ids);

        let held_out = format!("[data]\ntrain = {:?}\nvalid_fraction = 0.25", folder.join("ids/train"));
        let losses_of_part = losses(&run(folder, "part", &format!("{adapter}\n{held_out}")).unwrap());
        assert!(losses_of_part.len() < from_ids.len());
        let error =
            run(folder, "again", &format!("method = \"full\"\n{scratch}\n{ids}")).unwrap_err().to_string();
        assert!(error.contains("give data.train as JSON lines"), "{error}");
    }

    #[test]
    fn notes_are_split_as_asked_and_a_leak_is_measured() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path();
        tables(folder);
        let count =
            |report: &NotesReport, name| report.splits.iter().find(|s| s.name == name).map(|s| s.notes);
        let by_note = notes_of(folder, "by-note", |options| options.split = NoteSplit::Note).unwrap();
        assert_eq!(count(&by_note, Split::Test), Some(9), "a tenth of 89, rounded up");
        assert_eq!(count(&by_note, Split::Valid), None, "the authors have none");
        assert!(by_note.leak.notes > 4 && by_note.leak.patients > 4, "{:?}", by_note.leak);
        let text = fs::read_to_string(folder.join("by-note/test.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let ids: Vec<String> = lines.map(|line| line["id"].as_str().unwrap().to_owned()).collect();
        // sorted(numpy.random.RandomState(1234).permutation(89)[:9]), less the note without a text before them
        let places = ids.iter().map(|id| id.rsplit('-').next().unwrap().parse::<usize>().unwrap());
        let places: Vec<usize> = places.map(|note| note - usize::from(note > 17)).collect();
        assert_eq!(places, [9, 36, 45, 59, 60, 65, 68, 72, 87]);
    }

    #[test]
    fn threads_change_no_byte_and_defects_stop_with_exit_2() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path();
        tables(folder);
        let tokenizer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/tokenizer/llama.model");
        let with_threads = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let change = |options: &mut NoteOptions| {
                options.tokenizer = Some(tokenizer.clone());
                options.packing = true;
                options.overwrite = true;
            };
            pool.install(|| notes_of(folder, "out", change)).unwrap();
            ["train/tokens.bin", "train/offsets.bin", "test/tokens.bin", "report.json"]
                .map(|file| fs::read(folder.join("out").join(file)).unwrap())
        };
        let one = with_threads(1);
        assert!(one[0].len() > 500 && one == with_threads(3));

        let path = folder.join("radiology.csv");
        let mut rows = fs::read_to_string(&path).unwrap();
        rows.push_str("10000040-RR-40,10000040,,RR,1,,,x\n10000040-RR-41\n");
        fs::write(&path, rows.replacen("10000010-RR-40", "10000040-RR-40", 1)).unwrap();
        let error = notes_of(folder, "bad", |_| {}).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let message = error.to_string();
        assert!(
            message.contains("column NOTE_ID: duplicate id") && message.contains("wrong number of fields"),
            "{message}"
        );
        assert!(!folder.join("bad").exists());
        let report = notes_of(folder, "good", |options| options.skip_bad_rows = 2).unwrap();
        assert_eq!(report.defects.iter().map(|defect| defect.count).sum::<u64>(), 2);
    }
}
