//! Expands every permutation of every shader, validates it with naga, holds it to WebGPU's default limits, and writes
//! the table of them that the crate includes. The crate holds the files of `wgsl/` and expands one when it is asked for: all
//! permutations together are a hundred times as long.

#[path = "src/template.rs"]
#[expect(unreachable_pub, reason = "public in the crate")]
mod template;

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, StorageAccess};
use template::{Definitions, expand};

/// A file of `wgsl/` and what its permutations choose between: one flag of each group. An empty flag sets nothing.
struct Family {
    stem: &'static str,
    choices: &'static [&'static [&'static str]],
}

const FAMILIES: [Family; 11] = [
    Family {
        stem: "matmul_packed",
        choices: &[
            &["INT4", "INT8"],
            &["F32", "F16"],
            &["", "LORA"],
            &["", "RESIDUAL", "SWIGLU", "QKV"],
            &["", "VEC"],
        ],
    },
    Family {
        stem: "matmul_direct",
        choices: &[
            &["INT4", "INT8"],
            &["F32"],
            &["", "LORA"],
            &["", "RESIDUAL", "SWIGLU", "QKV"],
            &["", "VEC"],
        ],
    },
    Family {
        stem: "matmul_rows",
        choices: &[&["INT4", "INT8"], &["F32", "F16"], &["", "LORA"], &["", "RESIDUAL"], &["", "VEC"]],
    },
    Family { stem: "lora_down", choices: &[&["F32", "F16"], &["", "NORM"], &["", "VEC"]] },
    Family { stem: "rms_norm", choices: &[&["F32", "F16"]] },
    Family { stem: "rotary", choices: &[&["F32", "F16"], &["", "BOTH"]] },
    Family { stem: "swiglu", choices: &[&["F32", "F16"]] },
    Family { stem: "attend_causal", choices: &[&["F32", "F16"], &["", "VEC"]] },
    Family { stem: "attend_direct", choices: &[&["F32"], &["", "VEC"]] },
    Family { stem: "embed_rows", choices: &[&["F32", "F16"]] },
    Family { stem: "pooled_head", choices: &[&["F32", "F16"], &["", "VEC"]] },
];

// The limits every WebGPU adapter has.
const MOST_STORAGE_BUFFERS: usize = 8;
const MOST_INVOCATIONS: u32 = 256;
const MOST_WORKGROUP_BYTES: u32 = 16 * 1024;

fn main() {
    println!("cargo::rerun-if-changed=wgsl");
    println!("cargo::rerun-if-changed=src/template.rs");
    let out = env::var("OUT_DIR").expect("Cargo sets it");
    let mut table = String::from("&[\n");
    for family in &FAMILIES {
        for flags in permutations(family.choices) {
            if let Err(wrong) = shader(family.stem, &flags, Path::new(&out), &mut table) {
                panic!("wgsl/{}.wgsl with {flags:?}: {wrong}", family.stem);
            }
        }
    }
    table.push(']');
    fs::write(Path::new(&out).join("table.rs"), table).expect("the build folder can be written");
    fs::write(Path::new(&out).join("texts.rs"), texts()).expect("the build folder can be written");
}

/// The files of `wgsl/`, name and text.
fn texts() -> String {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("Cargo sets it")).join("wgsl");
    let entries = fs::read_dir(&folder).expect("wgsl/ can be read");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("wgsl/ can be read").path()).collect();
    files.sort();
    let line = |file: &std::path::PathBuf| {
        let stem = file.file_stem().expect("a file has a name");
        format!("({stem:?}, include_str!({file:?})),\n")
    };
    format!("&[\n{}]", files.iter().map(line).collect::<String>())
}

fn permutations(choices: &[&[&'static str]]) -> Vec<Vec<&'static str>> {
    choices.iter().fold(vec![Vec::new()], |so_far, choice| {
        let with = |flags: &Vec<&'static str>, flag| {
            flags.iter().copied().chain(Some(flag).filter(|flag: &&str| !flag.is_empty())).collect()
        };
        so_far.iter().flat_map(|flags| choice.iter().map(move |flag| with(flags, flag))).collect()
    })
}

/// Writes one permutation and its line of the table.
fn shader(stem: &str, flags: &[&str], out: &Path, table: &mut String) -> Result<(), String> {
    let read = |name: &str| fs::read_to_string(format!("wgsl/{name}.wgsl")).ok();
    let f16 = flags.contains(&"F16");
    let definitions = Definitions::of(flags);
    let text = expand(&read(stem).ok_or("no such file")?, &definitions, &read)?;
    let name = [&[stem], flags].concat().join(".").to_lowercase();
    // For who wants to read it.
    fs::write(out.join(format!("{name}.wgsl")), &text).map_err(|e| e.to_string())?;

    let module = naga::front::wgsl::parse_str(&text).map_err(|e| e.emit_to_string(&text))?;
    // Unpacking two f16 from a word belongs to WGSL itself.
    let unpacking = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    let capabilities = if f16 { Capabilities::SHADER_FLOAT16 | unpacking } else { unpacking };
    Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|e| e.emit_to_string(&text))?;

    let [entry] = module.entry_points.as_slice() else { return Err("one entry point, please".into()) };
    if entry.name != "main" {
        return Err(format!("the entry point is called {}, not main", entry.name));
    }
    let sizes = module.to_ctx();
    let (mut bindings, mut workgroup_bytes, mut storage) = (Vec::new(), 0, 0);
    for (_, variable) in module.global_variables.iter() {
        let access = match variable.space {
            AddressSpace::WorkGroup => {
                workgroup_bytes += module.types[variable.ty].inner.size(sizes);
                continue;
            }
            AddressSpace::Uniform => "Uniform",
            AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => "ReadWrite",
            AddressSpace::Storage { .. } => "Read",
            other => return Err(format!("{other:?} variables are not foreseen")),
        };
        storage += usize::from(access != "Uniform");
        let binding = variable.binding.as_ref().ok_or("a buffer without a binding")?;
        let label = variable.name.clone().unwrap_or_default();
        bindings.push((binding.binding, label, access));
    }
    bindings.sort();
    let dense = bindings.iter().enumerate().all(|(i, (binding, ..))| *binding as usize == i);
    if !dense || bindings.last().is_none_or(|(_, _, access)| *access != "Uniform") {
        return Err("bindings count from 0, and the last is the uniform".into());
    }
    let invocations: u32 = entry.workgroup_size.iter().product();
    if storage > MOST_STORAGE_BUFFERS
        || invocations > MOST_INVOCATIONS
        || workgroup_bytes > MOST_WORKGROUP_BYTES
    {
        return Err(format!(
            "{storage} storage buffers, {invocations} invocations, {workgroup_bytes} bytes of workgroup memory: \
             above {MOST_STORAGE_BUFFERS}, {MOST_INVOCATIONS} or {MOST_WORKGROUP_BYTES}"
        ));
    }
    let bindings: String = bindings
        .iter()
        .map(|(_, name, access)| format!("Binding {{ name: {name:?}, access: Access::{access} }}, "))
        .collect();
    writeln!(
        table,
        "Shader {{ name: {name:?}, flags: &{flags:?}, workgroup: {:?}, \
         workgroup_bytes: {workgroup_bytes}, bindings: &[{bindings}], needs_f16: {f16} }},",
        entry.workgroup_size
    )
    .map_err(|e| e.to_string())
}
