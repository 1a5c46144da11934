//! How far to trust an outcome: what its probabilities were worth on held-out notes, and what a threshold would have done.

use clinlora_webapp::about::{EvidenceAbout, TaskAbout};
use clinlora_webapp::operating::{Point, Points, Reliability, calibration_error, reliability};
use clinlora_webapp::risk;
use leptos::prelude::*;

use super::Shown;

/// Side of the reliability curve in its own units.
const SIDE: f64 = 200.0;

/// What is known of a task, on demand; children come before the threshold.
#[component]
pub(super) fn Details(
    shown: Shown,
    /// The label whose threshold is looked at.
    label: Signal<usize>,
    #[prop(optional)] children: Option<Children>,
) -> impl IntoView {
    let task = shown.task();
    let Some(evidence) = task.evidence.clone() else {
        return view! { <p class="soft">"The model brings no measurements for this outcome: neither averages nor how often it was right."</p> }
            .into_any();
    };
    let notes = format!(
        "Measured on {} {} that the model was not trained on. {}",
        evidence.notes,
        split(&evidence.split),
        task.calibration.words()
    );
    let read = format!("{} tokens (pieces of words) of this note were read.", shown.outcome.tokens_read);
    let agreement = task.agreement.as_ref().map(|agreement| {
        view! { <p class="soft">"This smaller copy of the model: "{agreement.words()}"."</p> }
    });
    let curve = reliability(&evidence);
    view! {
        <details class="evidence">
            <summary>"How far to trust this"</summary>
            <p>{notes}</p>
            <Curve curve task=task.clone() />
            {children.map(|children| children())}
            <Threshold shown=shown.clone() evidence label />
            {agreement}
            <p class="soft">{read}</p>
        </details>
    }
    .into_any()
}

fn split(name: &str) -> &'static str {
    match name {
        "test" => "test notes",
        "valid" => "validation notes",
        _ => "notes",
    }
}

/// Said against happened, as a drawing and as a table.
#[component]
fn Curve(curve: Vec<Reliability>, task: TaskAbout) -> impl IntoView {
    let Some(error) = calibration_error(&curve) else { return ().into_any() };
    let said = match 100.0 * error {
        points if points < 0.5 => {
            "On average what was said and what happened differ by less than 1 point.".to_owned()
        }
        points => {
            let plural = if points.round() == 1.0 { "" } else { "s" };
            format!("On average what was said and what happened differ by {points:.0} point{plural}.")
        }
    };
    let x = |share: f64| format!("{:.1}", SIDE * share);
    let y = |share: f64| format!("{:.1}", SIDE * (1.0 - share));
    let line = curve.iter().map(|point| format!("{},{}", x(point.predicted), y(point.observed)));
    let line = line.collect::<Vec<_>>().join(" ");
    let points = curve.iter().map(|point| {
        let at = x(point.predicted);
        view! {
            <line class="interval" x1=at.clone() x2=at.clone() y1=y(point.interval.0) y2=y(point.interval.1)></line>
            <circle class="risk" cx=at cy=y(point.observed) r="4"></circle>
        }
    });
    let points = points.collect::<Vec<_>>();
    let rows = curve.iter().map(|point| {
        let (low, high) = point.interval;
        view! {
            <tr>
                <th scope="row" class="numbers">{risk::percent(point.predicted)}</th>
                <td class="numbers">{risk::percent(point.observed)}</td>
                <td class="numbers">{risk::percent(low)}" to "{risk::percent(high)}</td>
                <td class="numbers">{point.count}</td>
            </tr>
        }
    });
    let rows = rows.collect::<Vec<_>>();
    let counted = if task.labels.len() > 2 { "Probabilities counted" } else { "Notes" };
    let name = format!("Reliability curve of {}: {said}", task.heading());
    view! {
        <h4>"Were the probabilities right?"</h4>
        <p>{said}</p>
        <div class="curve">
            <svg viewBox="-6 -6 212 212" role="img" aria-label=name>
                <rect class="room" x="0" y="0" width="200" height="200"></rect>
                <line class="ideal" x1="0" y1="200" x2="200" y2="0"></line>
                <polyline class="line" points=line></polyline>
                {points}
            </svg>
            <p class="soft">
                "Across: what the model said, 0 to 100 %. Up: how often it happened. On the dashed line both are equal; the strokes \
                 are 95 % intervals."
            </p>
        </div>
        <details>
            <summary>"The curve as a table"</summary>
            <div class="scrolls" tabindex="0" role="group" aria-label="The curve as a table">
                <table>
                    <caption>"Said and happened, by tenths"</caption>
                    <thead>
                        <tr>
                            <th scope="col">"Said"</th><th scope="col">"Happened"</th><th scope="col">"95 % interval"</th>
                            <th scope="col">{counted}</th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        </details>
    }
    .into_any()
}

