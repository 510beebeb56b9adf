//! prepare-root.conf, which says how a deployment's root is put together (`ostree-prepare-root(1)`,
//! ostree-ext's `ostree_prepareroot.rs`): a key file as `GLib` reads them.

/// Where it is looked for, relative to the root; the first that exists counts alone.
pub const PATHS: [&str; 2] = [
    "etc/ostree/prepare-root.conf",
    "usr/lib/ostree/prepare-root.conf",
];

/// Whether composefs or a transient root is on, or may be: then the root directory is what the image
/// has, and an import keeps its content.
pub fn keeps_top_level(file: &[u8]) -> bool {
    let composefs = value(file, b"composefs", b"enabled");
    let transient = value(file, b"root", b"transient");
    composefs.is_some_and(|value| {
        matches!(
            value,
            b"yes" | b"true" | b"1" | b"maybe" | b"signed" | b"verity"
        )
    }) || transient.is_some_and(|value| matches!(value, b"true" | b"1"))
}

/// The last value of a key in a group.
fn value<'a>(file: &'a [u8], group: &[u8], key: &[u8]) -> Option<&'a [u8]> {
    let mut in_group = false;
    let mut found = None;
    for line in file.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii) {
        if let Some(name) = line.strip_prefix(b"[") {
            in_group = name.strip_suffix(b"]") == Some(group);
        } else if in_group
            && let Some(equals) = line.iter().position(|&byte| byte == b'=')
            && line[..equals].trim_ascii() == key
        {
            found = Some(line[equals + 1..].trim_ascii());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hostile;

    #[test]
    fn composefs_and_a_transient_root_keep_the_top_level() {
        for on in [
            "[composefs]\nenabled=true\n",
            "# c\n[composefs]\nenabled = signed\n",
            "[composefs]\nenabled=no\nenabled=maybe",
            "[sysroot]\nreadonly=true\n\n[root]\ntransient=true\n",
        ] {
            assert!(keeps_top_level(on.as_bytes()), "{on}");
        }
        for off in [
            "",
            "[composefs]\nenabled=false\n",
            "[composefs]\n#enabled=true\n",
            "[root]\nenabled=true\n",
            "enabled=true",
            "[etc]\ntransient=true\n",
        ] {
            assert!(!keeps_top_level(off.as_bytes()), "{off}");
        }
    }

    #[test]
    fn hostile_files_are_read_to_their_end() {
        for file in hostile::files() {
            keeps_top_level(&file);
        }
    }
}
