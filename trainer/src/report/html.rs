//! Reports as one HTML file: style and plots inside, no script, nothing fetched.

use super::text::{Span, groups, spans};
use super::{Cell, Document, Figure, Table, plot};

const STYLE: &str = include_str!("report.css");

/// The whole document.
pub(super) fn render(document: &Document) -> String {
    let title = escaped(&document.title);
    let mut body = vec![format!("<h1>{title}</h1>")];
    body.extend(document.lead.iter().map(|paragraph| format!("<p>{}</p>", prose(paragraph))));
    for (i, of) in document.tables.iter().enumerate() {
        body.push(table(of));
        if i == 0 && !document.notes.is_empty() {
            let notes: String =
                document.notes.iter().map(|note| format!("<li>{}</li>\n", prose(note))).collect();
            body.push(format!("<ul class=\"notes\">\n{notes}</ul>"));
        }
    }
    if !document.figures.is_empty() {
        body.push("<h2>Plots</h2>".to_owned());
        body.extend(document.figures.iter().map(figure));
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>\n{STYLE}{}</style>\n</head>\n<body>\n<main>\n{}\n</main>\n</body>\n</html>\n",
        plot::dark_style(),
        body.join("\n")
    )
}

fn table(table: &Table) -> String {
    let mut head = String::new();
    let runs = groups(&table.columns);
    if runs.iter().any(|(group, _)| !group.is_empty()) {
        let cells = runs.iter().map(|(group, width)| {
            if group.is_empty() {
                "<td></td>".to_owned()
            } else {
                format!("<th scope=\"colgroup\" colspan=\"{width}\">{}</th>", escaped(group))
            }
        });
        head = format!("<tr class=\"groups\">{}</tr>\n", cells.collect::<String>());
    }
    let class = |numeric: bool| if numeric { " class=\"number\"" } else { "" };
    let titles = table
        .columns
        .iter()
        .map(|column| format!("<th scope=\"col\"{}>{}</th>", class(column.numeric), escaped(&column.title)));
    head.push_str(&format!("<tr>{}</tr>\n", titles.collect::<String>()));
    let rows = table.rows.iter().map(|cells| {
        let cells = cells.iter().zip(&table.columns).enumerate().map(|(i, (content, column))| {
            let (open, close) = if i == 0 { ("<th scope=\"row\"", "</th>") } else { ("<td", "</td>") };
            format!("{open}{}>{}{close}", class(column.numeric), cell(content))
        });
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    });
    format!(
        "<div class=\"table\" id=\"{}\">\n<table>\n<caption>{}</caption>\n<thead>\n{head}</thead>\n<tbody>\n{}</tbody>\n\
         </table>\n</div>",
        table.name,
        escaped(&table.caption),
        rows.collect::<String>()
    )
}

fn cell(cell: &Cell) -> String {
    let linked = |text: &str, link: &Option<String>| match link {
        Some(link) => format!("<a href=\"{}\">{}</a>", escaped(link), escaped(text)),
        None => escaped(text),
    };
    let mut main = linked(&cell.text, &cell.link);
    if cell.strong {
        main = format!("<strong>{main}</strong>");
    }
    if cell.quiet {
        main = format!("<span class=\"quiet\">{main}</span>");
    }
    let detail = |(text, link): &(String, Option<String>)| format!("<small>{}</small>", linked(text, link));
    main + &cell.details.iter().map(detail).collect::<String>()
}

fn figure(figure: &Figure) -> String {
    format!(
        "<figure id=\"{}\">\n{}\n<figcaption>{}</figcaption>\n</figure>",
        escaped(&figure.name),
        plot::inline(&figure.svg),
        escaped(&figure.caption)
    )
}

fn prose(text: &str) -> String {
    let span = |span: Span<'_>| match span {
        Span::Plain(plain) => escaped(plain),
        Span::Code(code) => format!("<code>{}</code>", escaped(code)),
    };
    spans(text).into_iter().map(span).collect()
}

/// For text and for attributes in double quotes.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
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
    fn a_page_holds_everything_and_text_stays_text() {
        let page = render(&hostile());
        for part in [
            "<title>Table of a&amp;b_&lt;c&gt;%</title>",
            "by <code>clinlora --x a&amp;b_&lt;c&gt;%</code>.",
            "<th scope=\"colgroup\" colspan=\"2\">MOR</th>",
            "<td class=\"number\"><strong><a href=\"runs/x%20y\">74.9 ± 0.3</a></strong><small>70.1–79.2</small>",
            "<small><a href=\"r.toml\">seed 1</a></small></td>",
            "<span class=\"quiet\">one class</span>",
            "prefers-color-scheme: dark",
            "<svg xmlns",
        ] {
            assert!(page.contains(part), "no {part} in {page}");
        }
        for never in ["<script", "src=", "@import", "url(", "<link", "<c>"] {
            assert!(!page.contains(never), "{never} in {page}");
        }
        let addresses: Vec<&str> = page.split("http").skip(1).collect();
        assert!(addresses.iter().all(|rest| rest.starts_with("://www.w3.org/2000/svg")), "only a name space");
    }
}
