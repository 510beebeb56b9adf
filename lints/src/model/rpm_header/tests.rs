use std::cell::RefCell;

use proptest::prelude::*;

use super::*;

/// A header of these entries: tag, type, count and bytes.
fn header(entries: &[(u32, u32, u32, &[u8])]) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for (tag, kind, count, bytes) in entries {
        let place = u32::try_from(data.len()).expect("a short header");
        index.extend([*tag, *kind, place, *count].map(u32::to_be_bytes).concat());
        data.extend_from_slice(bytes);
    }
    let sizes = [entries.len(), data.len()].map(|size| u32::try_from(size).expect("few"));
    [sizes.map(u32::to_be_bytes).concat(), index, data].concat()
}

fn paths(blob: &[u8]) -> Vec<(String, Option<u32>)> {
    let found = RefCell::new(Vec::new());
    Header::parse(blob)
        .expect("a header")
        .files(&mut |path, attributes| {
            let path = String::from_utf8_lossy(path).into_owned();
            found
                .borrow_mut()
                .push((path, attributes.map(|file| file.mode)));
        });
    found.into_inner()
}

#[test]
fn what_the_installation_has_added_replaces_what_the_package_brought() {
    let blob = header(&[
        (1000, STRING, 1, b"first\0"),
        (1080, INT32, 2, &[0, 0, 1, 0, 0, 0, 0, 9]),
        (1000, STRING, 1, b"second\0"),
    ]);
    let header = Header::parse(&blob).expect("a header");
    assert_eq!(header.string(Tag::Name), Some(&b"second"[..]));
    let times: Vec<_> = header.numbers(Tag::ChangelogTime).collect();
    assert_eq!(times, [256, 9]);
    assert_eq!(header.string(Tag::PostIn), None);
}

#[test]
fn what_does_not_fit_together_is_left_out() {
    let whole: [(u32, u32, u32, &[u8]); 7] = [
        (1116, INT32, 3, &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7]),
        (1117, STRING_ARRAY, 3, b"a\0b\0c\0"),
        (1118, STRING_ARRAY, 2, b"/var/\0/etc/\0"),
        (1030, INT16, 3, &[0x41, 0xe8, 0x81, 0xa4, 0x81, 0xa4]),
        (1039, STRING_ARRAY, 3, b"root\0acme\0root\0"),
        (1040, STRING_ARRAY, 3, b"root\0acme\0root\0"),
        (1036, STRING_ARRAY, 3, b"\0\0\0"),
    ];
    let found = [
        ("/etc/a".to_owned(), Some(0o750)),
        ("/var/b".to_owned(), Some(0o644)),
    ];
    assert_eq!(paths(&header(&whole)), found);
    // No owners: only paths are known.
    let expected = found.map(|(path, _)| (path, None));
    assert_eq!(paths(&header(&whole[..4])), expected);
    assert_eq!(paths(&header(&whole[..2])), []);
    let mut relative = whole;
    relative[2].3 = b"var/\0etc/\0";
    assert_eq!(paths(&header(&relative)), []);
    let mut far = whole;
    far[1].2 = u32::MAX;
    far[1].3 = b"a";
    assert_eq!(paths(&header(&far)), []);
}

#[test]
fn wrong_sizes_are_no_header() {
    let blob = header(&[(1000, STRING, 1, b"name\0")]);
    assert!(Header::parse(&blob).is_ok());
    for wrong in [&blob[..blob.len() - 1], &blob[..7], b"", &[0xff; 40]] {
        assert_eq!(Header::parse(wrong).expect_err("no header"), NoHeader);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(mut blob in prop::collection::vec(any::<u8>(), 8..2000), entries in 0_usize..100) {
        let size = u32::try_from(entries.min((blob.len() - 8) / ENTRY)).expect("few");
        let rest = u32::try_from(blob.len() - 8).expect("few") - size * 16;
        blob[..4].copy_from_slice(&size.to_be_bytes());
        blob[4..8].copy_from_slice(&rest.to_be_bytes());
        for entry in blob[8..].as_chunks_mut::<ENTRY>().0.iter_mut().take(size as usize) {
            entry[..2].fill(0);
            entry[4..7].fill(0);
            entry[8..10].fill(0);
        }
        let header = Header::parse(&blob).expect("a header");
        header.files(&mut |path, _| assert!(path.starts_with(b"/")));
        let _ = header.strings(Tag::ProvideName).count();
    }
}
