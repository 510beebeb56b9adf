//! Which policy of SELinux an image has, and which paths it takes for others (`selinux_config(5)`, `selabel_file(5)`).

/// Says which policy is in use, relative to the root.
pub const CONFIG: &str = "etc/selinux/config";

/// Of a policy, the labels by path: an image without this file in the folder has no such policy.
pub const LABELS: &str = "file_contexts";

/// Of a policy, the paths that count as others: of this machine, and of the distribution.
pub const EQUIVALENCES: [&str; 2] = ["file_contexts.subs", "file_contexts.subs_dist"];

/// Where software is moved to, and where users know it: policies have labels for the latter.
pub const MOVED: [(&str, &str); 2] = [
    ("/usr/lib/opt", "/opt"),
    ("/usr/lib/usrlocal", "/usr/local"),
];

/// The folder with the labels of the policy in use, relative to the root; none for a name that leads elsewhere.
pub fn folder(config: &[u8]) -> Option<String> {
    const KEY: &[u8] = b"SELINUXTYPE=";
    let value = |line: &'_ [u8]| -> Option<Vec<u8>> {
        let (key, value) = line.trim_ascii().split_at_checked(KEY.len())?;
        let is_key = key.eq_ignore_ascii_case(KEY);
        is_key.then(|| value.trim_ascii().to_vec())
    };
    let mut values = config.split(|&byte| byte == b'\n').filter_map(value);
    let name = values.next_back().unwrap_or_else(|| b"targeted".to_vec());
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    let name = String::from_utf8(name).ok()?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| is_plain(&byte));
    is_name.then(|| format!("etc/selinux/{name}/contexts/files"))
}

/// Whether a file of equivalences has a path count as another.
pub fn counts_as(equivalences: &[u8], path: &str, other: &str) -> bool {
    let mut lines = equivalences.split(|&byte| byte == b'\n');
    lines.any(|line| {
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        words.next() == Some(path.as_bytes()) && words.next() == Some(other.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_policy_of_the_configuration_counts() {
        let folder = |config: &str| folder(config.as_bytes());
        let of = |name| Some(format!("etc/selinux/{name}/contexts/files"));
        assert_eq!(
            folder("# x\nSELINUX=enforcing\n SelinuxType=mls \n"),
            of("mls")
        );
        assert_eq!(folder("SELINUXTYPE=a\nSELINUXTYPE=b"), of("b"));
        assert_eq!(folder(""), of("targeted"));
        assert_eq!(folder("SELINUXTYPE=../x"), None);
        assert_eq!(folder("SELINUXTYPE="), None);
    }

    #[test]
    fn an_equivalence_is_a_line_of_two_paths() {
        let file = b"# /a /b\n/usr/lib64\t/usr/lib \n/x /y";
        assert!(counts_as(file, "/usr/lib64", "/usr/lib") && counts_as(file, "/x", "/y"));
        assert!(!counts_as(file, "/a", "/b") && !counts_as(file, "/usr/lib64", "/usr"));
    }
}
