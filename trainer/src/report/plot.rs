//! Plots, as SVG with text that is text, drawn by `plotters`.
//!
//! Colours are written as those of a light page, so that any viewer shows them; a style sheet changes them by their values
//! where the reader prefers a dark one.

use std::ops::Range;

use plotters::prelude::*;

use super::html::escaped;

/// Width and height in pixels, the legend included.
const SIZE: (u32, u32) = (920, 380);
const LEGEND_WIDTH: u32 = 310;

/// Colours of a light and of a dark page: text and axes, what stands back, the grid.
const INK: [&str; 2] = ["#222222", "#E4E2DD"];
const SOFT: [&str; 2] = ["#8A867E", "#8A867E"];
const GRID: [&str; 2] = ["#E6E3DC", "#333336"];

/// Colours of the series (Okabe and Ito, told apart by colour-blind readers; the dark page's lightened).
const SERIES: [[&str; 2]; 8] = [
    ["#0072B2", "#56B4E9"],
    ["#D55E00", "#FF8C42"],
    ["#009E73", "#2FD3A3"],
    ["#CC79A7", "#E9A3C9"],
    ["#B8860B", "#F0C94A"],
    ["#5B4B9A", "#A99BEB"],
    ["#6B4226", "#C99A77"],
    ["#4D4D4D", "#BDBDBD"],
];

/// An axis.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub(crate) title: String,
    pub(crate) range: Range<f64>,
}

impl Axis {
    /// From 0 to 1.
    pub(crate) fn unit(title: &str) -> Self {
        Self { title: title.to_owned(), range: 0.0..1.0 }
    }

    /// Around `values`, with some room; something even where there are none.
    pub(crate) fn around(title: &str, values: impl Iterator<Item = f64>) -> Self {
        let finite = values.filter(|v| v.is_finite());
        let ends =
            finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) = if ends.0 <= ends.1 { ends } else { (0.0, 1.0) };
        let room = if high > low { 0.04 * (high - low) } else { 0.5 };
        Self { title: title.to_owned(), range: low - room..high + room }
    }
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Line,
    /// A line with a dot at every point.
    Dotted,
    /// Dots alone.
    Dots,
}

/// Points of one thing.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Which of the colours; they repeat.
    pub(crate) color: usize,
    pub(crate) mark: Mark,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Series over two axes.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    /// For readers who do not see it.
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    /// A line from corner to corner, of what is no better than chance or perfectly calibrated.
    pub(crate) diagonal: bool,
    /// Names along the vertical axis, at 0, 1, ... from the top, in place of numbers.
    pub(crate) names: Vec<String>,
    pub(crate) series: Vec<Series>,
}

/// Most rows of names a chart has room for.
pub(crate) const MOST_NAMES: usize = 24;

const TO_A_STRING: &str = "drawing into a string does not fail";

