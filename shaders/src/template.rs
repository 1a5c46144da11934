//! Expansion of the shader texts: conditions, repeats, values and one level of shared files.
//!
//! A line that starts with `#` is a directive; everything else is WGSL.
//!
//! | directive | meaning |
//! |---|---|
//! | `#include name` | the text of `wgsl/name.wgsl` stands here |
//! | `#if FLAG`, `#if !FLAG`, `#else`, `#endif` | lines kept when the permutation has the flag, or has it not |
//! | `#for i 8`, `#endfor` | lines repeated with `{i}` replaced by 0 to 7; loops nest |
//!
//! `{name}` is the value of a name of the permutation, such as `{elem}`; `{next}` counts up from 0, for bindings. Repeats exist because WGSL has no unrolling: an
//! accumulator in an indexed array lives in memory on adapters that compile naively.

use std::collections::BTreeMap;

/// What one permutation of a file defines.
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    /// Names that are set, for `#if`.
    pub flags: Vec<String>,
    /// Values of `{name}`.
    pub values: BTreeMap<String, String>,
}

impl Definitions {
    /// Those of a permutation with these flags.
    pub fn of(flags: &[&str]) -> Self {
        let elem = if flags.contains(&"F16") { "f16" } else { "f32" };
        Self {
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            values: [("elem".to_owned(), elem.to_owned())].into(),
        }
    }
}

/// Expands `text`; `include` gives the text of a shared file.
///
/// # Errors
/// What is wrong, and in which line of the file.
pub fn expand(
    text: &str,
    definitions: &Definitions,
    include: &dyn Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let mut whole = Vec::new();
    for (number, line) in text.lines().enumerate() {
        match line.trim().strip_prefix("#include ") {
            None => whole.push((number + 1, line.to_owned())),
            Some(name) => {
                let shared = include(name.trim()).ok_or(format!("line {}: no file {name}", number + 1))?;
                whole.extend(shared.lines().map(|line| (number + 1, line.to_owned())));
            }
        }
    }
    let mut out = String::new();
    block(&whole, &definitions.flags, &definitions.values, &mut out)?;
    let mut parts = out.split("{next}");
    let first = parts.next().unwrap_or_default().to_owned();
    Ok(parts.enumerate().fold(first, |text, (count, part)| text + &count.to_string() + part))
}

type Line = (usize, String);

fn block(
    lines: &[Line],
    flags: &[String],
    values: &BTreeMap<String, String>,
    out: &mut String,
) -> Result<(), String> {
    let mut i = 0;
    while i < lines.len() {
        let (number, line) = &lines[i];
        let directive = line.trim();
        if let Some(condition) = directive.strip_prefix("#if ") {
            let (end, otherwise) = end_of(lines, i, "#if ", "#endif")?;
            let (name, wanted) = match condition.strip_prefix('!') {
                Some(name) => (name, false),
                None => (condition, true),
            };
            let holds = flags.iter().any(|flag| flag == name.trim()) == wanted;
            let (yes, no) = match otherwise {
                Some(middle) => (&lines[i + 1..middle], &lines[middle + 1..end]),
                None => (&lines[i + 1..end], &lines[end..end]),
            };
            block(if holds { yes } else { no }, flags, values, out)?;
            i = end;
        } else if let Some(range) = directive.strip_prefix("#for ") {
            let (end, _) = end_of(lines, i, "#for ", "#endfor")?;
            let (name, count) = range.split_once(' ').ok_or(format!("line {number}: #for NAME COUNT"))?;
            let count = substitute(count, *number, values)?;
            let count: usize =
                count.trim().parse().map_err(|_| format!("line {number}: no count {count}"))?;
            for turn in 0..count {
                let mut values = values.clone();
                values.insert(name.to_owned(), turn.to_string());
                block(&lines[i + 1..end], flags, &values, out)?;
            }
            i = end;
        } else if directive.starts_with('#') {
            return Err(format!("line {number}: {directive} stands alone or is unknown"));
        } else {
            out.push_str(&substitute(line, *number, values)?);
            out.push('\n');
        }
        i += 1;
    }
    Ok(())
}

