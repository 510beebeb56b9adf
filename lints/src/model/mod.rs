//! The image model: what an image's own files say about it, read by pure functions over bytes that
//! accept anything and never fail on what is malformed. A build may leave any bytes in any file.

pub mod acl;
pub mod group;
pub mod ids;
pub mod initramfs;
pub mod kargs;
pub mod kernel_module;
pub mod ledger;
pub mod os_release;
pub mod passwd;
pub mod pattern;
pub mod prepare_root;
pub mod presets;
pub mod required_paths;
pub mod rpm_header;
pub mod secrets;
pub mod selinux;
pub mod shadow;
pub mod sqlite;
pub mod state_directories;
pub mod subid;
pub mod sysusers;
pub mod time_span;
pub mod tmpfiles;
pub mod unit_name;
pub mod units;

/// The records of a colon-separated account file with their line numbers, counted from 1.
///
/// As glibc's `files` service reads them: blank lines and comments are none. Lines that begin with
/// `+` or `-` concern NIS and name no account of this file.
fn records(file: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    (1..)
        .zip(file.split(|&byte| byte == b'\n'))
        .filter(|(_, line)| {
            let first = line.trim_ascii_start().first();
            first.is_some_and(|first| !b"#+-:".contains(first))
        })
}

/// A record's fields; those that are missing at its end are empty.
fn fields<const COUNT: usize>(record: &[u8]) -> [&[u8]; COUNT] {
    let mut parts = record.splitn(COUNT, |&byte| byte == b':');
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// The names in a comma-separated field.
fn names(field: &[u8]) -> Vec<&[u8]> {
    field
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty())
        .collect()
}

/// A decimal id. The highest number means "no id" to the kernel.
fn id(field: &[u8]) -> Option<u32> {
    number(field).filter(|&id| id != u32::MAX)
}

fn number(field: &[u8]) -> Option<u32> {
    if field.is_empty() || !field.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(field).ok()?.parse().ok()
}

#[cfg(test)]
pub(crate) mod hostile {
    //! Account files as nobody should write them.

    pub(crate) fn files() -> Vec<Vec<u8>> {
        let long = [&b"long:x:5:5:"[..], &vec![b'g'; 1 << 20], b":/:/bin/sh"].concat();
        let mut files: Vec<Vec<u8>> = [
            &b""[..],
            b"\n\n\n",
            b":::::::::::",
            b"+::::::\n-gone\n+@group::::::",
            b"a:x:1:1::/:/bin/sh\r\na:x:1:1::/:/bin/sh\r\n",
            b"nul\0name:x:1:1::/:/bin/sh",
            b"\xff\xfe:x:1:1:\xc3:/:/bin/sh",
            b"neg:x:-1:+5::/:",
            b"huge:x:99999999999999999999:4294967295::/:",
            b"u \"",
            b"u a \\",
            b"u % %",
            b"no end:x:7:7",
            b"[Service\nExecStart=/bin/x",
            b"[S]\nA=\\",
            b"[S]\n\\\n\\\n=\n[]\n[\xff]\nA=%",
            b"enable\ndisable *\xff\nenable a@ b\tc\\",
        ]
        .map(<[u8]>::to_vec)
        .into();
        files.push(long);
        files
    }
}