impl Chart {
    /// A whole SVG file.
    pub(crate) fn svg(&self) -> String {
        let mut drawn = String::new();
        {
            let root = SVGBackend::with_string(&mut drawn, SIZE).into_drawing_area();
            let (left, right) = root.split_horizontally(SIZE.0 - LEGEND_WIDTH);
            self.draw(&left);
            self.legend(&right);
            root.present().expect(TO_A_STRING);
        }
        let (_, content) = drawn.split_once('>').expect("an SVG has an opening tag");
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" viewBox=\"0 0 {} {}\" \
             role=\"img\">\n<title>{}</title>\n{STYLE_OPEN}{}{STYLE_CLOSE}{}",
            SIZE.0,
            SIZE.1,
            SIZE.0,
            SIZE.1,
            escaped(&self.title),
            standalone_style(),
            content.trim_start()
        )
    }

    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) {
        let text = |color: [&str; 2]| ("sans-serif", 15).into_font().color(&light(color));
        let rows = self.names.len();
        let y_range = if rows > 0 { rows as f64 - 0.5..-0.5 } else { self.y.range.clone() };
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(if rows > 0 { 180 } else { 62 })
            .build_cartesian_2d(self.x.range.clone(), y_range.clone())
            .expect("ranges are not empty");
        let name = |y: &f64| {
            let place = y.round();
            let is_row = rows > 0 && (y - place).abs() < 1e-6 && place >= 0.0;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a row's number")]
            let name = is_row.then(|| self.names.get(place as usize)).flatten();
            name.map_or_else(String::new, |name| shortened(name, 22))
        };
        let number = |value: &f64| tick(*value);
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(&self.x.title)
            .y_desc(if rows > 0 { "" } else { &self.y.title })
            .axis_style(light(SOFT))
            .bold_line_style(light(GRID))
            .light_line_style(TRANSPARENT)
            .label_style(text(INK))
            .axis_desc_style(text(INK))
            .x_label_formatter(&number)
            .y_labels(if rows > 0 { 2 * rows + 1 } else { 8 });
        if rows > 0 {
            mesh.y_label_formatter(&name).disable_y_mesh();
        } else {
            mesh.y_label_formatter(&number);
        }
        mesh.draw().expect(TO_A_STRING);
        if self.diagonal {
            let ends = [(self.x.range.start, y_range.start), (self.x.range.end, y_range.end)];
            let line = DashedLineSeries::new(ends, 4, 4, light(SOFT).stroke_width(1));
            chart.draw_series(line).expect(TO_A_STRING);
        }
        for series in &self.series {
            let color = color(series.color);
            let points = || series.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite());
            if series.mark != Mark::Dots {
                chart.draw_series(LineSeries::new(points(), color.stroke_width(2))).expect(TO_A_STRING);
            }
            if series.mark != Mark::Line {
                let dots = points().map(|point| Circle::new(point, 3, color.filled()));
                chart.draw_series(dots).expect(TO_A_STRING);
            }
        }
    }

    fn legend(&self, area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) {
        for (series, i) in self.series.iter().zip(0i32..) {
            let y = 26 + 24 * i;
            let color = color(series.color);
            let place = (6, y);
            if series.mark != Mark::Dots {
                let line = PathElement::new([(0, y), (20, y)], color.stroke_width(2));
                area.draw(&line).expect(TO_A_STRING);
            }
            if series.mark != Mark::Line {
                area.draw(&Circle::new((10, y), 3, color.filled())).expect(TO_A_STRING);
            }
            let style = ("sans-serif", 15).into_font().color(&light(INK));
            let style = style.pos(plotters::style::text_anchor::Pos::new(
                plotters::style::text_anchor::HPos::Left,
                plotters::style::text_anchor::VPos::Center,
            ));
            let text = Text::new(shortened(&series.name, 42), (place.0 + 22, y), style);
            area.draw(&text).expect(TO_A_STRING);
        }
    }
}

