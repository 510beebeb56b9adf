//! The directories that systemd makes for a unit when it starts (systemd.exec(5), `StateDirectory=`
//! and its kin).

use crate::model::units;

/// Each directive with where its directories are, relative to the root.
const DIRECTIVES: [(&[u8], &[u8]); 3] = [
    (b"CacheDirectory", b"var/cache/"),
    (b"LogsDirectory", b"var/log/"),
    (b"StateDirectory", b"var/lib/"),
];

/// The paths in /var, relative to the root, that a unit file or a drop-in names. Of an instance's
/// directory (`%i`) only what stands before the specifier is known.
pub fn state_directories(unit: &[u8]) -> Vec<Vec<u8>> {
    let mut directories = Vec::new();
    for assignment in units::parse(unit).assignments {
        let mut known = DIRECTIVES.iter();
        if let Some((_, top)) = known.find(|(directive, _)| *directive == assignment.key) {
            let names = units::words(&assignment.value).into_iter();
            directories.extend(names.filter_map(|name| directory(top, &name)));
        }
    }
    directories
}

/// The path of one name; a colon is followed by a link's name and flags.
fn directory(top: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let name = name.split(|&byte| byte == b':').next()?;
    let name = match name.iter().position(|&byte| byte == b'%') {
        Some(at) => name[..at].rsplitn(2, |&byte| byte == b'/').nth(1)?,
        None => name,
    };
    (!name.is_empty()).then(|| [top, name].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hostile;

    fn of(unit: &str) -> Vec<String> {
        let found = state_directories(unit.as_bytes()).into_iter();
        let text = |path| String::from_utf8(path).expect("text");
        found.map(text).collect()
    }

    #[test]
    fn directories_of_all_kinds_are_found() {
        let unit = "[Service]\nStateDirectory=a b/c:d:ro\n# StateDirectory=no\nLogsDirectory = e\n\
                    CacheDirectory=f \\\n  g\nStateDirectoryMode=0750\nRuntimeDirectory=h\n";
        assert_eq!(
            of(unit),
            [
                "var/lib/a",
                "var/lib/b/c",
                "var/log/e",
                "var/cache/f",
                "var/cache/g"
            ]
        );
    }

    #[test]
    fn of_an_instance_only_what_is_above_it_is_known() {
        assert_eq!(of("[Service]\nStateDirectory=a/%i b%i"), ["var/lib/a"]);
    }

    #[test]
    fn hostile_files_are_read_to_their_end() {
        for file in hostile::files() {
            state_directories(&file);
        }
    }
}
