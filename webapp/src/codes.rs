//! Labels of a multilabel task as a list to search, sort and group: ICD-9-CM codes of diagnoses or procedures.
//!
//! Only the first three digits of a code are evaluated (van Aken et al. 2021). The data have procedure codes as numbers, so a
//! code that began with a nought has lost it: `40` is 00.4, and `331` may be 33.1 or 03.31. The description tells.

use std::cmp::Ordering;

use crate::about::TaskAbout;

/// What a task's codes are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// ICD-9-CM, volumes 1 and 2.
    Diagnoses,
    /// ICD-9-CM, volume 3.
    Procedures,
    /// No codes this page knows.
    Other,
}

impl Coding {
    /// By the task's title or name.
    #[must_use]
    pub fn of(task: &TaskAbout) -> Self {
        let said = format!("{} {}", task.title, task.name).to_lowercase();
        if said.contains("diag") {
            Self::Diagnoses
        } else if said.contains("proc") {
            Self::Procedures
        } else {
            Self::Other
        }
    }

    /// A code as a book prints it: procedures have their point, `399` is `39.9`.
    #[must_use]
    pub fn print(self, code: &str) -> String {
        let is_number = !code.is_empty() && code.bytes().all(|b| b.is_ascii_digit());
        match (self, is_number, code.len()) {
            (Self::Procedures, true, 1) => format!("00.0{code}"),
            (Self::Procedures, true, 2) => format!("00.{}", &code[..1]),
            (Self::Procedures, true, 3 | 4) => format!("{}.{}", &code[..2], &code[2..]),
            _ => code.to_owned(),
        }
    }

    /// Its chapters, in the book's order.
    #[must_use]
    pub fn chapters(self) -> &'static [Chapter] {
        match self {
            Self::Diagnoses => &DIAGNOSES,
            Self::Procedures => &PROCEDURES,
            Self::Other => &[],
        }
    }

    /// Place of a code's chapter in [`Coding::chapters`]; none for what is no code.
    #[must_use]
    pub fn chapter(self, code: &str) -> Option<usize> {
        let letter = code.chars().next()?;
        let number: u16 = match self {
            Self::Diagnoses if letter.eq_ignore_ascii_case(&'V') => VCODES,
            Self::Diagnoses if letter.eq_ignore_ascii_case(&'E') => ECODES,
            Self::Diagnoses => code.get(..3).unwrap_or(code).parse().ok()?,
            Self::Procedures if code.len() <= 2 => code.parse::<u16>().map(|_| 0).ok()?,
            Self::Procedures => code.get(..2)?.parse().ok()?,
            Self::Other => return None,
        };
        self.chapters().iter().position(|chapter| (chapter.first..=chapter.last).contains(&number))
    }
}

/// A chapter of ICD-9-CM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chapter {
    /// Its codes as a book heads them: `390–459`.
    pub codes: &'static str,
    /// Its title.
    pub title: &'static str,
    first: u16,
    last: u16,
}

const ECODES: u16 = 1_000;
const VCODES: u16 = 1_001;

const fn chapter(codes: &'static str, first: u16, last: u16, title: &'static str) -> Chapter {
    Chapter { codes, title, first, last }
}

const DIAGNOSES: [Chapter; 19] = [
    chapter("001–139", 1, 139, "Infectious and parasitic diseases"),
    chapter("140–239", 140, 239, "Neoplasms"),
    chapter("240–279", 240, 279, "Endocrine, nutritional and metabolic diseases, and immunity disorders"),
    chapter("280–289", 280, 289, "Diseases of the blood and blood-forming organs"),
    chapter("290–319", 290, 319, "Mental disorders"),
    chapter("320–389", 320, 389, "Diseases of the nervous system and sense organs"),
    chapter("390–459", 390, 459, "Diseases of the circulatory system"),
    chapter("460–519", 460, 519, "Diseases of the respiratory system"),
    chapter("520–579", 520, 579, "Diseases of the digestive system"),
    chapter("580–629", 580, 629, "Diseases of the genitourinary system"),
    chapter("630–679", 630, 679, "Complications of pregnancy, childbirth and the puerperium"),
    chapter("680–709", 680, 709, "Diseases of the skin and subcutaneous tissue"),
    chapter("710–739", 710, 739, "Diseases of the musculoskeletal system and connective tissue"),
    chapter("740–759", 740, 759, "Congenital anomalies"),
    chapter("760–779", 760, 779, "Conditions originating in the perinatal period"),
    chapter("780–799", 780, 799, "Symptoms, signs and ill-defined conditions"),
    chapter("800–999", 800, 999, "Injury and poisoning"),
    chapter("E", ECODES, ECODES, "External causes of injury and poisoning"),
    chapter("V", VCODES, VCODES, "Factors influencing health status and contact with health services"),
];

