//! Takes each rule's documentation out of the comment at the top of its file, so that `--explain` and
//! docs/rules/ say what the source says.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=src/rules");
    let mut names: Vec<String> = fs::read_dir("src/rules")
        .expect("src/rules")
        .filter_map(|entry| entry.expect("an entry").file_name().into_string().ok())
        .collect();
    names.sort();
    let mut table = String::from("&[\n");
    for file in names {
        let source = fs::read_to_string(Path::new("src/rules").join(&file)).expect("a rule");
        let comment = source.lines().map_while(|line| line.strip_prefix("//!"));
        let lines: Vec<&str> = comment
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .collect();
        if lines.first() != Some(&"# What it does") {
            continue;
        }
        let name = file.trim_end_matches(".rs").replace('_', "-");
        let _ = writeln!(table, "    ({name:?}, {:?}),", lines.join("\n") + "\n");
    }
    table.push(']');
    let out = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    fs::write(Path::new(&out).join("documentation.rs"), table).expect("OUT_DIR is writable");
}
