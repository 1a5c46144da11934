//! Reading a space.
//!
//! A space is a TOML file of one entry a key. A list is tried value by value, in the order of the list, which is taken for
//! the order of the values: `"adapter.0.r" = [2, 4, 8, 16]`. `{ absent = true }` in a list leaves the key out. A table is a
//! range, `{ min = 1e-4, max = 1e-2, log = true }`; of integers where both ends are, with a `step` if wanted.
//!
//! An adapter is named by its place, by its name, or by `*`, the topmost one that the recipe trains from nothing.

use std::path::Path;

use super::{Axis, Domain, Space, as_json, real};
use crate::error::{Error, Result};
use crate::recipe::Adapter;

impl Space {
    /// Reads a space for a recipe with these `adapters`; `origin` is what errors call it.
    ///
    /// # Errors
    /// [`Error::Input`] with the key and what is accepted.
    pub(crate) fn read(origin: &Path, text: &str, adapters: &[Adapter]) -> Result<Self> {
        let table: toml::Table = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            Error::Input(format!("{}:{line}: {}", origin.display(), e.message()))
        })?;
        let mut entries = Vec::new();
        flatten("", &table, &mut entries);
        let mut axes: Vec<Axis> = Vec::new();
        for (key, value) in entries {
            let refuse = |reason: String| Error::Input(format!("{}: {key} {reason}", origin.display()));
            let domain = domain(value).map_err(refuse)?;
            let resolved = resolve(&key, adapters).map_err(refuse)?;
            if axes.iter().any(|axis| axis.key == resolved) {
                return Err(refuse(format!("stands twice: it is {resolved}")));
            }
            axes.push(Axis { key: resolved, domain });
        }
        if axes.is_empty() {
            return Err(Error::Input(format!(
                "{}: no key is searched; write for instance \"adapter.0.r\" = [2, 4, 8, 16]",
                origin.display()
            )));
        }
        axes.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { axes })
    }
}

/// Dotted keys down to lists and ranges; so `"a.b" = []`, `a.b = []` and `[a]` with `b = []` are the same.
fn flatten<'a>(prefix: &str, table: &'a toml::Table, entries: &mut Vec<(String, &'a toml::Value)>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(inner) if !inner.contains_key("min") && !inner.contains_key("max") => {
                flatten(&key, inner, entries);
            }
            _ => entries.push((key, value)),
        }
    }
}

/// The key with an adapter's place for its name.
fn resolve(key: &str, adapters: &[Adapter]) -> std::result::Result<String, String> {
    if matches!(key, "out" | "seed") {
        return Err("is the same for all trials; leave it out of the space".to_owned());
    }
    let Some((name, rest)) = key.strip_prefix("adapter.").and_then(|rest| rest.split_once('.')) else {
        return Ok(key.to_owned());
    };
    let place = if name == "*" {
        adapters.iter().rposition(|adapter| adapter.path.is_none() && adapter.trainable)
    } else {
        let named = adapters.iter().position(|adapter| adapter.name == name);
        named.or_else(|| name.parse().ok().filter(|place| *place < adapters.len()))
    };
    match place {
        Some(place) => Ok(format!("adapter.{place}.{rest}")),
        None if name == "*" => Err("needs an adapter that the recipe trains from nothing".to_owned()),
        None => {
            let names: Vec<&str> = adapters.iter().map(|adapter| adapter.name.as_str()).collect();
            Err(format!("names no adapter of the recipe; it has {names:?}, from 0"))
        }
    }
}

fn domain(value: &toml::Value) -> std::result::Result<Domain, String> {
    match value {
        toml::Value::Array(list) => choices(list),
        toml::Value::Table(table) => range(table),
        _ => Err("needs a list of values, or a range { min = .., max = .. }".to_owned()),
    }
}

fn choices(list: &[toml::Value]) -> std::result::Result<Domain, String> {
    let choice = |value: &toml::Value| match value {
        toml::Value::Table(table) => {
            let is_absent = table.len() == 1 && table.get("absent") == Some(&toml::Value::Boolean(true));
            if is_absent {
                Ok(None)
            } else {
                Err("has a table in its list; { absent = true } is the only one there may be".to_owned())
            }
        }
        _ => Ok(Some(value.clone())),
    };
    let choices = list.iter().map(choice).collect::<std::result::Result<Vec<_>, _>>()?;
    if choices.len() < 2 {
        return Err(format!("has {} values; a list needs two or more", choices.len()));
    }
    let twice = (1..choices.len()).find(|i| choices[..*i].contains(&choices[*i]));
    match twice {
        Some(i) => Err(format!("has {} twice", as_json(choices[i].as_ref()))),
        None => Ok(Domain::Choices(choices)),
    }
}