const PROCEDURES: [Chapter; 18] = [
    chapter("00", 0, 0, "Procedures and interventions, not elsewhere classified"),
    chapter("01–05", 1, 5, "Operations on the nervous system"),
    chapter("06–07", 6, 7, "Operations on the endocrine system"),
    chapter("08–16", 8, 16, "Operations on the eye"),
    chapter("17", 17, 17, "Other miscellaneous diagnostic and therapeutic procedures"),
    chapter("18–20", 18, 20, "Operations on the ear"),
    chapter("21–29", 21, 29, "Operations on the nose, mouth and pharynx"),
    chapter("30–34", 30, 34, "Operations on the respiratory system"),
    chapter("35–39", 35, 39, "Operations on the cardiovascular system"),
    chapter("40–41", 40, 41, "Operations on the hemic and lymphatic system"),
    chapter("42–54", 42, 54, "Operations on the digestive system"),
    chapter("55–59", 55, 59, "Operations on the urinary system"),
    chapter("60–64", 60, 64, "Operations on the male genital organs"),
    chapter("65–71", 65, 71, "Operations on the female genital organs"),
    chapter("72–75", 72, 75, "Obstetrical procedures"),
    chapter("76–84", 76, 84, "Operations on the musculoskeletal system"),
    chapter("85–86", 85, 86, "Operations on the integumentary system"),
    chapter("87–99", 87, 99, "Miscellaneous diagnostic and therapeutic procedures"),
];

/// A row of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct Code {
    /// Place of the label in the task.
    pub label: usize,
    /// As the data have it: `428`.
    pub code: String,
    /// As a book prints it: `39.9`.
    pub printed: String,
    /// In words.
    pub description: String,
    /// Place of its chapter in [`Coding::chapters`].
    pub chapter: Option<usize>,
    /// Calibrated probability.
    pub probability: f64,
    /// Share of the validation notes with it.
    pub base_rate: Option<f64>,
    /// Probability over base rate; none without a base rate above 0.
    pub ratio: Option<f64>,
    /// Probability above which it is predicted.
    pub threshold: Option<f64>,
    /// Whether it is; none without a threshold.
    pub passed: Option<bool>,
    folded: String,
}

/// Order of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Order {
    /// The likeliest first.
    #[default]
    Probability,
    /// By code: digits, then E and V.
    Code,
    /// Farthest above the average first.
    Ratio,
}

/// Which rows are shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// A code's beginning, or words of the description in any order; empty for all.
    pub query: String,
    /// Only codes above their threshold.
    pub passed_only: bool,
    /// Only codes of this chapter.
    pub chapter: Option<usize>,
    /// In this order.
    pub order: Order,
}

/// A chapter's share of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// Place of the chapter in [`Coding::chapters`]; none for codes without one.
    pub chapter: Option<usize>,
    /// Codes of it in the task.
    pub codes: usize,
    /// Codes of it above their threshold.
    pub passed: usize,
}

/// The labels of a task with a note's probabilities.
#[derive(Debug, Clone, PartialEq)]
pub struct Codes {
    /// What they are of.
    pub coding: Coding,
    /// All of them, in the task's order.
    pub rows: Vec<Code>,
}

impl Codes {
    /// Of a task and one note's probabilities; labels without a probability are left out.
    #[must_use]
    pub fn new(task: &TaskAbout, probabilities: &[f64]) -> Self {
        let coding = Coding::of(task);
        let rows = task.labels.iter().zip(probabilities).enumerate().map(|(label, (about, probability))| {
            let base_rate = task.base_rate(label);
            let threshold = task.threshold(label);
            let printed = coding.print(&about.name);
            Code {
                label,
                chapter: coding.chapter(&about.name),
                probability: *probability,
                base_rate,
                ratio: base_rate.filter(|rate| *rate > 0.0).map(|rate| probability / rate),
                threshold,
                passed: threshold.map(|threshold| *probability >= threshold),
                folded: fold(&about.description),
                code: about.name.clone(),
                description: about.description.clone(),
                printed,
            }
        });
        Self { coding, rows: rows.collect() }
    }

