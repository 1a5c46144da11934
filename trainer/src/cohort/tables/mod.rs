//! The tables of the two data sets, column for column, and the rows that a patient adds to them.
//!
//! Rows are built a patient at a time and know nothing of their place in a table: `ROW_ID` is counted when they are
//! written. Quoting is that of the published files: in MIMIC-III every string is quoted and nothing else is, in
//! MIMIC-IV-Note only the text.

mod chart;
pub(super) mod dictionary;
mod mimic4_note;
mod note_events;
mod register;

use super::calendar::Moment;
use super::patient::Patient;

/// A file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Patients,
    Admissions,
    IcuStays,
    Diagnoses,
    Procedures,
    ChartEvents,
    ProcedureEvents,
    NoteEvents,
    DiagnosisCodes,
    ProcedureCodes,
    Discharge,
    Radiology,
}

/// MIMIC-III v1.4's folder.
pub(crate) const MIMIC3: &str = "mimic-iii";
/// MIMIC-IV-Note v2.2's folder.
pub(crate) const MIMIC4_NOTE: &str = "mimic-iv-note";

const NOTE_COLUMNS: &[&str] =
    &["note_id", "subject_id", "hadm_id", "note_type", "note_seq", "charttime", "storetime", "text"];

impl Table {
    /// All of them.
    pub(super) const ALL: [Self; 12] = [
        Self::Patients,
        Self::Admissions,
        Self::IcuStays,
        Self::Diagnoses,
        Self::Procedures,
        Self::ChartEvents,
        Self::ProcedureEvents,
        Self::NoteEvents,
        Self::DiagnosisCodes,
        Self::ProcedureCodes,
        Self::Discharge,
        Self::Radiology,
    ];

    /// Its folder.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Discharge | Self::Radiology => MIMIC4_NOTE,
            _ => MIMIC3,
        }
    }

    /// The name of its file.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Patients => "PATIENTS.csv",
            Self::Admissions => "ADMISSIONS.csv",
            Self::IcuStays => "ICUSTAYS.csv",
            Self::Diagnoses => "DIAGNOSES_ICD.csv",
            Self::Procedures => "PROCEDURES_ICD.csv",
            Self::ChartEvents => "CHARTEVENTS.csv",
            Self::ProcedureEvents => "PROCEDUREEVENTS_MV.csv",
            Self::NoteEvents => "NOTEEVENTS.csv",
            Self::DiagnosisCodes => "D_ICD_DIAGNOSES.csv",
            Self::ProcedureCodes => "D_ICD_PROCEDURES.csv",
            Self::Discharge => "discharge.csv.gz",
            Self::Radiology => "radiology.csv.gz",
        }
    }

    /// Its columns in order; those of MIMIC-III begin with `ROW_ID`.
    #[rustfmt::skip]
    pub(super) fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Patients => &["ROW_ID", "SUBJECT_ID", "GENDER", "DOB", "DOD", "DOD_HOSP", "DOD_SSN", "EXPIRE_FLAG"],
            Self::Admissions => &[
                "ROW_ID", "SUBJECT_ID", "HADM_ID", "ADMITTIME", "DISCHTIME", "DEATHTIME", "ADMISSION_TYPE",
                "ADMISSION_LOCATION", "DISCHARGE_LOCATION", "INSURANCE", "LANGUAGE", "RELIGION", "MARITAL_STATUS",
                "ETHNICITY", "EDREGTIME", "EDOUTTIME", "DIAGNOSIS", "HOSPITAL_EXPIRE_FLAG", "HAS_CHARTEVENTS_DATA",
            ],
            Self::IcuStays => &[
                "ROW_ID", "SUBJECT_ID", "HADM_ID", "ICUSTAY_ID", "DBSOURCE", "FIRST_CAREUNIT", "LAST_CAREUNIT",
                "FIRST_WARDID", "LAST_WARDID", "INTIME", "OUTTIME", "LOS",
            ],
            Self::Diagnoses | Self::Procedures => &["ROW_ID", "SUBJECT_ID", "HADM_ID", "SEQ_NUM", "ICD9_CODE"],
            Self::ChartEvents => &[
                "ROW_ID", "SUBJECT_ID", "HADM_ID", "ICUSTAY_ID", "ITEMID", "CHARTTIME", "STORETIME", "CGID", "VALUE",
                "VALUENUM", "VALUEUOM", "WARNING", "ERROR", "RESULTSTATUS", "STOPPED",
            ],
            Self::ProcedureEvents => &[
                "ROW_ID", "SUBJECT_ID", "HADM_ID", "ICUSTAY_ID", "STARTTIME", "ENDTIME", "ITEMID", "VALUE", "VALUEUOM",
                "LOCATION", "LOCATIONCATEGORY", "STORETIME", "CGID", "ORDERID", "LINKORDERID", "ORDERCATEGORYNAME",
                "SECONDARYORDERCATEGORYNAME", "ORDERCATEGORYDESCRIPTION", "ISOPENBAG", "CONTINUEINNEXTDEPT",
                "CANCELREASON", "STATUSDESCRIPTION", "COMMENTS_EDITEDBY", "COMMENTS_CANCELEDBY", "COMMENTS_DATE",
            ],
            Self::NoteEvents => &[
                "ROW_ID", "SUBJECT_ID", "HADM_ID", "CHARTDATE", "CHARTTIME", "STORETIME", "CATEGORY", "DESCRIPTION",
                "CGID", "ISERROR", "TEXT",
            ],
            Self::DiagnosisCodes | Self::ProcedureCodes => &["ROW_ID", "ICD9_CODE", "SHORT_TITLE", "LONG_TITLE"],
            Self::Discharge | Self::Radiology => NOTE_COLUMNS,
        }
    }

    /// Whether rows begin with their number.
    fn is_numbered(self) -> bool {
        self.columns()[0] == "ROW_ID"
    }

    /// The first line.
    pub(super) fn header(self) -> String {
        let quoted = |name: &&str| {
            if self.is_numbered() { format!("\"{name}\"") } else { (*name).to_owned() }
        };
        self.columns().iter().map(quoted).collect::<Vec<_>>().join(",") + "\n"
    }
}

