//! Unit files: what is read of them, and which programs and units they miss.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use osderive_lints::Image;
use osderive_lints::model::units::parse;
use osderive_lints::predict::{Reason, predict};
use osderive_lints::tree::{Gathered, Rootfs};
use osderive_tests::shipped::Shipped;

use super::complaints::{about_line, said};
use super::justified::{READ, UNITS, check};
use super::mutation::{Random, mutated};
use super::{File, files, shipped, write};

const DIRECTORY: &str = "usr/lib/systemd/system";

/// Characters of a path that are compared: both sides shorten what is longer.
const COMPARED: usize = 200;

fn verify(shipped: &Shipped, root: &Path, units: &[String]) -> Vec<String> {
    let mut tool = shipped.systemd.tool("systemd-analyze", root);
    tool.args([
        "verify",
        "--man=no",
        "--generators=no",
        "--recursive-errors=yes",
    ]);
    said(tool.args(units))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What is read of a file: `Section.Key` for an assignment, `! …` for a problem, each with its line.
type Read = Vec<(u32, String)>;

/// What begins each key of [`misspelled`] units.
const MISSPELLING: &str = "Zzq";

/// A real unit with keys that nobody knows, of each of which systemd tells, and with some of its lines
/// made wrong.
fn misspelled(content: &[u8]) -> Vec<u8> {
    let mut random = Random::of(content);
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for line in text(content).lines() {
        let bytes = line.as_bytes();
        // Which names of sections there are, only systemd knows.
        if let Some(name) = bytes.strip_prefix(b"[") {
            lines.push(match random.below(40) {
                0 => name.to_vec(),
                1 => bytes.strip_suffix(b"]").unwrap_or(bytes).to_vec(),
                2 => [bytes, b"\\"].concat(),
                3 => [b" ", bytes, b"\t"].concat(),
                _ => bytes.to_vec(),
            });
            continue;
        }
        let is_key = line.starts_with(|sign: char| sign.is_ascii_alphabetic());
        let line = [if is_key { MISSPELLING } else { "" }, line].concat();
        lines.push(match random.below(12) {
            0 => mutated(&line, &mut random),
            1 => [line.as_bytes(), b"\\"].concat(),
            2 => [b"  ", line.as_bytes(), b" \t"].concat(),
            3 => line.replacen('=', " = ", 1).into_bytes(),
            4 => line.replacen('=', "", 1).into_bytes(),
            _ => line.into_bytes(),
        });
    }
    lines.join(*random.one_of(&[&b"\n"[..], b"\r\n", b"\n\n"]))
}

fn read_by_us(content: &[u8]) -> Read {
    let parsed = parse(content);
    let assignments = parsed.assignments.iter().map(|one| {
        let key = format!("{}.{}", text(&one.section), text(&one.key));
        (one.line, key)
    });
    let mut read: Read = assignments.filter(|(_, key)| is_told(key)).collect();
    let problems = parsed.problems.iter();
    read.extend(problems.map(|problem| (problem.line, format!("! {}", problem.message))));
    read.sort();
    read
}

/// Whether systemd surely says something of a key, by its section: a mutation may have made it one that it knows, or
/// one of what was a comment.
fn is_told(key: &str) -> bool {
    let is_known = ["Unit.", "Service.", "Install."]
        .iter()
        .any(|known| key.starts_with(known));
    is_known && ["Zz", "Zq", "zq"].iter().any(|part| key.contains(part))
}

/// The same by what systemd says, by the file.
fn read_by_systemd(said: &[String]) -> BTreeMap<String, Read> {
    let problems = [
        ("Assignment outside of section", "! it stands in no section"),
        ("Missing '='", "! there is no ="),
        ("Missing key name before '='", "! nothing stands before ="),
        ("Invalid section header", "! a section's name is not closed"),
    ];
    let mut files: BTreeMap<String, Read> = BTreeMap::new();
    for ((file, line), message) in said.iter().filter_map(|line| about_line(line)) {
        let key = message.strip_prefix("Unknown key '");
        let key = key.and_then(|rest| rest.split_once("' in section ["));
        let problem = problems
            .iter()
            .find(|(begin, _)| message.starts_with(begin));
        let what = match (key, problem) {
            (Some((key, rest)), _) => {
                let section = rest.split(']').next().unwrap_or_default();
                let key = format!("{section}.{key}");
                if !is_told(&key) {
                    continue;
                }
                key
            }
            (None, Some((_, what))) => (*what).to_owned(),
            (None, None) => continue,
        };
        files.entry(file).or_default().push((line, what));
    }
    for read in files.values_mut() {
        read.sort();
    }
    files
}

/// Whether both read the same on the same lines. Of one that goes on, systemd names the last.
fn is_same(ours: &Read, systemd: &Read) -> bool {
    let next = ours.iter().skip(1).map(|(line, _)| *line).chain([u32::MAX]);
    ours.len() == systemd.len()
        && ours
            .iter()
            .zip(systemd)
            .zip(next)
            .all(|((our, their), next)| {
                our.1 == their.1 && (our.0..next.max(our.0 + 1)).contains(&their.0)
            })
}

#[test]
fn both_read_the_same_of_a_unit() {
    let shipped = shipped();
    let machine = shipped.systemd.machine().expect("a machine");
    let root = machine.root();
    let real = files(&shipped.tree.join(DIRECTORY)).into_iter();
    let services = real.filter(|(name, content)| name.ends_with(".service") && !content.is_empty());
    let wrong: Vec<File> = services
        .enumerate()
        .map(|(index, (_, content))| (format!("mutated-{index:03}.service"), misspelled(&content)))
        .collect();
    write(&root.join(DIRECTORY), &wrong);
    let names: Vec<String> = wrong.iter().map(|(name, _)| name.clone()).collect();
    let systemd = read_by_systemd(&verify(&shipped, &root, &names));
    let count: usize = systemd.values().map(Vec::len).sum();
    assert!(count > 2000, "systemd tells of {count} lines");
    let mut disagreements = Vec::new();
    for (name, content) in &wrong {
        let ours = read_by_us(content);
        let theirs = systemd.get(name).cloned().unwrap_or_default();
        if !is_same(&ours, &theirs) {
            disagreements.push([name.clone(), format!("{ours:?}\n{theirs:?}"), text(content)]);
        }
    }
    check(&READ, &disagreements);
}

/// Units with one command each, made of real ones and wrong, some of which need what is not there.
fn generated(real: &[File]) -> Vec<File> {
    const NEEDS: [&str; 5] = [
        "",
        "",
        "Requires=gone.service\n",
        "BindsTo=dbus.service also-gone.socket\n",
        "Wants=gone.service\n",
    ];
    let mut units = Vec::new();
    for (_, content) in real {
        let content = text(content);
        for value in content
            .lines()
            .filter_map(|line| line.strip_prefix("ExecStart="))
        {
            let mut random = Random::of(value.as_bytes());
            for _ in 0..3 {
                let value = mutated(value, &mut random);
                let needs = *random.one_of(&NEEDS);
                let begin = format!("[Unit]\n{needs}[Service]\nType=oneshot\nExecStart=");
                let name = format!("mutated-{:03}.service", units.len());
                units.push((name, [begin.as_bytes(), &value, b"\n"].concat()));
            }
        }
    }
    units
}

/// What units miss: `program …`, `unit …`, each with the unit.
type Missing = BTreeSet<(String, String)>;

fn program(path: &str) -> String {
    let mut names = path.split('/').filter(|name| !["", "."].contains(name));
    let path = if path.starts_with('/') {
        names.fold(String::new(), |path, name| path + "/" + name)
    } else {
        names.next().unwrap_or_default().to_owned()
    };
    format!(
        "program {}",
        path.chars().take(COMPARED).collect::<String>()
    )
}

/// What units miss by what systemd says, and the units that it refuses as they are written.
fn missed_by_systemd(said: &[String]) -> (Missing, BTreeSet<String>) {
    let (mut missing, mut refused) = (Missing::new(), BTreeSet::new());
    for line in said {
        if let Some(((file, _), _)) = about_line(line) {
            refused.insert(instance(&file));
        } else if let Some((unit, message)) = line.split_once(": ") {
            let unit = unit.to_owned();
            if let Some(rest) = message.strip_prefix("Command ") {
                let path = rest.split(" is not executable").next().unwrap_or_default();
                missing.insert((unit, program(path)));
            } else if let Some((_, rest)) = message.split_once("/start: Unit ") {
                let name = rest.split(' ').next().unwrap_or_default();
                missing.insert((unit, format!("unit {name}")));
            } else if message.contains("fatal error") || message.ends_with("Refusing.") {
                refused.insert(unit);
            }
        }
    }
    (missing, refused)
}

fn missed_by_us(root: &Path) -> Missing {
    let tree = Rootfs::open(root).expect("a tree");
    let image = Image::read(&tree, Gathered::default(), None);
    let missing = predict(&image).into_iter().filter_map(|prediction| {
        let what = match prediction.reason {
            Reason::Program(path) | Reason::NotExecutable(path) => program(&path),
            Reason::Requires { unit, .. } => format!("unit {unit}"),
            _ => return None,
        };
        Some((prediction.unit, what))
    });
    missing.collect()
}

/// The instance that systemd-analyze makes of a template.
fn instance(name: &str) -> String {
    name.replace("@.", "@test_instance.")
}

#[test]
fn the_same_programs_and_units_are_missing() {
    let shipped = shipped();
    let machine = shipped.systemd.machine().expect("a machine");
    let root = machine.root();
    let copied = Command::new("cp")
        .args(["--archive", "--link", "--no-target-directory"])
        .args([&shipped.tree, &root])
        .status();
    assert!(copied.expect("cp").success());
    let mut all = files(&root.join(DIRECTORY));
    let generated = generated(&all);
    write(&root.join(DIRECTORY), &generated);
    all.extend(generated);
    let kinds = [".service", ".socket", ".timer", ".path", ".target"];
    let names = all.iter().map(|(name, _)| name.clone());
    let names: Vec<String> = names
        .filter(|name| kinds.iter().any(|kind| name.ends_with(kind)))
        .collect();
    // Only what starts at boot is predicted.
    let wants = root.join("etc/systemd/system/default.target.wants");
    fs::create_dir_all(&wants).expect("directories");
    for name in &names {
        symlink(format!("/{DIRECTORY}/{name}"), wants.join(instance(name))).expect("a link");
    }

    let (systemd, refused) = missed_by_systemd(&verify(&shipped, &root, &names));
    let ours = missed_by_us(&root);
    let both = systemd.intersection(&ours).count();
    assert!(both > 300, "both miss {both} programs and units");
    let told = |side: &str, (unit, what): &(String, String)| {
        let of_unit = all.iter().find(|(name, _)| name == unit);
        let content = of_unit.map_or(String::new(), |(_, content)| text(content));
        [unit.clone(), format!("only {side}: {what}"), content]
    };
    let mut disagreements: Vec<_> = systemd
        .difference(&ours)
        .map(|one| told("systemd", one))
        .collect();
    // Of a unit that systemd refuses as a whole it says no more, and what we say is right.
    let others = ours
        .difference(&systemd)
        .filter(|(unit, _)| !refused.contains(unit));
    disagreements.extend(others.map(|one| told("osderive", one)));
    check(&UNITS, &disagreements);
}
