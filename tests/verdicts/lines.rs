//! Files of lines: sysusers.d and tmpfiles.d.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use osderive_lints::model::sysusers;
use osderive_lints::model::tmpfiles::{Config, Owner, SPECIFIER_OF_MACHINE, Snippet};

use super::complaints::{Complaints, about_lines, disagreements, said};
use super::justified::{SYSUSERS, TMPFILES, check};
use super::mutation::{Random, mutated};
use super::{File, files, shipped, write};

/// Wrong lines made of each real one.
const MUTATIONS: usize = 40;

/// The real files, and for each of their lines a file with mutations of it.
fn with_mutations(directory: &Path) -> Vec<File> {
    let real = files(directory);
    let texts = real
        .iter()
        .map(|(_, content)| String::from_utf8_lossy(content));
    let lines: BTreeSet<String> = texts
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| !line.trim().is_empty() && !line.trim().starts_with('#'))
        .collect();
    let wrong = lines.iter().enumerate().map(|(index, line)| {
        let mut random = Random::of(line.as_bytes());
        let mutations = (0..MUTATIONS).map(|_| mutated(line, &mut random));
        let content = mutations.collect::<Vec<_>>().join(&b'\n');
        // They come last, so that the real ones contradict nothing.
        (format!("zz-mutated-{index:03}.conf"), content)
    });
    real.iter().cloned().chain(wrong).collect()
}

/// Each disagreement with the line that it is about.
fn with_lines(files: &[File], systemd: &Complaints, ours: &Complaints) -> Vec<[String; 3]> {
    // That the two agree on nothing being wrong would prove little.
    let both = ours
        .keys()
        .filter(|place| systemd.contains_key(place))
        .count();
    assert!(both > 300, "{both} lines are refused by both");
    let all = disagreements(systemd, ours).into_iter();
    all.map(|((name, number), what)| {
        let file = files.iter().find(|(file, _)| *file == name);
        let content = file.map_or(&b""[..], |(_, content)| content);
        let mut lines = content.split(|byte| b"\n\r".contains(byte));
        let line = lines.nth(number as usize - 1).unwrap_or_default();
        [
            format!("{name}:{number}"),
            what,
            line.escape_ascii().to_string(),
        ]
    })
    .collect()
}

#[test]
fn a_line_of_sysusers_is_refused_by_both_or_by_none() {
    let shipped = shipped();
    let machine = shipped.systemd.machine().expect("a machine");
    let root = machine.root();
    let all = with_mutations(&shipped.tree.join("usr/lib/sysusers.d"));
    write(&root.join("usr/lib/sysusers.d"), &all);
    let mut tool = shipped.systemd.tool("systemd-sysusers", &root);
    let systemd = about_lines(&said(tool.arg("--dry-run")));
    let problems = all.iter().flat_map(|(name, content)| {
        let problems = sysusers::parse(content).problems.into_iter();
        problems.map(|one| ((name.clone(), one.number), one.message.to_owned()))
    });
    let ours: Complaints = problems.collect();
    check(&SYSUSERS, &with_lines(&all, &systemd, &ours));
}

#[test]
fn a_line_of_tmpfiles_is_refused_by_both_or_by_none() {
    let shipped = shipped();
    let machine = shipped.systemd.machine().expect("a machine");
    let root = machine.root();
    let directory = "usr/lib/tmpfiles.d";
    let all = with_mutations(&shipped.tree.join(directory));
    write(&root.join(directory), &all);
    let snippets: Vec<Snippet> = all
        .iter()
        .map(|(name, content)| Snippet {
            directory: 3,
            name: name.clone().into_bytes(),
            content: content.clone(),
        })
        .collect();
    let config = Config::read(&snippets);
    make_accounts(&root, &config);
    make_sources(&root, &all);
    let mut tool = shipped.systemd.tool("systemd-tmpfiles", &root);
    let systemd = about_lines(&said(tool.args(["--dry-run", "--create", "--boot"])));
    let problems = config.problems.into_iter();
    let ours: Complaints = problems
        .filter(|problem| problem.reason != SPECIFIER_OF_MACHINE)
        .map(|problem| {
            let name = String::from_utf8(problem.file).expect("a name");
            let number = problem.number.try_into().expect("a number");
            ((name, number), problem.reason.to_owned())
        })
        .collect();
    check(&TMPFILES, &with_lines(&all, &systemd, &ours));
}

/// The accounts of the real lines.
fn make_accounts(root: &Path, config: &Config) {
    let real = config
        .lines
        .iter()
        .filter(|line| !line.file.starts_with(b"zz-mutated-"));
    let names: BTreeSet<&[u8]> = real
        .flat_map(|line| [&line.user, &line.group])
        .filter_map(|owner| match owner {
            Some(Owner::Name(name)) if name != b"root" => Some(&name[..]),
            _ => None,
        })
        .collect();
    let ids: Vec<_> = (200..)
        .zip(names.iter().map(|name| String::from_utf8_lossy(name)))
        .collect();
    let users = ids
        .iter()
        .map(|(id, name)| format!("{name}:x:{id}:{id}::/:/bin/sh\n"));
    let groups = ids.iter().map(|(id, name)| format!("{name}:x:{id}:\n"));
    let passwd = "root:x:0:0::/:/bin/sh\n".to_owned() + &users.collect::<String>();
    let group = "root:x:0:\n".to_owned() + &groups.collect::<String>();
    let files = [
        ("passwd".to_owned(), passwd.into()),
        ("group".to_owned(), group.into()),
    ];
    write(&root.join("etc"), &files);
}

/// What is to be copied: of a line whose source is not there systemd reads no more.
fn make_sources(root: &Path, files: &[File]) {
    let lines = files
        .iter()
        .flat_map(|(_, content)| content.split(|byte| b"\n\r".contains(byte)));
    for line in lines.filter(|line| line.starts_with(b"C")) {
        for word in line.split(|&byte| byte == b' ') {
            let is_plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b'%';
            let leaves = word.windows(2).any(|two| two == b"..");
            if let Some(path) = word.strip_prefix(b"/").filter(|_| !leaves)
                && path.iter().all(is_plain)
            {
                let path = Path::new(OsStr::from_bytes(path));
                for top in ["", "usr/share/factory"] {
                    // A name that is too long is in no line that is read.
                    let _ = fs::create_dir_all(root.join(top).join(path));
                }
            }
        }
    }
}
