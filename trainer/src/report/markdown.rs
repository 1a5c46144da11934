//! Reports as Markdown with tables (GitHub's).

use super::text::{Span, spans};
use super::{Cell, Column, Document, Table};

/// The whole document; figures are named, not shown.
pub(super) fn render(document: &Document) -> String {
    let mut blocks = vec![format!("# {}", escaped(&document.title))];
    blocks.extend(document.lead.iter().map(|paragraph| prose(paragraph)));
    for (i, of) in document.tables.iter().enumerate() {
        if i > 0 {
            blocks.push(format!("## {}", escaped(&of.caption)));
        }
        blocks.push(table(of));
        if i == 0 && !document.notes.is_empty() {
            let notes: Vec<String> = document.notes.iter().map(|note| format!("- {}", prose(note))).collect();
            blocks.push(notes.join("\n"));
        }
    }
    if !document.figures.is_empty() {
        let plot =
            |figure: &super::Figure| format!("- [{}](plots/{}.svg)", escaped(&figure.caption), figure.name);
        blocks.push(format!(
            "## Plots\n\n{}",
            document.figures.iter().map(plot).collect::<Vec<_>>().join("\n")
        ));
    }
    blocks.join("\n\n") + "\n"
}

/// Title, first table and notes as they stand on a terminal: columns in line, nothing escaped, no links.
pub(super) fn plain(document: &Document) -> String {
    let mut blocks = vec![document.title.clone()];
    blocks.extend(document.lead.iter().cloned());
    if let Some(table) = document.tables.first() {
        let head = |column: &Column| {
            let group = &column.group;
            if group.is_empty() { column.title.clone() } else { format!("{group} {}", column.title) }
        };
        let rows = table.rows.iter().map(|row| row.iter().map(|cell| cell.text.clone()).collect());
        let lines: Vec<Vec<String>> =
            std::iter::once(table.columns.iter().map(head).collect()).chain(rows).collect();
        let width = |i: usize| lines.iter().map(|line| line[i].chars().count()).max().unwrap_or_default();
        let padded = |(i, cell): (usize, &String)| {
            let width = width(i);
            if table.columns[i].numeric { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        };
        let line = |line: &Vec<String>| {
            let text = line.iter().enumerate().map(padded).collect::<Vec<_>>().join("  ");
            text.trim_end().to_owned()
        };
        blocks.push(lines.iter().map(line).collect::<Vec<_>>().join("\n"));
    }
    blocks.push(document.notes.iter().map(|note| format!("- {note}")).collect::<Vec<_>>().join("\n"));
    blocks.retain(|block| !block.is_empty());
    blocks.join("\n\n")
}

fn table(table: &Table) -> String {
    let head = |column: &Column| {
        let title = escaped(&column.title);
        if column.group.is_empty() { title } else { format!("{}: {title}", escaped(&column.group)) }
    };
    let rule: String = table.columns.iter().map(|c| if c.numeric { "---:|" } else { "---|" }).collect();
    let rows = table.rows.iter().map(|row| line(row.iter().map(cell)));
    let lines = [line(table.columns.iter().map(head)), format!("|{rule}")];
    lines.into_iter().chain(rows).collect::<Vec<String>>().join("\n")
}

/// An empty cell is one blank, not two.
fn line(cells: impl Iterator<Item = String>) -> String {
    let bounded = |cell: String| if cell.is_empty() { " |".to_owned() } else { format!(" {cell} |") };
    format!("|{}", cells.map(bounded).collect::<String>())
}

fn cell(cell: &Cell) -> String {
    let linked = |text: &str, link: &Option<String>| match link {
        Some(link) => format!("[{}]({link})", escaped(text)),
        None => escaped(text),
    };
    let mut main = linked(&cell.text, &cell.link);
    if cell.strong {
        main = format!("**{main}**");
    }
    let details = cell.details.iter().map(|(text, link)| linked(text, link));
    [main].into_iter().chain(details).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("<br>")
}

fn prose(text: &str) -> String {
    let span = |span: Span<'_>| match span {
        Span::Plain(plain) => escaped(plain),
        Span::Code(code) => format!("`{code}`"),
    };
    spans(text).into_iter().map(span).collect()
}

/// Every character that could mean something, behind a backslash.
fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let special = "\\`*_[]<>|&".contains(c);
            special.then_some('\\').into_iter().chain([c])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::hostile;
    use super::*;

    #[test]
    fn a_table_is_a_table_and_text_stays_text() {
        let text = render(&hostile());
        let expected = "\
# Table of a\\&b\\_\\<c\\>%

Of a\\&b\\_\\<c\\>%, by `clinlora --x a&b_<c>%`.

| a\\&b\\_\\<c\\>% | MOR: ours | MOR: paper |
|---|---:|---:|
| a\\&b\\_\\<c\\>% | **[74.9 ± 0.3](runs/x%20y)**<br>70.1–79.2<br>[seed 1](r.toml) | 66.80 |
| x\\|y | one class | |

- #1 ~ ^ \\\\ {}

## Plots

- [a\\&b\\_\\<c\\>%](plots/roc.svg)
";
        assert_eq!(text, expected);
        let expected = "\
Table of a&b_<c>%

Of a&b_<c>%, by `clinlora --x a&b_<c>%`.

a&b_<c>%    MOR ours  MOR paper
a&b_<c>%  74.9 ± 0.3      66.80
x|y        one class

- #1 ~ ^ \\ {}";
        assert_eq!(plain(&hostile()), expected);
    }
}
