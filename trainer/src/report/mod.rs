//! Reports: tables and plots, the same content as Markdown, HTML, LaTeX and CSV.
//!
//! A [`Document`] says what there is to read; each renderer escapes it for its format. Texts are plain, but for `code` between
//! backticks. Links are relative to the folder the report is in, so that the folder can be moved or handed on whole; nothing
//! in it is fetched from anywhere.

pub(crate) mod html;
mod latex;
mod markdown;
pub(crate) mod plot;
mod text;

use std::path::{Component, Path};

use serde::Serialize;

use crate::error::{AtPath, Result};
use crate::files;

/// A whole report.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) title: String,
    /// Paragraphs before the tables.
    pub(crate) lead: Vec<String>,
    /// The first is the table; those after it explain it.
    pub(crate) tables: Vec<Table>,
    /// Remarks on the tables.
    pub(crate) notes: Vec<String>,
    /// In the HTML report, and as files of their own.
    pub(crate) figures: Vec<Figure>,
}

/// A table.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Letters, digits and hyphens: anchors and LaTeX labels.
    pub(crate) name: &'static str,
    pub(crate) caption: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// A column of a table.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// What neighbouring columns have in common; empty for a column by itself.
    pub(crate) group: String,
    pub(crate) title: String,
    pub(crate) numeric: bool,
}

impl Column {
    /// Of words.
    pub(crate) fn words(title: &str) -> Self {
        Self { group: String::new(), title: title.to_owned(), numeric: false }
    }

    /// Of numbers.
    pub(crate) fn numbers(title: &str) -> Self {
        Self { numeric: true, ..Self::words(title) }
    }

    /// Of numbers, one of several columns under `group`.
    pub(crate) fn under(group: &str, title: &str) -> Self {
        Self { group: group.to_owned(), ..Self::numbers(title) }
    }
}

/// A cell of a table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    pub(crate) text: String,
    /// Where it comes from.
    pub(crate) link: Option<String>,
    /// Said in small letters below it, each with a link or without.
    pub(crate) details: Vec<(String, Option<String>)>,
    /// Best of its column.
    pub(crate) strong: bool,
    /// Not of this run, or no figure.
    pub(crate) quiet: bool,
}

impl Cell {
    /// Of a text alone.
    pub(crate) fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Of a text that stands back.
    pub(crate) fn quiet(text: impl Into<String>) -> Self {
        Self { quiet: true, ..Self::of(text) }
    }
}

/// A plot.
#[derive(Debug)]
pub(crate) struct Figure {
    /// Name of its file, without the ending.
    pub(crate) name: String,
    pub(crate) caption: String,
    /// A whole SVG file.
    pub(crate) svg: String,
}

impl Document {
    /// The report for reading as text.
    pub(crate) fn markdown(&self) -> String {
        markdown::render(self)
    }

    /// Title, table and notes with columns in line and without links, for a terminal.
    pub(crate) fn terminal(&self) -> String {
        markdown::plain(self)
    }

    /// Writes `NAME.md`, `.html`, `.tex`, `.csv` and `.json` into `folder`, and each plot into `plots/`. `records` are the CSV,
    /// its header first; `json` is everything.
    pub(crate) fn write(
        &self,
        folder: &Path,
        name: &str,
        records: &[Vec<String>],
        json: &impl Serialize,
    ) -> Result<()> {
        let json = serde_json::to_string_pretty(json).expect("a report serialises");
        if !self.figures.is_empty() {
            let plots = folder.join("plots");
            std::fs::create_dir_all(&plots).at(&plots)?;
            for figure in &self.figures {
                files::write_atomic(&plots.join(format!("{}.svg", figure.name)), figure.svg.as_bytes())?;
            }
        }
        let contents = [
            ("csv", csv_file(records)),
            ("tex", latex::render(self).into_bytes()),
            ("html", html::render(self).into_bytes()),
            ("md", self.markdown().into_bytes()),
            ("json", json.into_bytes()),
        ];
        let write = |(ending, bytes): (&str, Vec<u8>)| {
            files::write_atomic(&folder.join(format!("{name}.{ending}")), &bytes)
        };
        contents.into_iter().try_for_each(write)
    }
}