/// A threshold to move, and what it would have done.
#[component]
fn Threshold(shown: Shown, evidence: EvidenceAbout, label: Signal<usize>) -> impl IntoView {
    let id = shown.id("threshold");
    let points = Memo::new(move |_| Points::of(&evidence, label.get()));
    let place = RwSignal::new(0_usize);
    let start = {
        let shown = shown.clone();
        move |label: usize| {
            let task = shown.task();
            let wanted = task.threshold(label).or_else(|| task.base_rate(label)).unwrap_or(0.5);
            points.with_untracked(|points| points.as_ref().map_or(0, |points| points.nearest(wanted)))
        }
    };
    Effect::new(move |_| place.set(start(label.get())));
    let point = Memo::new(move |_| points.with(|points| points.as_ref()?.at(place.get())));
    let last = move || points.with(|points| points.as_ref().map_or(0, |points| points.all().len() - 1));
    let said = move || point.get().map(|point| risk::percent(point.threshold));
    let here = {
        let shown = shown.clone();
        move || {
            let point = point.get()?;
            let probability = shown.probability(label.get());
            let alerts =
                if probability >= point.threshold { "would raise an alert" } else { "would raise no alert" };
            Some(format!("{} This note, with {}, {alerts}.", point.words(), risk::percent(probability)))
        }
    };
    let few = move || {
        let point = point.get().filter(|point| point.positives < 10)?;
        Some(format!(
            "Only {} of these notes had it: the figures below may be far from the truth.",
            point.positives
        ))
    };
    let input_id = id.clone();
    let body = move || {
        view! {
            <div class="threshold">
                <label for=input_id.clone()>"Alert from "<output class="numbers">{said}</output>" on"</label>
                <input type="range" id=input_id.clone() min="0" max=last step="1" prop:value=move || place.get()
                    aria-valuetext=said
                    on:input:target=move |event| place.set(event.target().value().parse().unwrap_or_default()) />
            </div>
            <p aria-live="polite">{here.clone()}</p>
            <p class="soft">{few}</p>
            <div class="scrolls" tabindex="0" role="group" aria-label="What this threshold would have done">
                <table class="operating">
                    <caption>"What this threshold would have done"</caption>
                    <thead><tr><th scope="col">"Measure"</th><th scope="col">"Value"</th><th scope="col">"Notes"</th></tr></thead>
                    <tbody>{move || point.get().map(measures)}</tbody>
                </table>
            </div>
        }
    };
    view! {
        <h4>"What if one alerted on it?"</h4>
        {move || match points.with(Option::is_some) {
            true => body().into_any(),
            false => view! { <p class="soft">"No held-out counts for this one."</p> }.into_any(),
        }}
    }
}

fn measures(point: Point) -> impl IntoView {
    let quiet = point.negatives - point.false_positives;
    let alerts = point.true_positives + point.false_positives;
    let notes = point.positives + point.negatives;
    // Counted, not predicted: here all is 100 %.
    let share = |value: Option<f64>| {
        value.map_or_else(|| "undefined".to_owned(), |value| format!("{:.0} %", 100.0 * value))
    };
    let per_100 =
        point.alerts_per_100().map_or_else(|| "undefined".to_owned(), |value| format!("{value:.0}"));
    let rows = [
        (
            "sensitivity",
            "Sensitivity",
            "of those with it, alerted on",
            share(point.sensitivity()),
            point.true_positives,
            point.positives,
        ),
        (
            "specificity",
            "Specificity",
            "of those without it, left alone",
            share(point.specificity()),
            quiet,
            point.negatives,
        ),
        ("ppv", "PPV", "of the alerts, right", share(point.ppv()), point.true_positives, alerts),
        ("npv", "NPV", "of those left alone, without it", share(point.npv()), quiet, notes - alerts),
        ("alerts", "Alerts per 100 notes", "", per_100, alerts, notes),
    ];
    let row = |(name, title, words, value, part, of): (
        &'static str,
        &'static str,
        &'static str,
        String,
        u64,
        u64,
    )| {
        view! {
            <tr data-measure=name>
                <th scope="row">{title}<span class="soft">" "{words}</span></th>
                <td class="numbers">{value}</td>
                <td class="numbers">{format!("{part} of {of}")}</td>
            </tr>
        }
    };
    rows.map(row).into_iter().collect::<Vec<_>>()
}
