//! Plots of a search, as SVG whose text is text.

use plotters::prelude::*;

use super::metric::Metric;
use super::space::{Coordinate, Space};
use super::study::{State, Study};

const INK: RGBColor = RGBColor(27, 39, 51);
const BLUE: RGBColor = RGBColor(33, 99, 168);
const GREEN: RGBColor = RGBColor(46, 125, 50);
const FONT: (&str, u32) = ("sans-serif", 15);

type Drawn = Result<String, String>;

/// The figure of each trial and the best until it.
pub(super) fn best_so_far(study: &Study, metric: Metric) -> Drawn {
    let mut best: Option<f64> = None;
    let (mut points, mut line) = (Vec::new(), Vec::new());
    for trial in &study.trials {
        let (State::Finished { value, .. } | State::Pruned { value, .. }) = trial.state else {
            continue;
        };
        let number = count(trial.number);
        points.push((number, value));
        line.extend(best.map(|best| (number, best)));
        if matches!(trial.state, State::Finished { .. }) {
            best = Some(best.map_or(value, |best| metric.better_of(best, value)));
        }
        line.extend(best.map(|best| (number, best)));
    }
    let range = range(points.iter().map(|(_, value)| *value));
    let last = count(study.trials.len().max(2));
    draw((720, 320), |area| {
        let mut chart = ChartBuilder::on(area)
            .caption("best so far", FONT)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(84)
            .build_cartesian_2d(0.5..last + 0.5, range)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc("trial")
            .y_labels(6)
            .y_desc(metric.name())
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{y:.4}"))
            .label_style(FONT)
            .draw()?;
        chart.draw_series(points.iter().map(|at| Circle::new(*at, 3, BLUE.mix(0.6).filled())))?;
        chart.draw_series(LineSeries::new(line.clone(), GREEN.stroke_width(2)))?;
        Ok(())
    })
}

/// The figure by the values of one axis.
pub(super) fn scatter(space: &Space, place: usize, study: &Study, metric: Metric) -> Drawn {
    let axis = &space.axes[place];
    let points = study.trials.iter().filter_map(|trial| {
        let (State::Finished { value, .. } | State::Pruned { value, .. }) = trial.state else {
            return None;
        };
        let x = match trial.point[place] {
            Coordinate::Index(i) => count(i),
            Coordinate::Real(_) => axis.position(trial.point[place]),
        };
        Some((x, value))
    });
    let points: Vec<(f64, f64)> = points.collect();
    let range = range(points.iter().map(|(_, value)| *value));
    let (ends, labels) = match axis.count() {
        Some(values) => (-0.5..count(values) - 0.5, values.min(24)),
        None => (-0.05..1.05, 6),
    };
    let label = |x: &f64| match axis.count() {
        Some(values) if is_place(*x, values) => axis.text(axis.at((x.round() + 0.5) / count(values))),
        None if (0.0..=1.0).contains(x) => axis.text(axis.at(*x)),
        _ => String::new(),
    };
    draw((720, 280), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(84)
            .build_cartesian_2d(ends.clone(), range.clone())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_labels(labels)
            .x_desc(axis.key.as_str())
            .y_labels(6)
            .y_desc(metric.name())
            .x_label_formatter(&label)
            .y_label_formatter(&|y| format!("{y:.4}"))
            .label_style(FONT)
            .draw()?;
        chart.draw_series(points.iter().map(|at| Circle::new(*at, 4, BLUE.mix(0.6).filled())))?;
        Ok(())
    })
}

/// The share of each key, a bar each.
pub(super) fn importance(shares: &[(&str, f64)]) -> Drawn {
    let (row, left, scale) = (28, 230, 380.0);
    let height = u32::try_from(shares.len()).unwrap_or(u32::MAX).saturating_mul(28).saturating_add(40);
    draw((720, height), |area| {
        let style = TextStyle::from(FONT).color(&INK);
        area.draw_text("importance: share of the variance by each key alone", &style, (12, 8))?;
        let mut top = 36;
        for (key, share) in shares {
            #[expect(clippy::cast_possible_truncation, reason = "a share of some hundred pixels")]
            let right = left + (scale * share.clamp(0.0, 1.0)).round() as i32;
            area.draw_text(key, &style, (12, top + 3))?;
            area.draw(&Rectangle::new([(left, top), (right, top + row - 8)], BLUE.mix(0.7).filled()))?;
            area.draw_text(&format!("{:.1} %", 100.0 * share), &style, (right + 8, top + 3))?;
            top += row;
        }
        Ok(())
    })
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn draw(size: (u32, u32), plot: impl FnOnce(&Area<'_>) -> Result<(), Box<dyn std::error::Error>>) -> Drawn {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE).map_err(|e| e.to_string())?;
        plot(&area).map_err(|e| e.to_string())?;
        area.present().map_err(|e| e.to_string())?;
    }
    Ok(svg)
}

/// From the least to the most, with some air.
fn range(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (least, most) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), v| (least.min(v), most.max(v)));
    if !least.is_finite() {
        return 0.0..1.0;
    }
    let air = if most > least { 0.08 * (most - least) } else { 0.01 * most.abs().max(1.0) };
    least - air..most + air
}

fn is_place(x: f64, values: usize) -> bool {
    (x - x.round()).abs() < 1e-6 && x > -0.5 && x < count(values) - 0.5
}

#[expect(clippy::cast_precision_loss, reason = "a count of trials or values")]
fn count(number: usize) -> f64 {
    number as f64
}
