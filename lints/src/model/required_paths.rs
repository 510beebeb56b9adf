//! The files of /var that systemd looks for before it starts a unit's programs (systemd.exec(5), systemd.service(5)):
//! without them the unit fails, whatever its programs would do.

use crate::model::units::{commands, parse, words};

/// Settings with lists of paths that a unit's own view of the file system is made of.
const VIEWS: [&[u8]; 7] = [
    b"BindPaths",
    b"BindReadOnlyPaths",
    b"ExecPaths",
    b"NoExecPaths",
    b"ReadOnlyPaths",
    b"ReadWritePaths",
    b"InaccessiblePaths",
];

/// The commands that start with a unit.
const COMMANDS: [&[u8]; 4] = [
    b"ExecCondition",
    b"ExecStart",
    b"ExecStartPost",
    b"ExecStartPre",
];

/// The paths in /var, relative to the root, that a unit file or a drop-in asks for. Those with specifiers are left out.
pub fn required_paths(unit: &[u8]) -> Vec<Vec<u8>> {
    let mut paths: Vec<Vec<u8>> = Vec::new();
    for assignment in parse(unit).assignments {
        let (key, value) = (&assignment.key[..], &assignment.value[..]);
        if key == b"EnvironmentFile" {
            paths.push(value.to_vec());
        } else if COMMANDS.contains(&key) {
            let commands = commands(value).into_iter();
            let needed = commands.filter(|command| !command.may_fail);
            paths.extend(needed.map(|command| command.program));
        } else if VIEWS.contains(&key) {
            let words = words(value).into_iter();
            paths.extend(words.filter_map(|word| {
                let path = word.strip_prefix(b"+").unwrap_or(&word);
                Some(path.split(|&byte| byte == b':').next()?.to_vec())
            }));
        } else if key == b"LoadCredential" {
            let mut parts = value.splitn(2, |&byte| byte == b':');
            paths.extend(parts.nth(1).map(<[u8]>::to_vec));
        }
    }
    let in_var = paths.into_iter().filter_map(|path| {
        let below = path.strip_prefix(b"/")?;
        let is_plain =
            below.starts_with(b"var/") && !below.iter().any(|byte| b"%*?[".contains(byte));
        is_plain.then(|| below.to_vec())
    });
    in_var.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hostile;

    #[test]
    fn what_systemd_itself_looks_for_is_found() {
        let unit = "[Service]\nEnvironmentFile=/var/cache/a/env\nEnvironmentFile=-/var/cache/a/other\n\
                    ExecStartPre=-/var/lib/b/may\nExecStart=@/var/lib/b/program name\n\
                    ReadOnlyPaths=/var/c -/var/d +/var/e\nBindPaths=/var/f:/x\n\
                    LoadCredential=key:/var/lib/g/key\nExecStop=/var/h\n\
                    EnvironmentFile=/var/cache/%i/env\nEnvironmentFile=/etc/default/i\n";
        let found = required_paths(unit.as_bytes()).into_iter();
        let text = |path| String::from_utf8(path).expect("text");
        let found: Vec<String> = found.map(text).collect();
        assert_eq!(
            found,
            [
                "var/cache/a/env",
                "var/lib/b/program",
                "var/c",
                "var/e",
                "var/f",
                "var/lib/g/key"
            ]
        );
    }

    #[test]
    fn hostile_files_are_read_to_their_end() {
        for file in hostile::files() {
            required_paths(&file);
        }
    }
}
