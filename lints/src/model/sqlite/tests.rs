use std::io::Cursor;

use proptest::prelude::*;

use super::testing::Written;
use super::*;

type Rows = Vec<(i64, Option<Vec<u8>>)>;

fn rows_of(database: &[u8], log: Option<&[u8]>, limit: usize) -> (Rows, io::Result<()>) {
    let mut rows = Vec::new();
    let opened = Database::open(Cursor::new(database), log.map(Cursor::new));
    let read = opened.and_then(|mut database| {
        database.rows(b"Packages", None, limit, &mut |row| {
            let blob = row.value(1).ok().map(|value| match value {
                Value::Bytes(bytes) => bytes.to_vec(),
                other => panic!("{other:?}"),
            });
            rows.push((row.key, blob));
            Ok(())
        })
    });
    (rows, read)
}

fn written(size: usize, rows: &[(u64, Vec<u8>)]) -> Vec<u8> {
    Written::with(size, "Packages", rows)
}

fn error_of(database: &[u8]) -> String {
    let (_, read) = rows_of(database, None, 1 << 20);
    read.expect_err("a damaged database").to_string()
}

#[test]
fn rows_of_any_size_come_in_the_order_of_their_keys() {
    for size in [512, 1024, 4096, 1 << 16] {
        // Around what a page holds, what a chain of pages holds, and hundreds of pages in three levels.
        let sizes = (size - 45..size - 30).chain([0, 1, size * 3, size * 40]);
        let small = (0..2000).map(|number| number % 300);
        let blobs: Vec<_> = sizes.chain(small).map(|size| vec![7; size]).collect();
        let rows: Vec<_> = (1..).map(|key| key * 3).zip(blobs).collect();
        let (found, read) = rows_of(&written(size, &rows), None, 1 << 24);
        read.expect("a database");
        let expected = rows
            .iter()
            .map(|(key, blob)| (key.cast_signed(), Some(blob)));
        let found_refs = found.iter().map(|(key, blob)| (*key, blob.as_ref()));
        assert!(found_refs.eq(expected), "pages of {size} bytes");
    }
}

#[test]
fn rows_behind_a_key_are_found_by_few_pages() {
    for count in [0, 1, 5, 3000] {
        let rows: Vec<_> = (1..=count).map(|key| (key * 3, vec![7; 100])).collect();
        let bytes = written(512, &rows);
        let mut database = Database::open(Cursor::new(&bytes), None).expect("a database");
        let last = database.last_key(b"Packages").expect("a key");
        assert_eq!(last, rows.last().map(|(key, _)| key.cast_signed()));
        let read: u32 = database.seen.iter().map(|byte| byte.count_ones()).sum();
        assert!(read < 10, "{read} pages");
        for after in [-1, 0, 1, 3, 4500, 8997, 9000, i64::MAX] {
            let mut found = Vec::new();
            let read = database.rows(b"Packages", Some(after), 1 << 20, &mut |row| {
                found.push(row.key);
                Ok(())
            });
            read.expect("a database");
            let all = rows.iter().map(|(key, _)| key.cast_signed());
            let expected: Vec<_> = all.filter(|key| *key > after).collect();
            assert_eq!(found, expected, "{count} rows behind {after}");
        }
    }
}

#[test]
fn a_row_of_too_many_bytes_is_told_and_the_others_are_read() {
    let rows = [(1, vec![1; 10]), (2, vec![2; 9000]), (3, vec![3; 10])];
    let (found, read) = rows_of(&written(512, &rows), None, 8192);
    read.expect("a database");
    let keys: Vec<_> = found
        .iter()
        .map(|(key, blob)| (*key, blob.is_some()))
        .collect();
    assert_eq!(keys, [(1, true), (2, false), (3, true)]);
}

#[test]
fn what_is_no_database_is_told() {
    assert_eq!(error_of(b""), "it is no SQLite database");
    assert_eq!(error_of(&[0; 4096]), "it is no SQLite database");
    let other = Written::with(512, "Name", &[]);
    assert_eq!(error_of(&other), "it has no table Packages");
    let mut bad_size = written(512, &[]);
    bad_size[16..18].copy_from_slice(&[3, 1]);
    assert!(error_of(&bad_size).contains("its header is wrong"));
}