fn csv_file(records: &[Vec<String>]) -> Vec<u8> {
    const IN_MEMORY: &str = "writing records of one length to memory does not fail";
    let mut writer = csv::Writer::from_writer(Vec::new());
    records.iter().for_each(|record| writer.write_record(record).expect(IN_MEMORY));
    writer.into_inner().expect(IN_MEMORY)
}

/// `path` as a link from a page in `folder`: relative, with `/` between parts, and everything that is not plain percent-encoded.
/// A path elsewhere is taken up and down again where both are absolute or both are relative, and is left out otherwise.
pub(crate) fn link(folder: &Path, path: &Path) -> Option<String> {
    let parts = |path: &Path| -> Option<Vec<String>> {
        let named = path.components().filter(|part| *part != Component::CurDir);
        named.map(|part| part.as_os_str().to_str().map(str::to_owned)).collect()
    };
    if folder.is_absolute() != path.is_absolute() {
        return None;
    }
    let (from, to) = (parts(folder)?, parts(path)?);
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    if from[common..].iter().any(|part| part == "..") {
        return None;
    }
    let up = from[common..].iter().map(|_| "..".to_owned());
    let down = to[common..].iter().map(|part| encoded(part));
    Some(up.chain(down).collect::<Vec<String>>().join("/"))
}

fn encoded(part: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    part.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// `path` as it is shown: as it was typed.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A document every renderer has something to escape in.
    pub(super) fn hostile() -> Document {
        let label = "a&b_<c>%";
        let cell = Cell {
            link: Some("runs/x%20y".to_owned()),
            details: vec![("70.1–79.2".to_owned(), None), ("seed 1".to_owned(), Some("r.toml".to_owned()))],
            strong: true,
            ..Cell::of("74.9 ± 0.3")
        };
        Document {
            title: format!("Table of {label}"),
            lead: vec![format!("Of {label}, by `clinlora --x {label}`.")],
            tables: vec![Table {
                name: "table-x",
                caption: format!("{label} | {{$}}"),
                columns: vec![
                    Column::words(label),
                    Column::under("MOR", "ours"),
                    Column::under("MOR", "paper"),
                ],
                rows: vec![
                    vec![Cell::of(label), cell, Cell::quiet("66.80")],
                    vec![Cell::of("x|y"), Cell::quiet("one class"), Cell::default()],
                ],
            }],
            notes: vec!["#1 ~ ^ \\ {}".to_owned()],
            figures: vec![Figure {
                name: "roc".to_owned(),
                caption: label.to_owned(),
                svg: "<svg xmlns=\"http://www.w3.org/2000/svg\"></svg>".to_owned(),
            }],
        }
    }

    #[test]
    fn links_are_relative_and_encoded() {
        let of = |folder: &str, path: &str| link(Path::new(folder), Path::new(path));
        assert_eq!(of("out", "out/runs/a b").as_deref(), Some("runs/a%20b"));
        assert_eq!(of("./out", "out/runs/ü").as_deref(), Some("runs/%C3%BC"));
        assert_eq!(of("a/out", "models/b").as_deref(), Some("../../models/b"));
        assert_eq!(of("/a/out", "/a/m").as_deref(), Some("../m"));
        assert_eq!(of("/a/out", "m"), None);
        assert_eq!(of("../out", "m"), None);
        assert_eq!(of("out", "../m").as_deref(), Some("../../m"));
    }

    #[test]
    fn every_file_of_a_report_is_written_and_escaped() {
        let folder = tempfile::tempdir().unwrap();
        let records =
            [vec!["row".to_owned(), "x".to_owned()], vec!["a&b_<c>%".to_owned(), "1,\"2".to_owned()]];
        hostile().write(folder.path(), "table9", &records, &serde_json::json!({"a": 1})).unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("table9.csv"), "row,x\na&b_<c>%,\"1,\"\"2\"\n");
        assert!(read("table9.tex").contains("a\\&b\\_\\textless{}c\\textgreater{}\\%"));
        assert!(read("table9.html").contains("a&amp;b_&lt;c&gt;%") && !read("table9.html").contains("<c>"));
        assert!(read("table9.md").contains("a\\&b\\_\\<c\\>%"));
        assert!(read("table9.json").contains("\"a\": 1"));
        assert!(read("plots/roc.svg").starts_with("<svg"));
    }
}
