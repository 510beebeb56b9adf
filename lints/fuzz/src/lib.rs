//! What the targets have in common: what must be so of all that a parser found, and what reading may cost.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use osderive_lints::model::rpm_header::{Header as RpmHeader, Tag};
use osderive_lints::{Input, Opened};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

/// Loads from memory so far, of all code that is compiled with `-sanitizer-coverage-trace-loads`: the same on each
/// run and each machine, unlike time. Loads of other threads may be lost, which are then too few.
static LOADS: AtomicU64 = AtomicU64::new(0);

macro_rules! count_loads {
    ($($name:ident),*) => {
        $(
            /// LLVM has it called before each load of one size (`SanitizerCoverage.cpp`), and leaves out functions
            /// whose name begins so.
            #[unsafe(no_mangle)]
            pub extern "C" fn $name(_: *const u8) {
                LOADS.store(LOADS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            }
        )*
    };
}

count_loads!(
    __sanitizer_cov_load1,
    __sanitizer_cov_load2,
    __sanitizer_cov_load4,
    __sanitizer_cov_load8,
    __sanitizer_cov_load16
);

/// Loads that any input may take.
const ANY: u64 = 200_000;

/// Reads an input: loads from memory stay below a number for each of its bytes.
pub fn in_proportion<T>(input: &[u8], loads_per_byte: u64, read: impl FnOnce() -> T) -> T {
    in_proportion_beyond(ANY, input, loads_per_byte, read)
}

/// The same, where any input may take so many loads.
pub fn in_proportion_beyond<T>(
    any: u64,
    input: &[u8],
    loads_per_byte: u64,
    read: impl FnOnce() -> T,
) -> T {
    let before = LOADS.load(Ordering::Relaxed);
    let result = read();
    let loads = LOADS.load(Ordering::Relaxed) - before;
    assert!(
        loads > 0 || input.is_empty(),
        "nothing is counted: compile with -Cllvm-args=-sanitizer-coverage-trace-loads"
    );
    let bytes = input.len() as u64;
    assert!(
        loads <= any + loads_per_byte * bytes,
        "{loads} loads for {bytes} bytes"
    );
    result
}

/// `sha256:…` of bytes.
pub fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: Vec<String> = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", hex.concat())
}

/// Line numbers rise and are numbers of lines of the file, of which there is one more than ends.
pub fn check_lines(file: &[u8], numbers: impl IntoIterator<Item = u32>) {
    let is_end = |byte: &&u8| b"\n\r\0".contains(byte);
    let lines = 1 + file.iter().filter(is_end).count();
    let mut last = 0;
    for number in numbers {
        assert!(number > last, "line {number} after line {last}");
        last = number;
    }
    assert!(last as usize <= lines, "line {last} of {lines}");
}

/// Reads all of a package's header: paths are absolute, and no longer than the kernel takes.
pub fn check_header(header: &RpmHeader<'_>) {
    header.files(&mut |path, _| {
        assert!(path.starts_with(b"/") && path.len() < 4096);
    });
    for tag in [
        Tag::Name,
        Tag::PreIn,
        Tag::PostIn,
        Tag::PreTrans,
        Tag::PostTrans,
    ] {
        let text = header.string(tag);
        assert!(text.is_none_or(|text| !text.contains(&0)));
    }
    let _ = header.strings(Tag::ProvideName).count();
    let _ = header.numbers(Tag::ChangelogTime).next();
}

/// An archive of these files.
pub fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        (archive.append_data(&mut header, name, *content)).expect("writes to memory");
    }
    archive.into_inner().expect("writes to memory")
}

/// Opens bytes as an archive of the kind that `prefix` names; none if that is refused.
pub fn open(prefix: &str, archive: &[u8]) -> Option<Opened> {
    static FILE: Mutex<Option<(File, String)>> = Mutex::new(None);
    let mut file = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let (file, path) = file.get_or_insert_with(|| {
        let path = format!("/dev/shm/osderive-fuzz-{}", std::process::id());
        let file = File::create_new(&path).expect("memory for a file");
        (file, path)
    });
    file.rewind()
        .and_then(|()| file.set_len(0))
        .expect("empties the file");
    file.write_all(archive).expect("writes the file");
    Input::named(&format!("{prefix}:{path}")).open().ok()
}

/// Puts in the check sums of an archive's headers, which nobody guesses.
pub fn with_check_sums(mut archive: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while let Some(block) = archive.get_mut(at..at + 512) {
        let mut header = Header::from_byte_slice(block).clone();
        if block.iter().any(|&byte| byte != 0) {
            header.set_cksum();
            block.copy_from_slice(header.as_bytes());
        }
        let size = header.entry_size().unwrap_or(0);
        let blocks = usize::try_from(size.div_ceil(512)).unwrap_or(usize::MAX);
        at = blocks.saturating_mul(512).saturating_add(at + 512);
        if at.checked_add(512).is_none() {
            break;
        }
    }
    archive
}
