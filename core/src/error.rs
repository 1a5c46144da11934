//! The crate's one error type.

/// What can be wrong with bytes, names and shapes handed to this crate.
///
/// Every variant is a defect of an input (a file, a configuration, a note), never of the program: a wrong
/// shape inside a forward pass is a bug and panics. No variant holds text of a note.
#[derive(Debug, thiserror::Error, Clone, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A model configuration that is damaged, or asks for something this crate does not have.
    #[error("model configuration: {reason}")]
    Config {
        /// What is wrong, naming the key.
        reason: String,
    },
    /// Tensors that do not fit the model: all of them, collected over the whole checkpoint.
    #[error("{}", list_tensor_problems(.what, .missing, .unexpected, .misshapen))]
    Tensors {
        /// What was being loaded: a checkpoint or a named adapter.
        what: String,
        /// Names the model needs and the file lacks.
        missing: Vec<String>,
        /// Names the file holds and the model has no place for.
        unexpected: Vec<String>,
        /// Tensors of another shape than the model's.
        misshapen: Vec<Misshapen>,
    },
    /// A tensor holding NaN or an infinity.
    #[error(
        "tensor {name} of {what} holds a value that is not finite; the file is damaged or its training diverged"
    )]
    NotFinite {
        /// What was being loaded.
        what: String,
        /// The tensor.
        name: String,
    },
    /// A container (safetensors, adapter folder) that cannot be read.
    #[error("{what}: {reason}")]
    Container {
        /// The file, as the caller named it.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An adapter that asks for something this crate would have to ignore.
    #[error("adapter {adapter}: {key} = {value} is not supported{hint}")]
    UnsupportedAdapter {
        /// Name of the adapter.
        adapter: String,
        /// Key of `adapter_config.json`.
        key: String,
        /// The value found.
        value: String,
        /// What to do instead, beginning with a separator; may be empty.
        hint: String,
    },
    /// An adapter operation that does not fit the model's stack.
    #[error("adapter {adapter}: {reason}")]
    Adapter {
        /// Name of the adapter.
        adapter: String,
        /// What is wrong.
        reason: String,
    },
    /// A tokenizer that cannot be read, or does not fit the model.
    #[error("tokenizer: {reason}")]
    Tokenizer {
        /// What is wrong. Never holds the text being encoded.
        reason: String,
    },
    /// A task file that does not describe a task.
    #[error("task: {reason}")]
    Task {
        /// What is wrong, with the line where it is known.
        reason: String,
    },
    /// A bundle that is damaged, of another version, or for another base.
    #[error("bundle: {reason}")]
    Bundle {
        /// What is wrong, naming file, tensor, adapter or task.
        reason: String,
    },
    /// A label the task does not have.
    #[error("the label is not one of the labels of task {task}")]
    UnknownLabel {
        /// Name of the task.
        task: String,
        /// The label as written; a patient's value, so the message leaves it out.
        label: String,
    },
    /// A note without a token to predict from.
    #[error("the note is empty: no token to predict from")]
    EmptyNote,
}

/// A tensor whose shape is not the model's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misshapen {
    /// The tensor.
    pub name: String,
    /// Shape the model has.
    pub expected: Vec<usize>,
    /// Shape in the file.
    pub found: Vec<usize>,
}

/// How many names of one kind a message lists before it only counts.
const LISTED: usize = 12;

fn list_tensor_problems(
    what: &str,
    missing: &[String],
    unexpected: &[String],
    misshapen: &[Misshapen],
) -> String {
    let mut lines = vec![format!("the tensors of {what} do not fit the model")];
    let mut section = |title: &str, entries: Vec<String>| {
        if entries.is_empty() {
            return;
        }
        lines.push(format!("  {title} ({}):", entries.len()));
        lines.extend(entries.iter().take(LISTED).map(|entry| format!("    {entry}")));
        if entries.len() > LISTED {
            lines.push(format!("    and {} more", entries.len() - LISTED));
        }
    };
    section("missing", missing.to_vec());
    section("unexpected", unexpected.to_vec());
    section(
        "of another shape",
        misshapen
            .iter()
            .map(|m| format!("{}: expected {:?}, found {:?}", m.name, m.expected, m.found))
            .collect(),
    );
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tensor_problem_is_listed_and_long_lists_are_counted() {
        let error = Error::Tensors {
            what: "model.safetensors".into(),
            missing: (0..15).map(|i| format!("m{i}")).collect(),
            unexpected: vec!["u".into()],
            misshapen: vec![Misshapen { name: "w".into(), expected: vec![2, 3], found: vec![3, 2] }],
        };
        let text = error.to_string();
        assert!(text.contains("missing (15)") && text.contains("and 3 more"), "{text}");
        assert!(text.contains("w: expected [2, 3], found [3, 2]"), "{text}");
    }
}
