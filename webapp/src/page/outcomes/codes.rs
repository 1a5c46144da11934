//! The card of a task with hundreds of labels: the five that matter most, and a list of all of them to search.
//!
//! The list draws only the rows that are seen. It is one stop of the Tab key; arrows, Page Up and Down, Home and End move the
//! chosen row within it, and what is chosen is shown in full below.

use clinlora_webapp::codes::{Code, Codes, Coding, Filter, Order};
use clinlora_webapp::risk::{self, Relation};
use leptos::leptos_dom::helpers::request_animation_frame;
use leptos::prelude::*;
use web_sys::{KeyboardEvent, ScrollIntoViewOptions, ScrollLogicalPosition};

use super::super::feedback::Opinion;
use super::Shown;
use super::card::{Scale, Why, relation};
use super::details::Details;

/// Codes shown without being asked for.
const TOP: usize = 5;

/// Least probability of a code among those farthest above the average: below it the ratio is noise.
const LEAST_OF_TOP: f64 = 0.01;

/// Rows the list shows at once; its height in the style sheet is that of so many rows.
const SEEN: usize = 9;

/// Rows drawn beyond what is seen, on each side.
const BEYOND: usize = 6;

/// Height of a row, in the style sheet's unit.
const ROW_REM: f64 = 2.25;

/// Diagnoses or procedures.
#[component]
pub(super) fn CodesCard(shown: Shown) -> impl IntoView {
    let codes = Codes::new(shown.task(), &shown.outcome.probabilities);
    let likeliest = codes.find(&Filter::default()).first().map_or(0, |at| codes.rows[*at].label);
    let summary = risk::sentence(shown.task(), &shown.outcome.probabilities) + ".";
    let codes = StoredValue::new(codes);
    let label = RwSignal::new(likeliest);
    let heading = {
        let shown = shown.clone();
        move || format!("About {}:", shown.words(label.get()))
    };
    view! {
        <p class="summary">{summary}</p>
        <Top shown=shown.clone() codes />
        <Happened shown=shown.clone() codes />
        <All shown=shown.clone() codes label />
        <Details shown=shown.clone() label=label.into()>
            <p class="soft">{heading.clone()}</p>
        </Details>
        <Opinion shown label=label.into() />
    }
}

/// The likeliest codes, or those farthest above the average.
#[component]
fn Top(shown: Shown, codes: StoredValue<Codes>) -> impl IntoView {
    let order = RwSignal::new(Order::Probability);
    let caption = move || match order.get() {
        Order::Ratio => "Farthest above the average, of those with 1 % at least",
        _ => "Most probable",
    };
    let rows = move || {
        let filter = Filter { order: order.get(), ..Filter::default() };
        codes.with_value(|codes| {
            let is_shown = |row: &&Code| filter.order != Order::Ratio || row.probability >= LEAST_OF_TOP;
            let found = codes.find(&filter).into_iter().map(|at| &codes.rows[at]).filter(is_shown);
            found.take(TOP).map(|code| top_row(&shown, code)).collect::<Vec<_>>()
        })
    };
    let choose = move |wanted: Order, words: &'static str| {
        view! {
            <button type="button" class="quiet" aria-pressed=move || (order.get() == wanted).to_string()
                on:click=move |_| order.set(wanted)>{words}</button>
        }
    };
    view! {
        <div class="row" role="group" aria-label="Which codes come first">
            {choose(Order::Probability, "Most probable")}
            {choose(Order::Ratio, "Most above average")}
        </div>
        <div class="scrolls" tabindex="0" role="group" aria-label="First codes">
            <table class="top-codes">
                <caption class="unseen">{caption}</caption>
                <thead>
                    <tr>
                        <th scope="col">"Code"</th>
                        <th scope="col">"Description"</th>
                        <th scope="col">"Probability"</th>
                        <th scope="col">"Average"</th>
                        <th scope="col"><span class="unseen">"Reasons"</span></th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
}

fn top_row(shown: &Shown, code: &Code) -> impl IntoView + use<> {
    let average = code.base_rate.map(|rate| {
        let relation = Relation::of(code.probability, rate);
        view! {
            <span class="numbers">{risk::percent(rate)}</span>" "
            <span class="soft"><span aria-hidden="true">{relation.mark()}</span>
                <span class="unseen">", "{relation.words()}</span></span>
        }
    });
    let happened = happened(shown, code.label);
    view! {
        <tr data-code=code.code.clone()>
            <td class="numbers">{code.printed.clone()}</td>
            <th scope="row"><span class="clamped">{described(code)}</span>{happened}</th>
            <td class="numbers">{risk::percent(code.probability)}</td>
            <td class="average">{average}</td>
            <td><Why shown=shown.clone() label=code.label /></td>
        </tr>
    }
}