/// Place of the directive that closes the one at `start`, and of its `#else`.
fn end_of(lines: &[Line], start: usize, open: &str, close: &str) -> Result<(usize, Option<usize>), String> {
    let (mut depth, mut otherwise) = (0, None);
    for (i, (_, line)) in lines.iter().enumerate().skip(start + 1) {
        let line = line.trim();
        if line.starts_with(open) {
            depth += 1;
        } else if line == close && depth == 0 {
            return Ok((i, otherwise));
        } else if line == close {
            depth -= 1;
        } else if line == "#else" && depth == 0 && open == "#if " {
            otherwise = Some(i);
        }
    }
    Err(format!("line {}: {} without {close}", lines[start].0, open.trim()))
}

fn substitute(line: &str, number: usize, values: &BTreeMap<String, String>) -> Result<String, String> {
    let (mut out, mut rest) = (String::new(), line);
    while let Some(open) = rest.find('{') {
        let name: String =
            rest[open + 1..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let after = open + 1 + name.len();
        if name.is_empty() || !rest[after..].starts_with('}') {
            out.push_str(&rest[..=open]);
            rest = &rest[open + 1..];
            continue;
        }
        if name == "next" {
            out.push_str(&rest[..after + 1]);
            rest = &rest[after + 1..];
            continue;
        }
        let value = values.get(&name).ok_or(format!("line {number}: no value for {{{name}}}"))?;
        out.push_str(&rest[..open]);
        out.push_str(value);
        rest = &rest[after + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::{Definitions, expand};

    fn expanded(text: &str, flags: &[&str]) -> Result<String, String> {
        let definitions = Definitions {
            flags: flags.iter().map(|f| (*f).to_owned()).collect(),
            values: [("elem".to_owned(), "f16".to_owned())].into(),
        };
        expand(text, &definitions, &|name| (name == "shared").then(|| "fn f() {}".to_owned()))
    }

    #[test]
    fn conditions_nest_and_have_an_else() {
        let text = "#if A\na\n#if !B\nnot b\n#else\nb\n#endif\n#else\nno a\n#endif";
        assert_eq!(expanded(text, &["A"]).as_deref(), Ok("a\nnot b\n"));
        assert_eq!(expanded(text, &["A", "B"]).as_deref(), Ok("a\nb\n"));
        assert_eq!(expanded(text, &["B"]).as_deref(), Ok("no a\n"));
    }

    #[test]
    fn repeats_nest_and_values_are_filled_in() {
        let text =
            "#for i 2\n#for j 2\nc{i}{j} = {elem}(0); if x {y = 1;}\n#endfor\n#endfor\n#include shared";
        let expected = "c00 = f16(0); if x {y = 1;}\nc01 = f16(0); if x {y = 1;}\n\
                        c10 = f16(0); if x {y = 1;}\nc11 = f16(0); if x {y = 1;}\nfn f() {}\n";
        assert_eq!(expanded(text, &[]).as_deref(), Ok(expected));
    }

    #[test]
    fn bindings_are_counted_in_the_order_they_stand() {
        let text = "#if A\nx({next})\n#endif\n#if !A\ny({next})\n#endif\nz({next})";
        assert_eq!(expanded(text, &["A"]).as_deref(), Ok("x(0)\nz(1)\n"));
    }

    #[test]
    fn mistakes_are_errors_with_their_line() {
        for (text, wrong) in [
            ("a\n#if A\nb", "line 2: #if without #endif"),
            ("{unknown}", "line 1: no value for {unknown}"),
            ("#endif", "line 1: #endif stands alone or is unknown"),
            ("#include nothing", "line 1: no file nothing"),
        ] {
            assert_eq!(expanded(text, &["A"]).unwrap_err(), wrong);
        }
    }
}
