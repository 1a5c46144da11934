//! Overlays: parts of a recipe that are laid over the rest where `with=NAME` asks for them.
//!
//! One recipe stands for every task, base and setting of a row of the paper's tables: what they share is said once, and
//! `[with.NAME]` holds what one of them changes, in the words of the recipe itself. A table is laid over a table key by key,
//! and over a list by the places of its items (`adapter.1.r = 8`); anything else replaces what is there. An overlay may
//! change another one (`[with.author_compat.with.MOR]`): that one is laid after it; otherwise they are laid as they are named.

use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use toml::{Table, Value};

/// The key of the overlays in a recipe, and of the choice on the command line.
const WITH: &str = "with";

/// What precedes the names of the overlays where one has to be chosen.
pub(super) const HINT: &str = "choose with=NAME[,NAME], one of: ";

/// Parts the names in `with=NAME,NAME` from the other overrides.
pub(super) fn chosen(overrides: &[String]) -> (Vec<String>, Vec<String>) {
    let (mut names, mut assignments) = (Vec::<String>::new(), Vec::new());
    for given in overrides {
        match given.split_once('=') {
            Some((WITH, list)) => {
                for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                    if !names.iter().any(|known| known == name) {
                        names.push(name.to_owned());
                    }
                }
            }
            _ => assignments.push(given.clone()),
        }
    }
    (names, assignments)
}

/// Names of the overlays of a recipe.
pub(super) fn offered(recipe: &Table) -> Vec<String> {
    recipe.get(WITH).and_then(Value::as_table).map_or_else(Vec::new, |all| all.keys().cloned().collect())
}

/// Lays the overlays `names` over `recipe`, which keeps their names in place of all its overlays.
///
/// # Errors
/// A sentence that names the overlay it has not, or the place that the overlay would change and the recipe has not.
pub(super) fn lay(recipe: &mut Table, names: &[String]) -> Result<(), String> {
    let offered = offered(recipe);
    if let Some(unknown) = names.iter().find(|name| !offered.contains(name)) {
        return Err(match offered.as_slice() {
            [] => format!("{WITH}={unknown}: the recipe has no [{WITH}.{unknown}], nor any other overlay"),
            _ => format!("{WITH}={unknown}: the recipe has none of this name; {HINT}{}", offered.join(", ")),
        });
    }
    let mut rest: Vec<&String> = names.iter().collect();
    while !rest.is_empty() {
        let is_changed = |name: &String| {
            let changes =
                |other: &String| recipe[WITH][other].get(WITH).is_some_and(|inner| inner.get(name).is_some());
            rest.iter().any(|other| *other != name && changes(other))
        };
        let next = rest.iter().position(|name| !is_changed(name)).unwrap_or(0);
        let name = rest.remove(next);
        let Value::Table(overlay) = recipe[WITH][name].clone() else {
            return Err(format!("{WITH}.{name} is no table"));
        };
        lay_table(recipe, overlay, &mut format!("{WITH}.{name}"))?;
    }
    if recipe.get(WITH).is_some_and(Value::is_table) {
        recipe.remove(WITH);
    }
    if !names.is_empty() {
        recipe.insert(WITH.to_owned(), names.to_vec().into());
    }
    Ok(())
}

fn lay_table(below: &mut Table, overlay: Table, place: &mut String) -> Result<(), String> {
    for (key, value) in overlay {
        let length = place.len();
        place.push('.');
        place.push_str(&key);
        match below.get_mut(&key) {
            Some(below) => lay_value(below, value, place)?,
            None => {
                below.insert(key, value);
            }
        }
        place.truncate(length);
    }
    Ok(())
}

fn lay_value(below: &mut Value, overlay: Value, place: &mut String) -> Result<(), String> {
    match (below, overlay) {
        (Value::Table(below), Value::Table(overlay)) => lay_table(below, overlay, place),
        (Value::Array(items), Value::Table(overlay)) => {
            for (key, value) in overlay {
                let count = items.len();
                let item = key.parse::<usize>().ok().and_then(|i| items.get_mut(i));
                let item = item.ok_or_else(|| {
                    format!(
                        "{place}.{key}: the list has {count} items, counted from 0, and none called {key:?}"
                    )
                })?;
                let length = place.len();
                place.push('.');
                place.push_str(&key);
                lay_value(item, value, place)?;
                place.truncate(length);
            }
            Ok(())
        }
        (below, overlay) => {
            *below = overlay;
            Ok(())
        }
    }
}

/// The names of laid overlays; none where the overlays themselves stand, unlaid.
pub(super) fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Names;
    impl<'de> Visitor<'de> for Names {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a table of overlays, or the names of those that were laid")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<String>, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<String>, A::Error> {
            let mut names = Vec::new();
            while let Some(name) = seq.next_element()? {
                names.push(name);
            }
            Ok(names)
        }
    }
    deserializer.deserialize_any(Names)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "out = \"run\"\nepochs = 3\n[[adapter]]\nname = \"a\"\nr = 1\n[[adapter]]\nname = \"b\"\nr = 2\n\
        [with.MOR]\nadapter.1.r = 8\ntask = \"mor\"\n[with.LOS]\ntask = \"los\"\n\
        [with.author_compat]\nepochs = 10\nwith.MOR.epochs = 20\nwith.PMC.with.MOR.epochs = 30\n[with.PMC]\nout = \"pmc\"\n";

    fn laid(names: &[&str]) -> Result<Table, String> {
        let mut table: Table = toml::from_str(TEXT).expect("TOML");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        lay(&mut table, &names).map(|()| table)
    }

    #[test]
    fn overlays_change_what_they_name_and_nothing_else() {
        let table = laid(&["MOR"]).expect("laid");
        assert_eq!(table["task"].as_str(), Some("mor"));
        assert_eq!(table["epochs"].as_integer(), Some(3));
        let ranks: Vec<_> =
            table["adapter"].as_array().expect("a list").iter().map(|a| a["r"].as_integer()).collect();
        assert_eq!(ranks, [Some(1), Some(8)]);
        assert_eq!(table["with"].as_array().map(Vec::len), Some(1));
        assert!(laid(&[]).expect("nothing to lay").get("with").is_none());
    }

    #[test]
    fn an_overlay_that_changes_others_is_laid_before_them_in_whatever_order() {
        for names in [["author_compat", "MOR"], ["MOR", "author_compat"]] {
            assert_eq!(laid(&names).expect("laid")["epochs"].as_integer(), Some(20));
        }
        for names in [["author_compat", "MOR", "PMC"], ["MOR", "PMC", "author_compat"]] {
            assert_eq!(laid(&names).expect("laid")["epochs"].as_integer(), Some(30), "{names:?}");
        }
        assert_eq!(laid(&["LOS", "author_compat"]).expect("laid")["epochs"].as_integer(), Some(10));
    }

    #[test]
    fn what_is_not_there_is_named() {
        let error = laid(&["PMV"]).expect_err("unknown");
        assert!(error.contains("LOS, MOR, PMC, author_compat"), "{error}");
        let mut table: Table = toml::from_str("[[adapter]]\nr = 1\n[with.x]\nadapter.1.r = 2").expect("TOML");
        let error = lay(&mut table, &["x".to_owned()]).expect_err("no second adapter");
        assert!(error.contains("with.x.adapter.1") && error.contains("1 items"), "{error}");
    }

    #[test]
    fn names_are_parted_from_overrides() {
        let given = ["with=MOR,author_compat", "seed=3", "with=MOR"].map(str::to_owned);
        assert_eq!(chosen(&given), (vec!["MOR".into(), "author_compat".into()], vec!["seed=3".to_owned()]));
    }
}