fn range(table: &toml::Table) -> std::result::Result<Domain, String> {
    if let Some(key) = table.keys().find(|key| !["min", "max", "log", "step"].contains(&key.as_str())) {
        return Err(format!("has {key:?} in its range; accepted are min, max, log and step"));
    }
    let log = match table.get("log") {
        None => false,
        Some(toml::Value::Boolean(log)) => *log,
        Some(_) => return Err("log is true or false".to_owned()),
    };
    let end = |name: &str| table.get(name).ok_or_else(|| format!("needs {name} in its range"));
    let (min, max) = (end("min")?, end("max")?);
    if let (Some(min), Some(max)) = (min.as_integer(), max.as_integer()) {
        let step = match table.get("step") {
            None => 1,
            Some(step) => step.as_integer().filter(|step| *step > 0).ok_or("step is an integer above 0")?,
        };
        if min >= max || (log && min < 1) || max.checked_sub(min).is_none() || max - min < step {
            return Err(format!(
                "= {min} to {max} by {step}; max must be a step above min, and min 1 or more with log"
            ));
        }
        return Ok(Domain::Integers { min, max, step, log });
    }
    let number = |value: &toml::Value| value.as_float().or_else(|| value.as_integer().map(real));
    match (number(min), number(max)) {
        (Some(_), Some(_)) if table.contains_key("step") => {
            Err("step is for a range of integers; give a list instead".to_owned())
        }
        (Some(min), Some(max)) if min < max && min.is_finite() && max.is_finite() && (!log || min > 0.0) => {
            Ok(Domain::Reals { min, max, log })
        }
        _ => Err("needs numbers, max above min, and min above 0 with log".to_owned()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Coordinate;
    use super::*;

    fn adapters() -> Vec<Adapter> {
        let adapter = |name: &str, path: Option<&str>| Adapter {
            name: name.to_owned(),
            path: path.map(Into::into),
            trainable: true,
            ..Adapter::default()
        };
        vec![adapter("clinical", Some("clinical")), adapter("downstream", None)]
    }

    pub(in super::super) fn read(text: &str) -> Result<Space> {
        Space::read(Path::new("space.toml"), text, &adapters())
    }

    #[test]
    fn keys_are_read_in_any_spelling_and_adapters_by_any_name() {
        let space = read(
            "\"adapter.*.r\" = [2, 4, 8]\nadapter.downstream.alpha = [4, 8]\n[training]\n\
             learning_rate = { min = 1e-4, max = 1e-2, log = true }\nepochs = { min = 1, max = 5, step = 2 }",
        )
        .unwrap();
        let keys: Vec<&str> = space.axes.iter().map(|axis| axis.key.as_str()).collect();
        assert_eq!(keys, ["adapter.1.alpha", "adapter.1.r", "training.epochs", "training.learning_rate"]);
        assert_eq!(space.size(), None, "a continuous axis has no size");
        assert_eq!(space.axes[2].count(), Some(3));
        assert_eq!(space.axes[2].text(Coordinate::Index(1)), "3");
        let Coordinate::Real(middle) = space.axes[3].at(0.5) else { panic!("a number") };
        assert!((middle - 1e-3).abs() < 1e-12, "{middle}");
    }

    #[test]
    fn what_cannot_be_searched_is_refused_with_the_key() {
        for (text, named) in [
            ("", "no key is searched"),
            ("adapter.1.r = []", "adapter.1.r has 0 values"),
            ("adapter.1.r = [4, 4]", "adapter.1.r has 4 twice"),
            ("adapter.1.r = 4", "adapter.1.r needs a list"),
            ("adapter.7.r = [1, 2]", "it has [\"clinical\", \"downstream\"]"),
            ("out = [\"a\", \"b\"]", "out is the same for all trials"),
            ("\"adapter.*.r\" = [1, 2]\n\"adapter.1.r\" = [3, 4]", "stands twice"),
            ("training.learning_rate = { min = 0.0, max = 1.0, log = true }", "min above 0 with log"),
            ("training.learning_rate = { min = 1e-4, maximum = 1.0 }", "\"maximum\" in its range"),
            ("training.epochs = { min = 3, max = 3 }", "max must be a step above min"),
            ("adapter.1.r = [2, 4", "space.toml:1"),
        ] {
            let error = read(text).expect_err(named).to_string();
            assert!(error.contains(named), "{named}: {error}");
        }
    }
}
