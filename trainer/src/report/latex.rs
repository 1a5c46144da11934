//! The table of a report as LaTeX with booktabs, ready for `\input`.

use super::text::groups;
use super::{Cell, Document, Table};

/// The first table; it needs `\usepackage{booktabs}`. Links, details and the tables that explain the first, which paper has no
/// room for, stay in the other files.
pub(super) fn render(document: &Document) -> String {
    let tables: Vec<String> = document.tables.iter().take(1).map(table).collect();
    format!("% {}\n% \\usepackage{{booktabs}}\n{}", document.title.replace('\n', " "), tables.join("\n"))
}

fn table(table: &Table) -> String {
    let alignment: String = table.columns.iter().map(|c| if c.numeric { 'r' } else { 'l' }).collect();
    let mut lines = vec![
        "\\begin{table}".to_owned(),
        "\\centering".to_owned(),
        format!("\\caption{{{}}}", escaped(&table.caption)),
        format!("\\label{{tab:{}}}", table.name),
        format!("\\begin{{tabular}}{{{alignment}}}"),
        "\\toprule".to_owned(),
    ];
    let groups = groups(&table.columns);
    if groups.iter().any(|(group, _)| !group.is_empty()) {
        let head = |(group, width): &(&str, usize)| match (group.is_empty(), *width) {
            (true, _) => String::new(),
            (false, 1) => escaped(group),
            (false, width) => format!("\\multicolumn{{{width}}}{{c}}{{{}}}", escaped(group)),
        };
        lines.push(row(groups.iter().map(head)));
        let mut first = 1;
        let mut rules = String::new();
        for (group, width) in &groups {
            if !group.is_empty() {
                rules.push_str(&format!("\\cmidrule(lr){{{first}-{}}}", first + width - 1));
            }
            first += width;
        }
        lines.push(rules);
    }
    lines.push(row(table.columns.iter().map(|column| escaped(&column.title))));
    lines.push("\\midrule".to_owned());
    lines.extend(table.rows.iter().map(|cells| row(cells.iter().map(cell))));
    let end = ["\\bottomrule", "\\end{tabular}", "\\end{table}"];
    lines.extend(end.map(str::to_owned));
    lines.join("\n") + "\n"
}

fn row(cells: impl Iterator<Item = String>) -> String {
    format!("{} \\\\", cells.collect::<Vec<_>>().join(" & "))
}

fn cell(cell: &Cell) -> String {
    let text = escaped(&cell.text);
    if cell.strong { format!("\\textbf{{{text}}}") } else { text }
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '<' => out.push_str("\\textless{}"),
            '>' => out.push_str("\\textgreater{}"),
            '|' => out.push_str("\\textbar{}"),
            '±' => out.push_str("$\\pm$"),
            '–' => out.push_str("--"),
            '−' => out.push_str("$-$"),
            '†' => out.push_str("$^\\dagger$"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::hostile;
    use super::*;

    #[test]
    fn a_table_is_set_by_booktabs_and_text_stays_text() {
        let expected = r"\begin{table}
\centering
\caption{a\&b\_\textless{}c\textgreater{}\% \textbar{} \{\$\}}
\label{tab:table-x}
\begin{tabular}{lrr}
\toprule
 & \multicolumn{2}{c}{MOR} \\
\cmidrule(lr){2-3}
a\&b\_\textless{}c\textgreater{}\% & ours & paper \\
\midrule
a\&b\_\textless{}c\textgreater{}\% & \textbf{74.9 $\pm$ 0.3} & 66.80 \\
x\textbar{}y & one class &  \\
\bottomrule
\end{tabular}
\end{table}
";
        let text = render(&hostile());
        assert!(text.ends_with(expected), "{text}");
    }
}
