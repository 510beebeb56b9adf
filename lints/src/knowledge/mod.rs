//! What is known of single paths, programs and packages, as tables. Each row stands once, with its source and with the
//! month in which somebody read it or saw it. What systemd and ostree define as such stands with its parser.

pub mod caches;
pub mod databases;
pub mod leftovers;
pub mod machine;
pub(crate) mod quirks;
pub mod secrets;
pub mod software;

/// Where a row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// A manual page, a file of a project's source, or what was tried.
    pub text: &'static str,
    /// The year and month in which somebody looked.
    pub month: &'static str,
}

const fn read(text: &'static str, month: &'static str) -> Source {
    Source { text, month }
}

const NOVEMBER: &str = "2026-11";
const DECEMBER: &str = "2026-12";

#[cfg(test)]
mod tests {
    use super::*;

    /// Each table's rows: what they are about, and where that is from.
    fn tables() -> Vec<(&'static str, Vec<(String, Source)>)> {
        let two = |(path, _, source): (&str, _, Source)| (path.to_owned(), source);
        vec![
            (
                "caches",
                Vec::from(caches::CACHES.map(|row| (row.path.to_owned(), row.source))),
            ),
            (
                "databases",
                Vec::from(databases::DATABASES.map(|row| (row.path.to_owned(), row.source))),
            ),
            (
                "leftovers",
                Vec::from(leftovers::LEFTOVERS.map(|row| (row.pattern.to_owned(), row.source))),
            ),
            (
                "areas",
                Vec::from(leftovers::AREAS.map(|(path, source)| (path.to_owned(), source))),
            ),
            ("made anew", Vec::from(machine::MADE_ANEW.map(two))),
            (
                "ssh keys",
                Vec::from(machine::SSH_KEYS.map(|(path, source)| (path.to_owned(), source))),
            ),
            (
                "storage",
                Vec::from(software::STORAGE.map(|(path, source)| (path.to_owned(), source))),
            ),
            (
                "secrets in /etc",
                Vec::from(secrets::IN_ETC.map(|row| (row.path.to_owned(), row.source))),
            ),
            (
                "secrets in homes",
                Vec::from(secrets::IN_HOMES.map(|row| (row.path.to_owned(), row.source))),
            ),
            (
                "private keys",
                Vec::from(secrets::PRIVATE_KEYS.map(|(path, source)| (path.to_owned(), source))),
            ),
            (
                "credentials",
                Vec::from(secrets::CREDENTIALS.map(|(path, source)| (path.to_owned(), source))),
            ),
            ("quirks", quirks::rows()),
        ]
    }

    #[test]
    fn what_is_made_anew_is_no_other_leftover() {
        for (path, _, _) in machine::MADE_ANEW {
            let of_leftovers =
                |row: &leftovers::Leftover| path.strip_prefix("var/") == Some(row.pattern);
            assert!(!leftovers::LEFTOVERS.iter().any(of_leftovers), "{path}");
            assert!(leftovers::reason(path.as_bytes()).is_some(), "{path}");
        }
    }

    #[test]
    fn each_row_stands_once_and_has_a_source_and_a_month() {
        for (table, rows) in tables() {
            let mut names: Vec<_> = rows.iter().map(|(name, _)| name).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), rows.len(), "{table}: a row stands twice");
            for (name, source) in &rows {
                assert!(source.text.len() > 5, "{table}: {name} has no source");
                let (year, month) = source.month.split_once('-').expect("a year and a month");
                let numbers = (year.parse::<u32>(), month.parse::<u32>());
                assert!(
                    matches!(numbers, (Ok(2026..), Ok(1..=12))),
                    "{table}: {name}: {}",
                    source.month
                );
            }
        }
    }
}
