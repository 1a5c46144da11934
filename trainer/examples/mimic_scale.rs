//! How fast and in how much memory `prepare tasks` reads large tables, beside the `csv` crate that only counts records.
//!
//! ```text
//! cargo run --release --example mimic_scale -- generate DIR 2     # NOTEEVENTS and CHARTEVENTS of 2 GB together
//! cargo run --release --example mimic_scale -- measure DIR        # one JSON line
//! ```
//!
//! The tables hold invented rows with the proportions of MIMIC-III: a note has some two thousand bytes, one in 35 is a
//! discharge summary; a charted row has some hundred. The peak is that of the whole process, as Linux counts it.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clinlora::mimic::{TaskOptions, prepare_tasks};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["generate", folder, gigabytes] => generate(Path::new(folder), gigabytes.parse()?),
        ["measure", folder] => measure(Path::new(folder)),
        _ => Err("usage: mimic_scale generate DIR GIGABYTES | measure DIR".into()),
    }
}

/// Bytes of notes in a gigabyte of both tables; the real ones are 4 of 37.
const NOTES_SHARE: f64 = 0.5;
/// Rows of MIMIC-III.
const NOTES: f64 = 2_083_180.0;
const CHARTED: f64 = 330_712_483.0;

/// A generator of numbers (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

fn stamp(random: &mut Random) -> String {
    let (month, day) = (1 + random.below(12), 1 + random.below(28));
    let (hour, minute) = (random.below(24), random.below(60));
    format!("{}-{month:02}-{day:02} {hour:02}:{minute:02}:00", 2101 + random.below(90))
}

fn sentence(random: &mut Random, bytes: usize, text: &mut String) {
    const WORDS: [&str; 16] = [
        "patient",
        "with",
        "chest",
        "pain",
        "and",
        "fever",
        "s/p",
        "CABG",
        "on",
        "[**2151-7-16**]",
        "denies",
        "edema,",
        "\"\"stable\"\"",
        "120/80",
        "mg",
        "daily.",
    ];
    let end = text.len() + bytes;
    while text.len() < end {
        let word = usize::try_from(random.below(16)).unwrap_or_default();
        text.push_str(WORDS[word]);
        text.push(if random.below(12) == 0 { '\n' } else { ' ' });
    }
}

fn create(folder: &Path, name: &str, header: &str) -> std::io::Result<BufWriter<File>> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(folder.join(name))?);
    writeln!(file, "{header}")?;
    Ok(file)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes in gigabytes")]
fn generate(folder: &Path, gigabytes: f64) -> Outcome {
    fs::create_dir_all(folder)?;
    let mut random = Random(7);
    let note_bytes = (gigabytes * NOTES_SHARE * 1e9) as u64;
    let chart_bytes = (gigabytes * (1.0 - NOTES_SHARE) * 1e9) as u64;
    let admissions = note_bytes / 70_000 + 10;
    let mut table = create(
        folder,
        "ADMISSIONS.csv",
        "ROW_ID,SUBJECT_ID,HADM_ID,ADMITTIME,DISCHTIME,ADMISSION_TYPE,HOSPITAL_EXPIRE_FLAG",
    )?;
    let mut patients = create(folder, "PATIENTS.csv", "ROW_ID,SUBJECT_ID,DOB")?;
    let mut stays = create(folder, "ICUSTAYS.csv", "ROW_ID,SUBJECT_ID,HADM_ID,ICUSTAY_ID,INTIME")?;
    let mut diagnoses = create(folder, "DIAGNOSES_ICD.csv", "ROW_ID,SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE")?;
    let mut procedures = create(folder, "PROCEDURES_ICD.csv", "ROW_ID,SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE")?;
    for i in 0..admissions {
        let year = 2101 + i % 90;
        writeln!(
            table,
            "{i},{i},{i},{year}-01-01 10:00:00,{year}-01-09 10:00:00,\"EMERGENCY\",{}",
            u8::from(i.is_multiple_of(10))
        )?;
        writeln!(patients, "{i},{i},{}-01-01 00:00:00", year - 60)?;
        writeln!(stays, "{i},{i},{i},{i},{year}-01-01 11:00:00")?;
        writeln!(diagnoses, "{i},{i},{i},1,\"4019\"")?;
        writeln!(procedures, "{i},{i},{i},1,\"9671\"")?;
    }
    for (name, code) in [("D_ICD_DIAGNOSES.csv", "4019"), ("D_ICD_PROCEDURES.csv", "9671")] {
        writeln!(create(folder, name, "ROW_ID,ICD9_CODE,LONG_TITLE")?, "1,\"{code}\",\"Something\"")?;
    }
    for file in [&mut table, &mut patients, &mut stays, &mut diagnoses, &mut procedures] {
        file.flush()?;
    }
    let header = "\"ROW_ID\",\"SUBJECT_ID\",\"HADM_ID\",\"CHARTDATE\",\"CHARTTIME\",\"STORETIME\",\"CATEGORY\",\"DESCRIPTION\",\
        \"CGID\",\"ISERROR\",\"TEXT\"";
    let mut notes = create(folder, "NOTEEVENTS.csv", header)?;
    let (mut written, mut row) = (0, 0);
    while written < note_bytes {
        let admission = row % admissions;
        let is_summary = row.is_multiple_of(35);
        let (category, bytes) =
            if is_summary { ("Discharge summary", 10_000) } else { ("Nursing/other", 1_700) };
        let mut text = String::new();
        if is_summary {
            text.push_str(&format!("Chief Complaint:\nnumber {row}\n\nHistory of Present Illness:\n"));
        }
        sentence(&mut random, bytes, &mut text);
        if is_summary {
            text.push_str("\n\nPast Medical History:\nnone\n\nDischarge Condition:\ngood");
        }
        let year = 2101 + admission % 90;
        let line = format!(
            "{row},{admission},{admission},{year}-01-09,{year}-01-02 10:00:00,,\"{category}\",\"Report\",,,\"{text}\"\n"
        );
        notes.write_all(line.as_bytes())?;
        written += line.len() as u64;
        row += 1;
    }
    notes.flush()?;
    let header = "\"ROW_ID\",\"SUBJECT_ID\",\"HADM_ID\",\"ICUSTAY_ID\",\"ITEMID\",\"CHARTTIME\",\"STORETIME\",\"CGID\",\"VALUE\",\
        \"VALUENUM\",\"VALUEUOM\",\"WARNING\",\"ERROR\",\"RESULTSTATUS\",\"STOPPED\"";
    let mut charted = create(folder, "CHARTEVENTS.csv", header)?;
    let (mut written, mut row) = (0, 0_u64);
    while written < chart_bytes {
        let stay = random.below(admissions);
        // One row in twenty is a sign of ventilation.
        let item =
            if random.below(20) == 0 { 445 } else { [211, 220_045, 742, 8368][random.below(4) as usize] };
        let (time, value) = (stamp(&mut random), random.below(200));
        let line = format!(
            "{row},{stay},{stay},{stay},{item},{time},{time},20823,\"{value}\",{value},\"bpm\",0,0,,\n"
        );
        charted.write_all(line.as_bytes())?;
        written += line.len() as u64;
        row += 1;
    }
    charted.flush()?;
    let mut table = create(folder, "PROCEDUREEVENTS_MV.csv", "ROW_ID,ICUSTAY_ID,STARTTIME,ITEMID")?;
    writeln!(table, "1,1,2101-01-03 10:00:00,227194")?;
    table.flush()?;
    Ok(())
}

