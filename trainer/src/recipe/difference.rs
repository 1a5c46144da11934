//! In what two recipes differ.

use std::collections::{BTreeMap, BTreeSet};

use super::Recipe;

impl Recipe {
    /// Every value in which this recipe differs from the one of this text: `training.epochs: 2 -> 3`. A value the text does
    /// not give is the default.
    pub(crate) fn differences(&self, before: &str) -> Vec<String> {
        // A recipe this program cannot read any more is compared as it stands.
        let before = match toml::from_str::<Self>(before) {
            Ok(before) => values(&before.resolved()),
            Err(_) => values(before),
        };
        let after = values(&self.resolved());
        let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let value = |values: &BTreeMap<String, String>, key: &str| {
            values.get(key).map_or_else(|| "not given".to_owned(), Clone::clone)
        };
        keys.into_iter()
            .filter(|key| before.get(*key) != after.get(*key))
            .map(|key| format!("{key}: {} -> {}", value(&before, key), value(&after, key)))
            .collect()
    }
}

/// The values of a TOML text by their dotted keys.
fn values(text: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    if let Ok(table) = toml::from_str::<toml::Table>(text) {
        flatten("", &toml::Value::Table(table), &mut values);
    }
    values
}

fn flatten(key: &str, value: &toml::Value, values: &mut BTreeMap<String, String>) {
    let inner = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match value {
        toml::Value::Table(table) => {
            table.iter().for_each(|(name, value)| flatten(&inner(name), value, values));
        }
        toml::Value::Array(items) if items.iter().any(toml::Value::is_table) => {
            items.iter().enumerate().for_each(|(i, value)| flatten(&inner(&i.to_string()), value, values));
        }
        value => {
            values.insert(key.to_owned(), value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_told_and_a_default_is_none() {
        let text = "out = \"run\"\n[base]\npath = \"model\"\n[data]\ntrain = \"notes.jsonl\"\n\
            [[adapter]]\nname = \"clinical\"\nr = 4\n[training]\nepochs = 2\nlearning_rate = 1e-3\n";
        let recipe: Recipe = toml::from_str(text).unwrap();
        assert_eq!(recipe.differences(text), [""; 0], "a default that is written out changes nothing");
        let text =
            text.replace("epochs = 2", "epochs = 3\npatience = 2").replace("r = 4", "r = 4\nalpha = 7.5");
        let other: Recipe = toml::from_str(&text).unwrap();
        assert_eq!(
            other.differences(&recipe.resolved()),
            [
                "adapter.0.alpha: not given -> 7.5",
                "training.epochs: 2 -> 3",
                "training.patience: not given -> 2"
            ]
        );
    }
}
