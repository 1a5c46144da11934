//! The plots of a table, task by task: training, validation, ROC, calibration and the AUROC of each class.

use clinlora_core::task::{Label, Task, TaskKind};

use super::super::curves::{Curves, LOSS_POINTS};
use super::cell::{Cell, Done};
use super::figures::{Figures, Shown};
use super::{Column, Grid};
use crate::error::Result;
use crate::report::Figure;
use crate::report::plot::{Axis, Chart, MOST_NAMES, Mark, Series, thinned};

/// Every plot of a table.
pub(super) fn plots(
    grid: &Grid<'_>,
    columns: &[Column],
    figures: &Figures,
    done: &[(Cell, Done)],
) -> Result<Vec<Figure>> {
    let mut plots = Vec::new();
    for (task, column) in columns.iter().enumerate() {
        let Ok(data) = &column.of else {
            continue;
        };
        let of_row = |row: usize| figures.at(row, task);
        let mut losses = Vec::new();
        let mut held_out = Vec::new();
        for (row, of) in grid.rows.iter().enumerate() {
            let Some((place, _)) = of_row(row).cells.first() else {
                continue;
            };
            let curves = Curves::read(&done[*place].0.recipe.out)?;
            losses.push(series(&of.title, row, Mark::Line, thinned(&curves.losses, LOSS_POINTS)));
            held_out.push(series(&of.title, row, Mark::Dotted, curves.aurocs));
        }
        let mut add = |kind: &str, caption: String, chart: Chart| {
            if chart.series.iter().any(|series| !series.points.is_empty()) {
                let name = format!("{kind}-{}", column.name.to_lowercase());
                plots.push(Figure { name, caption, svg: chart.svg() });
            }
        };
        let name = column.name;
        let over = |title: String, x: Axis, y: Axis, series: Vec<Series>| Chart {
            title,
            x,
            y,
            diagonal: false,
            names: Vec::new(),
            series,
        };
        let around = |title: &str, of: &[Series], axis: fn(&(f64, f64)) -> f64| {
            Axis::around(title, of.iter().flat_map(|series| series.points.iter().map(axis)))
        };
        let (x, y) = (around("update", &losses, |p| p.0), around("training loss", &losses, |p| p.1));
        let caption =
            format!("{name}: training loss against updates, the mean of neighbouring updates; first seed.");
        add("loss", caption, over(format!("{name}: training loss"), x, y, losses));
        let x = around("update", &held_out, |p| p.0);
        let y = around("held-out AUROC", &held_out, |p| p.1);
        let caption = format!("{name}: AUROC of the validation notes after each epoch; first seed.");
        add("validation", caption, over(format!("{name}: validation"), x, y, held_out));

        let shown: Vec<(usize, &Shown)> =
            (0..grid.rows.len()).filter_map(|row| Some((row, of_row(row).shown.as_ref()?))).collect();
        let labels = label_words(&data.task);
        let title_of = |row: usize| grid.rows[row].title.as_str();
        let roc = roc(&shown, title_of, &labels);
        if let Some((caption, series)) = roc {
            let (x, y) = (Axis::unit("false positive rate"), Axis::unit("true positive rate"));
            let chart = Chart { diagonal: true, ..over(format!("{name}: ROC"), x, y, series) };
            add("roc", format!("{name}: {caption}"), chart);
        }
        let reliability =
            |(row, of): &(usize, &Shown)| series(title_of(*row), *row, Mark::Dotted, of.reliability.clone());
        let chart = over(
            format!("{name}: calibration"),
            Axis::unit("probability said"),
            Axis::unit("share that came true"),
            shown.iter().map(reliability).collect(),
        );
        let what = match data.task.kind {
            TaskKind::Binary => "of the positive class",
            TaskKind::Multiclass => "of the class decided for",
            TaskKind::Multilabel => "of every label of every note",
        };
        let caption =
            format!("{name}: reliability {what}, in 15 bins of equal width; on the diagonal is calibrated.");
        add("calibration", caption, Chart { diagonal: true, ..chart });
        if data.task.labels.len() > 2 {
            let (caption, chart) = classes(name, &labels, &shown, title_of);
            add("classes", caption, chart);
        }
    }
    Ok(plots)
}

/// What the labels are called in a plot: codes by their names, classes in words.
fn label_words(task: &Task) -> Vec<&str> {
    let words = |label: &'_ Label| task.kind != TaskKind::Multilabel && !label.description.is_empty();
    task.labels.iter().map(|of| if words(of) { of.description.as_str() } else { of.name.as_str() }).collect()
}

fn series(name: &str, color: usize, mark: Mark, points: Vec<(f64, f64)>) -> Series {
    Series { name: name.to_owned(), color, mark, points }
}

/// Every row of a binary task; every class, against the others, of the last row of a task of more.
fn roc<'a>(
    shown: &[(usize, &Shown)],
    title_of: impl Fn(usize) -> &'a str,
    labels: &[&str],
) -> Option<(String, Vec<Series>)> {
    if labels.len() == 2 {
        let curve = |(row, of): &(usize, &Shown)| {
            let (_, points) = of.roc.first()?;
            Some(series(title_of(*row), *row, Mark::Line, points.clone()))
        };
        return Some(("ROC of every row.".to_owned(), shown.iter().filter_map(curve).collect()));
    }
    let (row, of) = shown.iter().rfind(|(_, of)| !of.roc.is_empty())?;
    let curve = |(label, points): &(usize, Vec<(f64, f64)>)| {
        series(labels[*label], *label, Mark::Line, points.clone())
    };
    Some((
        format!("ROC of each class against the others in {}.", title_of(*row)),
        of.roc.iter().map(curve).collect(),
    ))
}

/// Classes by name where there is room for all, else in order of their AUROC.
fn classes<'a>(
    task: &str,
    labels: &[&str],
    shown: &[(usize, &Shown)],
    title_of: impl Fn(usize) -> &'a str,
) -> (String, Chart) {
    let named = labels.len() <= MOST_NAMES;
    let points = |of: &Shown| -> Vec<(f64, f64)> {
        if named {
            let place = |(i, auroc): (usize, &Option<f64>)| auroc.map(|auroc| (auroc, i as f64));
            return of.classes.iter().enumerate().filter_map(place).collect();
        }
        let mut aurocs: Vec<f64> = of.classes.iter().flatten().copied().collect();
        aurocs.sort_unstable_by(|a, b| b.total_cmp(a));
        aurocs.into_iter().enumerate().map(|(i, auroc)| ((i + 1) as f64, auroc)).collect()
    };
    let mark = if named { Mark::Dots } else { Mark::Line };
    let series: Vec<Series> =
        shown.iter().map(|(row, of)| series(title_of(*row), *row, mark, points(of))).collect();
    let all = |axis: fn(&(f64, f64)) -> f64| {
        series.iter().flat_map(|of| of.points.iter().map(axis)).collect::<Vec<_>>()
    };
    let title = format!("{task}: AUROC by class");
    let (x, y, names) = if named {
        let names = labels.iter().map(|label| (*label).to_owned()).collect();
        (Axis::around("AUROC against the others", all(|p| p.0).into_iter()), Axis::unit(""), names)
    } else {
        let x = Axis::around("labels, the best first", all(|p| p.0).into_iter());
        (x, Axis::around("AUROC", all(|p| p.1).into_iter()), Vec::new())
    };
    let caption = if named {
        format!("{task}: AUROC of each class against the others; first seed.")
    } else {
        format!("{task}: AUROC of each label that varies, each row in its own order; first seed.")
    };
    (caption, Chart { title, x, y, diagonal: false, names, series })
}