/// Seconds the `csv` crate needs to count the records of a file, and their number.
fn count(path: &Path) -> Result<(f64, u64), Box<dyn std::error::Error>> {
    let started = Instant::now();
    let mut reader = csv::Reader::from_reader(File::open(path)?);
    let mut record = csv::ByteRecord::new();
    let mut rows = 0;
    while reader.read_byte_record(&mut record)? {
        rows += 1;
    }
    Ok((started.elapsed().as_secs_f64(), rows))
}

#[expect(clippy::cast_precision_loss, reason = "sizes to print")]
fn measure(folder: &Path) -> Outcome {
    let tables = ["NOTEEVENTS.csv", "CHARTEVENTS.csv"].map(|name| folder.join(name));
    let bytes = tables.iter().map(|path| Ok(fs::metadata(path)?.len())).sum::<std::io::Result<u64>>()?;
    let cpu_before = cpu_seconds()?;
    let [notes, charted] = [count(&tables[0])?, count(&tables[1])?];
    let cpu_between = cpu_seconds()?;
    let plain_cpu = cpu_between - cpu_before;
    let before = peak_mib()?;
    let out: PathBuf = folder.join("out");
    let started = Instant::now();
    let report = prepare_tasks(&TaskOptions {
        mimic3: folder.to_owned(),
        out: out.clone(),
        splits: None,
        pmv_labels: None,
        skip_bad_rows: 0,
        overwrite: true,
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let cpu = cpu_seconds()? - cpu_between;
    let peak = peak_mib()?;
    fs::remove_dir_all(&out)?;
    let plain = notes.0 + charted.0;
    println!(
        "{{\"csv_crate_cpu_s\":{plain_cpu:.2},\"prepare_cpu_s\":{cpu:.2},\"cpu_ratio\":{:.2},\"gigabytes\":{:.2},\"notes\":{},\"charted\":{},\"csv_crate_s\":{plain:.2},\"csv_notes_s\":{:.2},\"csv_charted_s\":{:.2},\
         \"prepare_s\":{seconds:.2},\"ratio\":{:.2},\"mb_per_s\":{:.0},\"peak_mib_before\":{before:.0},\"peak_mib\":{peak:.0},\
         \"notes_of_real\":{:.3},\"charted_of_real\":{:.3},\"samples\":{}}}",
        cpu / plain_cpu,
        bytes as f64 / 1e9,
        notes.1,
        charted.1,
        notes.0,
        charted.0,
        seconds / plain,
        bytes as f64 / 1e6 / seconds,
        notes.1 as f64 / NOTES,
        charted.1 as f64 / CHARTED,
        report.table1[1].train.ours + report.table1[1].valid.ours + report.table1[1].test.ours,
    );
    Ok(())
}

/// Seconds that all threads of this process have computed; on a busy machine the only figure that compares.
fn cpu_seconds() -> Result<f64, Box<dyn std::error::Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2);
    let ticks = ticks.map(str::parse::<f64>).collect::<Result<Vec<_>, _>>()?;
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

/// Most memory this process has held, in MiB.
fn peak_mib() -> Result<f64, Box<dyn std::error::Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).ok_or("no VmHWM: Linux only")?;
    let kib: f64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
    Ok(kib / 1024.0)
}
