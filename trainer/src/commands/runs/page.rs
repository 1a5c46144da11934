//! The page of `clinlora runs --html`: the table, and curves as SVG; one file without scripts or anything from elsewhere.

use std::fmt::Write;
use std::path::Path;

use super::{COLUMNS, Run, cells};
use crate::error::{Error, Result};
use crate::files;
use crate::report::html::escaped;

/// First bytes of a page, by which this command knows its own.
const MARK: &str = "<!DOCTYPE html>\n<!-- clinlora runs -->\n";

/// Colours that the colour-blind can tell apart (Okabe and Ito 2008).
const COLOURS: [&str; 7] = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#000000"];

const STYLE: &str = "body{font:15px system-ui,sans-serif;margin:2rem;color:#222}table{border-collapse:collapse}\
    th,td{padding:.25rem .7rem;text-align:left;border-bottom:1px solid #ddd;white-space:nowrap}\
    figure{display:inline-block;margin:1rem 1.5rem 0 0}figcaption{font-size:13px}svg{background:#fafafa}\
    .key{display:inline-block;width:1em;height:.6em;margin:0 .3em 0 .8em}";

/// Width and height of a chart, and its margins, in pixels.
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 52.0;
const BOTTOM: f64 = 26.0;
const TOP: f64 = 10.0;

/// Points of a curve that are drawn; more are averaged.
const POINTS: usize = 300;

/// Refuses to write over a file that is not a page of this command.
pub(super) fn refuse_other_files(path: &Path) -> Result<()> {
    if !path.exists() || files::read(path)?.starts_with(MARK.as_bytes()) {
        return Ok(());
    }
    Err(Error::Input(format!(
        "{} exists and is not a page of this command; choose another name",
        path.display()
    )))
}

/// A curve: its name and points `(update, value)`.
type Curve = (String, Vec<(f64, f64)>);

/// The page of `runs`, found in `folder`.
pub(super) fn page(folder: &Path, runs: &[Run]) -> String {
    let title = format!("Runs in {}", escaped(&folder.display().to_string()));
    let head = |name: &str| format!("<th>{name}</th>");
    let heads: String = COLUMNS.into_iter().chain(["trains"]).map(head).collect();
    let row = |run: &Run| {
        let cells: String = cells(run).iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let rows: String = runs.iter().map(row).collect();
    let mut text = format!(
        "{MARK}<html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style>\n<h1>{title}</h1>\n\
         <table>\n<tr>{heads}</tr>\n{rows}</table>\n"
    );
    type Number = fn(&Run) -> Vec<(f64, f64)>;
    let charts: [(&str, Number); 4] = [
        ("Training loss", |run| points(run, |line| line.loss)),
        ("Held-out loss", |run| points(run, |line| line.valid.map(|valid| valid.loss))),
        ("Held-out AUROC", |run| points(run, |line| line.valid.and_then(|valid| valid.auroc))),
        ("Gradient norm", |run| points(run, |line| line.grad_norm)),
    ];
    for (title, points) in charts {
        let curves: Vec<Curve> = runs.iter().map(|run| (run.run.clone(), points(run))).collect();
        if curves.iter().any(|(_, points)| !points.is_empty()) {
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "<figure>{}<figcaption>{title} by update</figcaption></figure>",
                chart(&curves)
            );
        }
    }
    text.push_str("<p>");
    for (i, run) in runs.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let _ =
            write!(text, "<span class=\"key\" style=\"background:{colour}\"></span>{}", escaped(&run.run));
    }
    text.push_str("</p>\n</html>\n");
    text
}

#[expect(clippy::cast_precision_loss, reason = "updates are far below 2^52")]
fn points(run: &Run, value: impl Fn(&crate::training::log::LogLine) -> Option<f64>) -> Vec<(f64, f64)> {
    let finite = |v: &f64| v.is_finite();
    let all: Vec<(f64, f64)> =
        run.lines.iter().filter_map(|line| Some((line.step as f64, value(line).filter(finite)?))).collect();
    let mean = |group: &[(f64, f64)]| {
        let n = group.len() as f64;
        (group.iter().map(|p| p.0).sum::<f64>() / n, group.iter().map(|p| p.1).sum::<f64>() / n)
    };
    all.chunks(all.len().div_ceil(POINTS).max(1)).map(mean).collect()
}

/// Curves over the update, with the ends of both axes named.
fn chart(curves: &[Curve]) -> String {
    let all = || curves.iter().flat_map(|(_, points)| points);
    let range = |of: fn(&(f64, f64)) -> f64| {
        let (low, high) = all()
            .map(of)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        if high > low { (low, high) } else { (low - 0.5, high + 0.5) }
    };
    let ((x0, x1), (y0, y1)) = (range(|p| p.0), range(|p| p.1));
    let x = |v: f64| LEFT + (v - x0) / (x1 - x0) * (WIDTH - LEFT - 8.0);
    let y = |v: f64| HEIGHT - BOTTOM - (v - y0) / (y1 - y0) * (HEIGHT - BOTTOM - TOP);
    let mut svg = format!("<svg role=\"img\" width=\"{WIDTH}\" height=\"{HEIGHT}\" font-size=\"11\">");
    let axis = HEIGHT - BOTTOM;
    let right = WIDTH - 8.0;
    let _ = write!(
        svg,
        "<path d=\"M{LEFT} {TOP}V{axis}H{right}\" fill=\"none\" stroke=\"#888\"/>\
         <text x=\"{LEFT}\" y=\"{}\">{x0:.0}</text><text x=\"{right}\" y=\"{}\" text-anchor=\"end\">{x1:.0}</text>\
         <text x=\"{}\" y=\"{axis}\" text-anchor=\"end\">{y0:.3}</text><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{y1:.3}</text>",
        HEIGHT - 8.0,
        HEIGHT - 8.0,
        LEFT - 4.0,
        LEFT - 4.0,
        TOP + 8.0,
    );
    for (i, (name, points)) in curves.iter().enumerate().filter(|(_, (_, points))| !points.is_empty()) {
        let colour = COLOURS[i % COLOURS.len()];
        let places: Vec<String> = points.iter().map(|(u, v)| format!("{:.1},{:.1}", x(*u), y(*v))).collect();
        let name = escaped(name);
        let _ = match places.as_slice() {
            [place] => {
                let (cx, cy) = place.split_once(',').unwrap_or_default();
                write!(
                    svg,
                    "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"3\" fill=\"{colour}\"><title>{name}</title></circle>"
                )
            }
            _ => write!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"><title>{name}</title></polyline>",
                places.join(" ")
            ),
        };
    }
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_spans_its_frame_and_escapes_names() {
        let svg =
            chart(&[("a<b".to_owned(), vec![(1.0, 2.0), (11.0, 4.0)]), ("c".to_owned(), vec![(6.0, 3.0)])]);
        assert!(svg.contains("<title>a&lt;b</title>"), "{svg}");
        assert!(svg.contains("points=\"52.0,194.0 412.0,10.0\""), "{svg}");
        assert!(svg.contains("cx=\"232.0\" cy=\"102.0\""), "{svg}");
        assert!(svg.contains(">2.000<") && svg.contains(">4.000<"), "{svg}");
    }
}
