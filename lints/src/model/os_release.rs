//! os-release as libostree reads it for the boot menu (`parse_os_release` of
//! `ostree-sysroot-deploy.c`): lines `NAME=VALUE`, the value quoted as in a shell.

/// Where it is, relative to the root: libostree reads the second only if there is no first.
pub const PATHS: [&str; 2] = ["usr/lib/os-release", "etc/os-release"];

/// Whether it names the system, by `PRETTY_NAME` or by `ID`: libostree refuses to deploy without.
pub fn names_system(file: &[u8]) -> bool {
    let mut lines = file.split(|&byte| byte == b'\n');
    lines.any(|line| {
        let Some(equals) = line.iter().position(|&byte| byte == b'=') else {
            return false;
        };
        let (name, value) = (&line[..equals], &line[equals + 1..]);
        matches!(name, b"PRETTY_NAME" | b"ID") && is_quoted_right(value)
    })
}

/// Whether quotes and backslashes have their ends; libostree skips a line where they have not.
fn is_quoted_right(value: &[u8]) -> bool {
    let mut bytes = value.iter();
    let mut open = None;
    while let Some(&byte) = bytes.next() {
        match (byte, open) {
            (b'\\', None | Some(b'"')) if bytes.next().is_none() => return false,
            (b'\'' | b'"', None) => open = Some(byte),
            (byte, Some(quote)) if byte == quote => open = None,
            _ => {}
        }
    }
    open.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hostile;

    #[test]
    fn either_name_is_enough() {
        assert!(names_system(b"NAME=x\nPRETTY_NAME=\"Acme OS 1\"\n"));
        assert!(names_system(b"ID=acme"));
        assert!(names_system(b"ID='a\\'"));
        for without in [
            &b""[..],
            b"NAME=acme\n",
            b"#ID=acme\n",
            b" ID=acme\n",
            b"ID=\"acme\n",
            b"ID=acme\\",
            b"VERSION_ID=1\n",
        ] {
            assert!(!names_system(without), "{without:?}");
        }
    }

    #[test]
    fn hostile_files_are_read_to_their_end() {
        for file in hostile::files() {
            names_system(&file);
        }
    }
}
