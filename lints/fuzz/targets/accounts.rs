//! passwd, group, shadow, gshadow, subuid.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::model::ids::Ids;
use osderive_lints::model::{group::groups, passwd::users, shadow, subid::ranges};
use osderive_lints_fuzz::{check_lines, in_proportion};

fuzz_target!(|file: &[u8]| {
    in_proportion(file, 2000, || check(file));
});

fn check(file: &[u8]) {
    check_lines(file, users(file).map(|user| user.line));
    check_lines(file, groups(file).map(|group| group.line));
    check_lines(file, shadow::entries(file).map(|entry| entry.line));
    check_lines(file, shadow::group_entries(file).map(|entry| entry.line));
    check_lines(file, ranges(file).map(|range| range.line));
    for entry in shadow::entries(file) {
        let _ = shadow::access(entry.password);
        assert!(!entry.name.is_empty());
    }
    for user in users(file) {
        let text = [
            user.name,
            user.password,
            user.uid.to_string().as_bytes(),
            user.gid.to_string().as_bytes(),
            user.gecos,
            user.home,
            user.shell,
        ]
        .join(&b':');
        let again: Vec<_> = users(&text).collect();
        let line = 1;
        assert_eq!(
            again,
            [osderive_lints::model::passwd::User { line, ..user }]
        );
    }
    for group in groups(file) {
        let members = group.members.join(&b',');
        let gid = group.gid.to_string();
        let text = [group.name, group.password, gid.as_bytes(), &members].join(&b':');
        let again: Vec<_> = groups(&text).collect();
        let line = 1;
        assert_eq!(
            again,
            [osderive_lints::model::group::Group { line, ..group }]
        );
    }
    let ids = Ids::of([file; 4]);
    assert!(ids.changed_from(&ids).is_empty());
}