fn described(code: &Code) -> String {
    if code.description.trim().is_empty() {
        "no description".to_owned()
    } else {
        risk::capital(&code.description)
    }
}

/// A word on whether a code was in the patient's record.
fn happened(shown: &Shown, label: usize) -> impl Fn() -> Option<AnyView> + Clone + use<> {
    let shown = shown.clone();
    move || {
        shown.happened(label).map(|yes| {
            let said = if yes { " (in the record)" } else { " (not in the record)" };
            view! { <span class=if yes { "truth" } else { "soft" }>{said}</span> }.into_any()
        })
    }
}

/// What was coded for a sample's patient, and where the model has it.
#[component]
fn Happened(shown: Shown, codes: StoredValue<Codes>) -> impl IntoView {
    let list = move || {
        let truth = shown.truth()?;
        let coded = codes.with_value(|codes| match codes.coding {
            Coding::Procedures => &truth.procedures,
            _ => &truth.diagnoses,
        });
        let rank = |code: &str| {
            codes.with_value(|codes| {
                let order = codes.find(&Filter::default());
                let place = order.iter().position(|at| codes.rows[*at].code == code)?;
                Some((place + 1, codes.rows[order[place]].probability))
            })
        };
        let items = coded.iter().map(|code| {
            let said = match rank(&code.code) {
                Some((place, p)) => format!(": place {place} of the model's list, {}", risk::percent(p)),
                None => ": not among the model's codes".to_owned(),
            };
            let printed = codes.with_value(|codes| codes.coding.print(&code.code));
            view! { <li><span class="numbers">{printed}</span>" "{risk::capital(&code.description)}<span class="soft">{said}</span></li> }
        });
        let items = items.collect::<Vec<_>>();
        let count = items.len();
        let heading = match count {
            0 => "What happened: none of these was coded.".to_owned(),
            1 => "What happened: 1 was coded".to_owned(),
            count => format!("What happened: {count} were coded"),
        };
        Some(match count {
            0 => view! { <p class="truth">{heading}</p> }.into_any(),
            _ => view! { <details class="truth-list"><summary class="truth">{heading}</summary><ul>{items}</ul></details> }
                .into_any(),
        })
    };
    view! { {list} }
}

/// All codes.
#[component]
fn All(shown: Shown, codes: StoredValue<Codes>, label: RwSignal<usize>) -> impl IntoView {
    let filter = RwSignal::new(Filter::default());
    let found = Memo::new(move |_| codes.with_value(|codes| codes.find(&filter.get())));
    let total = codes.with_value(|codes| codes.rows.len());
    let count = move || match found.with(Vec::len) {
        count if count == total => format!("{total} codes."),
        0 => "No code fits. Try fewer letters, or another chapter.".to_owned(),
        count => format!("{count} of {total} codes."),
    };
    let chosen =
        move || codes.with_value(|codes| codes.rows.iter().find(|row| row.label == label.get()).cloned());
    let name = shown.task().heading().to_owned();
    let list = shown.id("codes");
    let detail = {
        let shown = shown.clone();
        move || chosen().map(|code| in_full(&shown, codes, &code))
    };
    view! {
        <details class="all-codes">
            <summary>{format!("All {total} codes")}</summary>
            <Filters codes filter id=shown.id("find") />
            <p class="soft" role="status">{count}</p>
            <div class="codes-head" aria-hidden="true">
                <span>"Code"</span><span>"Description"</span><span class="wide">"Average"</span><span class="wide">"Times"</span>
                <span>"Probability"</span>
            </div>
            <List shown=shown.clone() codes found label id=list name />
            <div class="code-detail" aria-live="polite">{detail}</div>
            <p class="soft">
                "Codes are ICD-9-CM, of which only the first three digits are predicted; a code stands for all below it."
            </p>
        </details>
    }
}

