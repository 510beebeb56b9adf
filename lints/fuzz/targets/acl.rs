//! Access control lists, as extended attributes and as lines of tmpfiles.d.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::model::acl::{Account, Acl, Lists, Who, said};
use osderive_lints::model::tmpfiles::Owner;
use osderive_lints_fuzz::in_proportion;

const HEADER: usize = 4;
const ENTRY: usize = 8;

fn id(owner: &Owner, _: Account) -> Option<u32> {
    match owner {
        Owner::Id(id) => Some(*id),
        Owner::Name(name) => (name != b"stranger").then(|| u32::from(name[0])),
    }
}

fuzz_target!(|input: &[u8]| {
    in_proportion(input, 2000, || read(input));
});

fn read(input: &[u8]) {
    if let Some(list) = Acl::read(input) {
        check(&list, input.len());
    }
    if let Some(said) = said(input) {
        let commas = input.iter().filter(|&&byte| byte == b',').count();
        assert!(said.len() <= commas + 1, "one entry between commas");
        for (is_added, is_directory) in [(false, false), (false, true), (true, true)] {
            let lists = Lists::default().after(&said, is_added, (0o640, is_directory), id);
            let lists = lists.into_iter();
            for list in lists
                .flat_map(|lists| [lists.access, lists.default])
                .flatten()
            {
                assert!(list.entries().count() <= said.len() + 4);
                let again = Acl::read(&list.to_attribute());
                assert_eq!(again, Some(list), "the kernel would take it");
            }
        }
    }
}

fn check(list: &Acl, length: usize) {
    // The work: an entry for each that the input has, and no more.
    let entries = list.entries().count();
    assert_eq!(HEADER + entries * ENTRY, length);
    assert_eq!(
        Acl::read(&list.to_attribute()).as_ref(),
        Some(list),
        "it is read back"
    );
    let group = u32::from(list.permission(Who::Group).unwrap_or(0));
    let mode = list.mode_without(0o7777) >> 3 & 7;
    assert_eq!(mode & !group, 0, "no more than the group's entry");
    if list.names_nobody() {
        return;
    }
    for is_default in [false, true] {
        let text = list.to_text(is_default, Owner::Id, Owner::Id);
        let said = said(&text).expect("what is written can be read");
        assert_eq!(said.len(), entries);
        let lists = Lists::default().after(&said, true, (0o777, true), id);
        let lists = lists.expect("numbers are known");
        if is_default {
            assert_eq!(lists.default.as_ref(), Some(list));
        } else {
            assert_eq!(
                lists.access.as_ref(),
                Some(list).filter(|list| !list.is_plain())
            );
        }
    }
}