#[test]
fn a_circle_of_pages_ends() {
    // Four leaves under a root, whose first cell leads back to the root itself.
    let rows: Vec<_> = (1..10).map(|key| (key, vec![0; 300])).collect();
    let mut database = written(512, &rows);
    let root = database.len() - 512;
    assert_eq!(database[root], INTERIOR);
    let number = u32::try_from(root / 512 + 1).expect("a number");
    let cell = u16::from_be_bytes([database[root + 12], database[root + 13]]);
    let cell = root + usize::from(cell);
    database[cell..cell + 4].copy_from_slice(&number.to_be_bytes());
    assert!(error_of(&database).contains("damaged"), "a tree in itself");
    // A chain that leads to its own beginning.
    let mut database = written(512, &[(1, vec![0; 5000])]);
    let chains = database.chunks_exact_mut(512).skip(1);
    for page in chains.take(9) {
        page[..4].copy_from_slice(&2_u32.to_be_bytes());
    }
    assert!(error_of(&database).contains("damaged"), "a chain in itself");
}

#[test]
fn cells_that_share_bytes_are_refused() {
    let mut database = written(4096, &[(1, vec![0; 2000])]);
    let leaf = 4096;
    let place = [database[leaf + 8], database[leaf + 9]];
    database[leaf + 4] = 200;
    for number in 0..200 {
        database[leaf + 8 + number * 2..][..2].copy_from_slice(&place);
    }
    assert!(error_of(&database).contains("page 2 is wrong"));
}

#[test]
fn a_database_that_ends_early_is_told() {
    let rows: Vec<_> = (1..100).map(|key| (key, vec![0; 1000])).collect();
    let database = written(512, &rows);
    for end in [0, 99, 100, 511, 512, 1000, 20_000, database.len() - 1] {
        let (_, read) = rows_of(&database[..end], None, 1 << 20);
        read.expect_err("no more than a part");
    }
}

#[test]
fn numbers_are_read_in_all_their_sizes() {
    let cases: [(&[u8], i64); 6] = [
        (&[2, 1, 0xff], -1),
        (&[2, 2, 1, 0], 256),
        (&[2, 3, 0xff, 0, 0], -65536),
        (&[2, 5, 0, 1, 0, 0, 0, 0], 1 << 32),
        (&[2, 6, 0x80, 0, 0, 0, 0, 0, 0, 0], i64::MIN),
        (&[2, 9], 1),
    ];
    for (record, expected) in cases {
        assert_eq!(
            value(record, 0),
            Some(Value::Integer(expected)),
            "{record:?}"
        );
    }
    let long = [0xff; 9];
    assert_eq!(number(&long), Some((u64::MAX, &[][..])));
    assert_eq!(number(&long[..8]), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_written_is_read(
        blobs in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..60),
        exponent in 9_u32..13,
    ) {
        let rows: Vec<_> = (1..).zip(blobs).collect();
        let (found, read) = rows_of(&written(1 << exponent, &rows), None, 1 << 20);
        read.expect("a database");
        let expected: Rows = rows.into_iter().map(|(key, blob)| (key.cast_signed(), Some(blob))).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_change_of_bytes_is_survived(
        changes in prop::collection::vec((0_usize..60_000, any::<u8>()), 1..40),
    ) {
        let rows: Vec<_> = (1..80).map(|key| (key, vec![9; 700])).collect();
        let mut database = written(512, &rows);
        let size = database.len();
        for (at, byte) in changes {
            database[at % size] = byte;
        }
        let mut visited = 0;
        if let Ok(mut database) = Database::open(Cursor::new(&*database), None) {
            let _ = database.rows(b"Packages", None, 1 << 20, &mut |row| {
                let _ = row.value(1);
                visited += 1;
                Ok(())
            });
        }
        prop_assert!(visited <= size / 2);
    }
}