    /// Places in [`Codes::rows`] of what a filter lets through, in its order.
    #[must_use]
    pub fn find(&self, filter: &Filter) -> Vec<usize> {
        let query = fold(&filter.query);
        let words: Vec<&str> = query.split_whitespace().collect();
        let fits = |row: &Code| {
            (!filter.passed_only || row.passed == Some(true))
                && filter.chapter.is_none_or(|chapter| row.chapter == Some(chapter))
                && words.iter().all(|word| row.matches(word))
        };
        let mut places: Vec<usize> = (0..self.rows.len()).filter(|at| fits(&self.rows[*at])).collect();
        let by_code = |a: &Code, b: &Code| a.code.cmp(&b.code);
        let falling = |a: f64, b: f64| b.total_cmp(&a);
        places.sort_by(|a, b| {
            let (a, b) = (&self.rows[*a], &self.rows[*b]);
            match filter.order {
                Order::Probability => falling(a.probability, b.probability).then_with(|| by_code(a, b)),
                Order::Code => by_code(a, b),
                Order::Ratio => match (a.ratio, b.ratio) {
                    (Some(x), Some(y)) => falling(x, y),
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (None, None) => Ordering::Equal,
                }
                .then_with(|| by_code(a, b)),
            }
        });
        places
    }

    /// How many codes each chapter has, in the book's order, chapters without one left out.
    #[must_use]
    pub fn groups(&self) -> Vec<Group> {
        let all = (0..self.coding.chapters().len()).map(Some).chain([None]);
        all.map(|chapter| {
            let of = self.rows.iter().filter(|row| row.chapter == chapter);
            let passed = of.clone().filter(|row| row.passed == Some(true)).count();
            Group { chapter, codes: of.count(), passed }
        })
        .filter(|group| group.codes > 0)
        .collect()
    }
}

impl Code {
    /// Whether a folded word begins the code, or a word of the description, or lies within one if it is long enough.
    fn matches(&self, word: &str) -> bool {
        let undotted = word.replace('.', "");
        let begins = |code: &str| code.to_lowercase().starts_with(word);
        let is_code = begins(&self.code)
            || begins(&self.printed)
            || (!undotted.is_empty() && self.code.to_lowercase().starts_with(&undotted));
        let in_words = self.folded.split(|c: char| !c.is_alphanumeric()).any(|part| part.starts_with(word));
        is_code || in_words || (word.chars().count() >= 4 && self.folded.contains(word))
    }
}