#[component]
fn Filters(codes: StoredValue<Codes>, filter: RwSignal<Filter>, id: String) -> impl IntoView {
    let chapters = codes.with_value(|codes| {
        let title = |place: Option<usize>| match place {
            Some(place) => {
                let chapter = codes.coding.chapters()[place];
                format!("{} {}", chapter.codes, chapter.title)
            }
            None => "Without a chapter".to_owned(),
        };
        let groups = codes.groups().into_iter().filter(|group| group.chapter.is_some());
        groups
            .map(|group| {
                let place = group.chapter.map_or(String::new(), |place| place.to_string());
                view! { <option value=place>{format!("{} ({})", title(group.chapter), group.codes)}</option> }
            })
            .collect::<Vec<_>>()
    });
    view! {
        <div class="filters">
            <label class="field search">"Search by code or words"
                <input type="search" id=id autocomplete="off" spellcheck="false"
                    on:input:target=move |event| filter.update(|filter| filter.query = event.target().value()) />
            </label>
            <label class="field">"Order"
                <select on:change:target=move |event| filter.update(|filter| filter.order = match event.target().value().as_str() {
                    "code" => Order::Code,
                    "ratio" => Order::Ratio,
                    _ => Order::Probability,
                })>
                    <option value="probability">"most probable first"</option>
                    <option value="ratio">"farthest above average first"</option>
                    <option value="code">"by code"</option>
                </select>
            </label>
            <label class="field">"Chapter"
                <select on:change:target=move |event| {
                    filter.update(|filter| filter.chapter = event.target().value().parse().ok());
                }>
                    <option value="">"all"</option>
                    {chapters}
                </select>
            </label>
            <label class="check">
                <input type="checkbox" on:change:target=move |event| {
                    filter.update(|filter| filter.passed_only = event.target().checked());
                } />
                "only those above their threshold"
            </label>
        </div>
    }
}

/// The list itself.
#[component]
fn List(
    shown: Shown,
    codes: StoredValue<Codes>,
    /// Places in the rows, as filtered and ordered.
    found: Memo<Vec<usize>>,
    /// The label that is chosen.
    label: RwSignal<usize>,
    id: String,
    name: String,
) -> impl IntoView {
    let list = NodeRef::<leptos::html::Div>::new();
    let first = RwSignal::new(0_usize);
    // Place of the chosen label among those found.
    let place = Memo::new(move |_| {
        found.with(|found| {
            codes.with_value(|codes| found.iter().position(|at| codes.rows[*at].label == label.get()))
        })
    });
    let row_pixels = move || {
        #[expect(clippy::cast_precision_loss, reason = "a number of rows")]
        list.get_untracked().map_or(1.0, |list| f64::from(list.client_height()) / SEEN as f64).max(1.0)
    };
    let scrolled = move || {
        if let Some(list) = list.get_untracked() {
            first.set(whole(f64::from(list.scroll_top()) / row_pixels()));
        }
    };
    let list_id = StoredValue::new(id.clone());
    let go = move |to: usize| {
        let count = found.with_untracked(Vec::len);
        if count == 0 {
            return;
        }
        let to = to.min(count - 1);
        label.set(found.with_untracked(|found| codes.with_value(|codes| codes.rows[found[to]].label)));
        let from = first.get_untracked();
        let wanted = if to < from { to } else { from.max((to + 1).saturating_sub(SEEN)) };
        if let Some(list) = list.get_untracked().filter(|_| wanted != from) {
            #[expect(clippy::cast_precision_loss, reason = "a number of rows")]
            list.set_scroll_top(pixels(wanted as f64 * row_pixels()));
            first.set(wanted);
        }
        // Once it is drawn: the list may itself lie partly beyond the window.
        let id = list_id.with_value(|id| option_id(id, label.get_untracked()));
        request_animation_frame(move || show(&id));
    };
    let key = move |event: KeyboardEvent| {
        let now = place.get_untracked();
        let to = match (event.key().as_str(), now) {
            ("ArrowDown", Some(now)) => now + 1,
            ("ArrowUp", Some(now)) => now.saturating_sub(1),
            ("PageDown", Some(now)) => now + SEEN,
            ("PageUp", Some(now)) => now.saturating_sub(SEEN),
            ("End", _) => usize::MAX,
            ("Home" | "ArrowDown" | "ArrowUp" | "PageDown" | "PageUp", _) => 0,
            _ => return,
        };
        event.prevent_default();
        go(to);
    };
    // Another search begins at its top. The first is there: asking would have the browser lay out the page at once.
    Effect::new(move |earlier: Option<()>| {
        found.track();
        if earlier.is_none() {
            return;
        }
        first.set(0);
        if let Some(list) = list.get_untracked() {
            list.set_scroll_top(0);
        }
    });
    let active = move || {
        let is_drawn = place.get().is_some_and(|place| drawn(first.get(), usize::MAX).contains(&place));
        is_drawn.then(|| list_id.with_value(|id| option_id(id, label.get())))
    };
    let rows = move || {
        found.with(|found| {
            codes.with_value(|codes| {
                let options = drawn(first.get(), found.len()).map(|at| {
                    let code = &codes.rows[found[at]];
                    let (this, id) = (code.label, list_id.with_value(|id| option_id(id, code.label)));
                    let happened = shown.happened(this) == Some(true);
                    option(code, at, found.len(), id, happened, label, move || go(at))
                });
                options.collect::<Vec<_>>()
            })
        })
    };
    #[expect(clippy::cast_precision_loss, reason = "a number of rows")]
    let height = move || format!("{}rem", ROW_REM * found.with(Vec::len) as f64);
    view! {
        <div class="codes-list" role="listbox" tabindex="0" id=id aria-label=format!("All codes: {name}")
            aria-activedescendant=active node_ref=list on:scroll=move |_| scrolled() on:keydown=key>
            <div class="codes-room" role="presentation" style:height=height>{rows}</div>
        </div>
    }
}