/// A plain number with as many places as a tick needs.
fn tick(value: f64) -> String {
    let rounded = format!("{value:.4}");
    let trimmed = rounded.trim_end_matches('0').trim_end_matches('.');
    if trimmed == "-0" { "0".to_owned() } else { trimmed.to_owned() }
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

fn color(series: usize) -> RGBColor {
    light(SERIES[series % SERIES.len()])
}

fn light(pair: [&str; 2]) -> RGBColor {
    let part = |at: usize| u8::from_str_radix(&pair[0][at..at + 2], 16).expect("colours are hexadecimal");
    RGBColor(part(1), part(3), part(5))
}

const STYLE_OPEN: &str = "<style>\n";
const STYLE_CLOSE: &str = "</style>\n";

/// For a file by itself: its own page as well.
fn standalone_style() -> String {
    format!(
        ":root {{ background: #fdfcfa; color-scheme: light dark; }}\n@media (prefers-color-scheme: dark) {{ :root {{ \
         background: #1a1a1c; }} }}\n{}",
        dark_style()
    )
}

/// Changes the colours of plots on a dark page.
pub(super) fn dark_style() -> String {
    let rule = |[light, dark]: &[&str; 2]| {
        format!(
            "  svg [fill=\"{light}\"] {{ fill: {dark}; }}\n  svg [stroke=\"{light}\"] {{ stroke: {dark}; }}\n"
        )
    };
    let rules: String = [INK, SOFT, GRID].iter().chain(&SERIES).map(rule).collect();
    format!("@media (prefers-color-scheme: dark) {{\n{rules}}}\n")
}

/// A plot inside a page, which has [`dark_style`] itself.
pub(super) fn inline(svg: &str) -> String {
    match (svg.find(STYLE_OPEN), svg.find(STYLE_CLOSE)) {
        (Some(start), Some(end)) => [&svg[..start], &svg[end + STYLE_CLOSE.len()..]].concat(),
        _ => svg.to_owned(),
    }
}

/// At most `most` points that look like `points`: the mean of neighbours.
pub(crate) fn thinned(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    let size = points.len().div_ceil(most.max(1)).max(1);
    let mean = |part: &[(f64, f64)]| {
        let count = part.len() as f64;
        let sum = part.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / count, sum.1 / count)
    };
    points.chunks(size).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(names: &[&str]) -> Chart {
        let series = |name: &str, color, mark| Series {
            name: name.to_owned(),
            color,
            mark,
            points: vec![(0.0, 0.0), (0.25, 1.0), (1.0, 1.0), (f64::NAN, 0.5)],
        };
        Chart {
            title: "ROC of a&b_<c>%".to_owned(),
            x: Axis::unit("false positive rate"),
            y: Axis::unit("x < \"y\" & z"),
            diagonal: true,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            series: vec![series("a&b_<c>%", 0, Mark::Line), series("second", 9, Mark::Dotted)],
        }
    }

    #[test]
    fn a_plot_is_well_formed_has_text_and_escapes_it() {
        let svg = chart(&[]).svg();
        assert!(
            svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"")
                && svg.trim_end().ends_with("</svg>")
        );
        assert!(svg.contains("<title>ROC of a&amp;b_&lt;c&gt;%</title>"));
        assert!(svg.matches("a&amp;b_&lt;c&gt;%").count() == 2 && !svg.contains("<c>"), "{svg}");
        assert!(svg.contains("x &lt; &quot;y&quot; &amp; z") && svg.contains("false positive rate"));
        assert!(svg.contains(">\n0.5\n</text>"), "ticks are text");
        assert!(!svg.contains("NaN") && !svg.contains("href") && !svg.contains("url("));
        // Every tag that opens closes, in order.
        let mut open = Vec::new();
        for tag in svg.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()) {
            match tag.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name), "{tag}"),
                None if tag.ends_with('/') => {}
                None => open.push(tag.split([' ', '\n']).next().unwrap()),
            }
        }
        assert_eq!(open, [""; 0]);
    }

    #[test]
    fn every_colour_drawn_has_one_for_dark_pages() {
        let svg = chart(&[]).svg();
        let style = dark_style();
        let (_, content) = svg.split_once(STYLE_CLOSE).unwrap();
        let mut seen = 0;
        for (at, _) in content.match_indices("=\"#") {
            let (before, after) = content.split_at(at);
            let name = before.rsplit(' ').next().unwrap();
            let rule = format!("[{name}{}\"]", &after[..9]);
            assert!(style.contains(&rule), "{rule}");
            seen += 1;
        }
        assert!(seen > 20, "{seen}");
        let inline = inline(&svg);
        assert!(!inline.contains("<style>") && inline.contains("<polyline"));
    }

    #[test]
    fn names_stand_beside_their_rows() {
        let svg = chart(&["LT3D", "a very long name of a class <x>"]).svg();
        assert!(svg.contains("\nLT3D\n") && svg.contains("\na very long name of a…\n"), "{svg}");
    }

    #[test]
    fn thinned_points_keep_their_mean_and_axes_have_room() {
        let points: Vec<(f64, f64)> = (0..10).map(|i| (f64::from(i), f64::from(i * i))).collect();
        assert_eq!(thinned(&points, 5)[4], (8.5, 72.5));
        assert_eq!(thinned(&points, 10), points);
        assert_eq!(thinned(&[], 10), []);
        assert_eq!(Axis::around("", [].into_iter()).range, -0.04..1.04);
        assert_eq!(Axis::around("", [3.0, 3.0, f64::NAN].into_iter()).range, 2.5..3.5);
        assert_eq!([0.25, -0.0, 3.0, 1500.0].map(tick), ["0.25", "0", "3", "1500"]);
    }
}