/// Text in small letters without accents, for searching.
#[must_use]
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.chars().flat_map(char::to_lowercase) {
        match c {
            'à'..='å' | 'ā' | 'ă' | 'ą' => folded.push('a'),
            'ç' | 'ć' | 'č' => folded.push('c'),
            'ď' | 'ð' => folded.push('d'),
            'è'..='ë' | 'ē' | 'ė' | 'ę' | 'ě' => folded.push('e'),
            'ì'..='ï' | 'ī' | 'į' | 'ı' => folded.push('i'),
            'ł' => folded.push('l'),
            'ñ' | 'ń' | 'ň' => folded.push('n'),
            'ò'..='ö' | 'ø' | 'ō' | 'ő' => folded.push('o'),
            'ř' => folded.push('r'),
            'ś' | 'š' | 'ş' => folded.push('s'),
            'ť' => folded.push('t'),
            'ù'..='ü' | 'ū' | 'ů' | 'ű' => folded.push('u'),
            'ý' | 'ÿ' => folded.push('y'),
            'ź' | 'ż' | 'ž' => folded.push('z'),
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            // Combining accents, as a Mac types them.
            '\u{300}'..='\u{36f}' => {}
            c => folded.push(c),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::about::{EvidenceAbout, LabelAbout};

    fn codes() -> Codes {
        let labels = [
            ("428", "Congestive heart failure, unspecified and others"),
            ("250", "Diabetes mellitus"),
            ("V58", "Long-term use of anticoagulants"),
            ("386", "M\u{e9}ni\u{e8}re's disease, unspecified"),
            ("E885", "Fall on same level"),
        ];
        let task = TaskAbout {
            name: "DIAG".to_owned(),
            labels: labels
                .iter()
                .map(|(name, words)| LabelAbout {
                    name: (*name).to_owned(),
                    description: (*words).to_owned(),
                })
                .collect(),
            evidence: Some(EvidenceAbout {
                base_rates: vec![0.4, 0.2, 0.1, 0.0, 0.01],
                thresholds: vec![Some(0.5), Some(0.2), Some(0.3), None, Some(0.02)],
                ..EvidenceAbout::default()
            }),
            ..TaskAbout::default()
        };
        Codes::new(&task, &[0.45, 0.2, 0.3, 0.9, 0.01])
    }

    fn found(filter: &Filter) -> Vec<String> {
        let codes = codes();
        codes.find(filter).into_iter().map(|at| codes.rows[at].code.clone()).collect()
    }

    fn query(query: &str) -> Vec<String> {
        found(&Filter { query: query.to_owned(), ..Filter::default() })
    }

    #[test]
    fn a_search_takes_codes_and_words() {
        assert_eq!(query("42"), ["428"]);
        assert_eq!(query("v5"), ["V58"]);
        assert_eq!(query("failure HEART"), ["428"]);
        assert_eq!(query("meniere"), ["386"]);
        assert_eq!(query("M\u{c9}NI"), ["386"]);
        assert_eq!(query("coagulant"), ["V58"]);
        assert_eq!(query("art"), [""; 0], "short words are beginnings");
        assert_eq!(query(" "), ["386", "428", "V58", "250", "E885"]);
    }

    #[test]
    fn the_list_has_orders_and_thresholds() {
        let by = |order| found(&Filter { order, ..Filter::default() });
        assert_eq!(by(Order::Code), ["250", "386", "428", "E885", "V58"]);
        assert_eq!(by(Order::Ratio), ["V58", "428", "250", "E885", "386"]);
        assert_eq!(found(&Filter { passed_only: true, ..Filter::default() }), ["V58", "250"]);
        let codes = codes();
        assert_eq!(
            (codes.rows[0].passed, codes.rows[1].passed, codes.rows[3].passed),
            (Some(false), Some(true), None)
        );
        assert_eq!(codes.rows[3].ratio, None);
    }

    #[test]
    fn chapters_group_every_code() {
        let groups = codes().groups();
        let titles: Vec<&str> = groups
            .iter()
            .filter_map(|g| g.chapter)
            .map(|at| Coding::Diagnoses.chapters()[at].codes)
            .collect();
        assert_eq!(titles, ["240–279", "320–389", "390–459", "E", "V"]);
        assert_eq!(groups.iter().map(|group| group.passed).collect::<Vec<_>>(), [1, 0, 0, 0, 1]);
        let of = |code| Coding::Diagnoses.chapter(code).map(|at| Coding::Diagnoses.chapters()[at].codes);
        assert_eq!(of("038"), Some("001–139"));
        assert_eq!(of("996"), Some("800–999"));
        assert_eq!((of("xyz"), of("")), (None, None));
        for number in 1..=999 {
            assert!(Coding::Diagnoses.chapter(&format!("{number:03}")).is_some(), "{number}");
        }
        for number in 0..=999 {
            assert!(Coding::Procedures.chapter(&number.to_string()).is_some(), "{number}");
        }
    }

    #[test]
    fn procedures_are_printed_with_their_point() {
        let coding = Coding::Procedures;
        assert_eq!(
            ["399", "966", "40", "3"].map(|code| coding.print(code)),
            ["39.9", "96.6", "00.4", "00.03"]
        );
        let title = |code| coding.chapters()[coding.chapter(code).unwrap()].title;
        assert_eq!(title("399"), "Operations on the cardiovascular system");
        assert_eq!(title("40"), "Procedures and interventions, not elsewhere classified");
        assert_eq!(Coding::Diagnoses.print("428"), "428");
    }
}