/// Id of the row of a label.
fn option_id(list: &str, label: usize) -> String {
    format!("{list}-{label}")
}

/// Scrolls as little as is needed to see an element.
fn show(id: &str) {
    if let Some(element) = document().get_element_by_id(id) {
        let options = ScrollIntoViewOptions::new();
        options.set_block(ScrollLogicalPosition::Nearest);
        options.set_inline(ScrollLogicalPosition::Nearest);
        element.scroll_into_view_with_scroll_into_view_options(&options);
    }
}

/// Which rows are drawn.
fn drawn(first: usize, count: usize) -> std::ops::Range<usize> {
    first.saturating_sub(BEYOND).min(count)..(first + SEEN + BEYOND).min(count)
}

fn option(
    code: &Code,
    at: usize,
    count: usize,
    id: String,
    happened: bool,
    label: RwSignal<usize>,
    choose: impl Fn() + 'static,
) -> AnyView {
    let this = code.label;
    let average = code.base_rate.map(risk::percent);
    let spoken = average.clone().map(|average| format!(", average {average}"));
    let times = code.ratio.map(times);
    let passed = (code.passed == Some(true)).then(|| {
        view! { <span class="passed" title="above its threshold"><span aria-hidden="true">"▲"</span><span class="unseen">", above its threshold"</span></span> }
    });
    let happened = happened.then(|| {
        view! { <span class="truth"><span aria-hidden="true">"✓ "</span><span class="unseen">"in the record: "</span></span> }
    });
    #[expect(clippy::cast_precision_loss, reason = "a number of rows")]
    let top = format!("{}rem", ROW_REM * at as f64);
    view! {
        <div class="code" role="option" id=id data-code=code.code.clone() aria-setsize=count aria-posinset=at + 1
            aria-selected=move || (label.get() == this).to_string() style:top=top on:click=move |_| choose()>
            <span class="numbers">{code.printed.clone()}</span>
            <span class="words">{happened}{described(code)}</span>
            <span class="numbers wide" aria-hidden="true">{average}</span>
            <span class="numbers wide" aria-hidden="true">{times}</span>
            <span class="numbers">{risk::percent(code.probability)}<span class="unseen">{spoken}</span>{passed}</span>
        </div>
    }
    .into_any()
}

/// The chosen code with everything that is known of it.
fn in_full(shown: &Shown, codes: StoredValue<Codes>, code: &Code) -> impl IntoView + use<> {
    let chapter = code.chapter.map(|place| {
        let chapter = codes.with_value(|codes| codes.coding.chapters()[place]);
        view! { <p class="soft">"Chapter "{chapter.codes}": "{chapter.title}</p> }
    });
    let beside = code.base_rate.map(|rate| {
        let times = code.ratio.map(|ratio| format!(", {} the average", times(ratio)));
        format!(" Average {}{}.", risk::percent(rate), times.unwrap_or_default())
    });
    let threshold = match (code.threshold, code.passed) {
        (Some(threshold), Some(passed)) => {
            let where_ = if passed { "above" } else { "below" };
            format!("The model would name it from {} on: this note is {where_}.", risk::percent(threshold))
        }
        _ => "No threshold: none of the validation notes has it.".to_owned(),
    };
    let mark = code.base_rate.map(|rate| relation(Relation::of(code.probability, rate)));
    view! {
        <h4><span class="numbers">{code.printed.clone()}</span>" "{described(code)}{happened(shown, code.label)}</h4>
        {chapter}
        <Scale probability=code.probability base_rate=code.base_rate />
        <p><span class="numbers">{risk::percent(code.probability)}</span>", "{risk::frequency(code.probability)}"."{beside}" "{mark}</p>
        <p data-threshold=code.threshold>{threshold}</p>
        <Why shown=shown.clone() label=code.label />
    }
}

/// A ratio to the average.
fn times(ratio: f64) -> String {
    match ratio {
        ratio if ratio >= 9.95 => format!("{ratio:.0} times"),
        ratio => format!("{ratio:.1} times"),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place on the screen, not negative"
)]
fn whole(value: f64) -> usize {
    value.max(0.0).floor() as usize
}

#[expect(clippy::cast_possible_truncation, reason = "a place on the screen")]
fn pixels(value: f64) -> i32 {
    value.round() as i32
}