/// A field of a row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cell<'a> {
    Null,
    /// An identifier, a count, a flag.
    Whole(u64),
    /// A number with this many decimals.
    Decimal(f64, usize),
    /// A string that is quoted.
    Text(&'a str),
    /// A string that is not.
    Bare(&'a str),
    /// Date and time.
    At(Moment),
    /// Date.
    On(Moment),
}

impl<'a> Cell<'a> {
    /// A quoted string, or null for the empty one.
    fn text_or_null(text: &'a str) -> Self {
        if text.is_empty() { Self::Null } else { Self::Text(text) }
    }

    /// A moment, or null.
    fn at_or_null(moment: Option<Moment>) -> Self {
        moment.map_or(Self::Null, Self::At)
    }

    fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Null => {}
            Self::Whole(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Self::Decimal(number, decimals) => {
                out.extend_from_slice(format!("{number:.decimals$}").as_bytes());
            }
            Self::Text(text) => {
                out.push(b'"');
                for byte in text.bytes() {
                    if byte == b'"' {
                        out.push(b'"');
                    }
                    out.push(byte);
                }
                out.push(b'"');
            }
            Self::Bare(text) => out.extend_from_slice(text.as_bytes()),
            Self::At(moment) => out.extend_from_slice(moment.stamp().as_bytes()),
            Self::On(moment) => out.extend_from_slice(moment.day_stamp().as_bytes()),
        }
    }
}

/// Rows of one table, in CSV but for their numbers.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    table: Table,
    bytes: Vec<u8>,
    /// Where each row ends.
    ends: Vec<usize>,
}

impl Rows {
    /// None yet.
    pub(super) fn new(table: Table) -> Self {
        Self { table, bytes: Vec::new(), ends: Vec::new() }
    }

    /// Adds a row; `cells` lack its number.
    pub(super) fn add(&mut self, cells: &[Cell<'_>]) {
        let numbered = usize::from(self.table.is_numbered());
        assert_eq!(cells.len() + numbered, self.table.columns().len(), "a row of {:?}", self.table);
        for (at, cell) in cells.iter().enumerate() {
            if at > 0 {
                self.bytes.push(b',');
            }
            cell.write(&mut self.bytes);
        }
        self.bytes.push(b'\n');
        self.ends.push(self.bytes.len());
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Appends the rows to `out`, numbered from `first`.
    pub(super) fn print(&self, first: u64, out: &mut Vec<u8>) {
        let mut start = 0;
        for (number, end) in (first..).zip(&self.ends) {
            if self.table.is_numbered() {
                out.extend_from_slice(number.to_string().as_bytes());
                out.push(b',');
            }
            out.extend_from_slice(&self.bytes[start..*end]);
            start = *end;
        }
    }
}

/// What one patient, or several in a row, add to every table.
#[derive(Debug)]
pub(super) struct Pages(Vec<Rows>);

impl Pages {
    /// Empty ones.
    pub(super) fn new() -> Self {
        Self(Table::ALL.into_iter().map(Rows::new).collect())
    }

    /// Those of a table.
    pub(super) fn of(&self, table: Table) -> &Rows {
        &self.0[table as usize]
    }

    /// Takes the rows of a whole table.
    pub(super) fn replace(&mut self, rows: Rows) {
        let at = rows.table as usize;
        self.0[at] = rows;
    }

    fn to(&mut self, table: Table) -> &mut Rows {
        &mut self.0[table as usize]
    }

    /// Adds a patient of the hospital of MIMIC-III's tables.
    pub(super) fn add_mimic3(&mut self, patient: &Patient) {
        register::add(patient, self);
        chart::add(patient, self);
        note_events::add(patient, self);
    }

    /// Adds a patient of the hospital of MIMIC-IV-Note's tables.
    pub(super) fn add_mimic4_note(&mut self, patient: &Patient) {
        mimic4_note::add(patient, self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_stand_at_their_own_index() {
        for (at, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(table as usize, at);
        }
    }

    #[test]
    fn rows_are_quoted_and_numbered_as_in_the_published_files() {
        let mut rows = Rows::new(Table::DiagnosisCodes);
        rows.add(&[Cell::Text("0010"), Cell::Text("a \"b\",\nc"), Cell::Null]);
        rows.add(&[Cell::Whole(7), Cell::At(Moment(0)), Cell::Decimal(1.25, 1)]);
        let mut out = Table::DiagnosisCodes.header().into_bytes();
        rows.print(41, &mut out);
        let expected = "\"ROW_ID\",\"ICD9_CODE\",\"SHORT_TITLE\",\"LONG_TITLE\"\n\
                        41,\"0010\",\"a \"\"b\"\",\nc\",\n42,7,1970-01-01 00:00:00,1.2\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
