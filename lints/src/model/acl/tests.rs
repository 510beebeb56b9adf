use super::*;

/// `user::rwx user:901:rw- group::r-x mask::rwx other::---` as Linux gives it.
fn attribute() -> Vec<u8> {
    let entries = [
        (0x01u16, 7u16, NO_ID),
        (0x02, 6, 901),
        (0x04, 5, NO_ID),
        (0x10, 7, NO_ID),
        (0x20, 0, NO_ID),
    ];
    let mut value = VERSION.to_le_bytes().to_vec();
    for (tag, permission, id) in entries {
        value.extend(tag.to_le_bytes());
        value.extend(permission.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    value
}

fn named(id: u32) -> Owner {
    match id {
        901 => Owner::Name(b"web".to_vec()),
        902 => Owner::Name(b"a,b".to_vec()),
        id => Owner::Id(id),
    }
}

fn number(owner: &Owner, _: Account) -> Option<u32> {
    match owner {
        Owner::Id(id) => Some(*id),
        Owner::Name(name) => (name == b"web").then_some(901),
    }
}

#[test]
fn a_list_is_read_and_written_as_the_kernel_has_it() {
    let list = Acl::read(&attribute()).expect("a list");
    assert_eq!(list.permission(Who::User(901)), Some(6));
    assert_eq!(list.to_attribute(), attribute());
}

#[test]
fn the_group_gets_what_its_entry_and_the_mask_allow() {
    let list = Acl::read(&attribute()).expect("a list");
    assert_eq!(list.mode_without(0o2770), 0o2750);
    let masked = said(b"u:901:rwx,g::rwx,m::r-x").expect("a list");
    let lists = Lists::default().after(&masked, true, (0o770, true), number);
    let masked = lists.expect("known").access.expect("a list");
    assert_eq!(masked.mode_without(0o750), 0o750);
}

#[test]
fn what_the_kernel_would_not_take_is_no_list() {
    let good = attribute();
    let mut twice = good.clone();
    twice.extend_from_slice(&good[HEADER..HEADER + ENTRY]);
    let mut version = good.clone();
    version[0] = 3;
    let mut permission = good.clone();
    permission[HEADER + 2] = 8;
    let without_mask = [&good[..28], &good[36..]].concat();
    for bad in [
        &b""[..],
        &good[..3],
        &good[..HEADER],
        &good[..good.len() - 1],
        &twice,
        &version,
        &permission,
        &without_mask,
    ] {
        assert_eq!(Acl::read(bad), None, "{bad:?}");
    }
}

#[test]
fn a_line_names_accounts_and_gives_numbers_where_a_name_would_read_otherwise() {
    let list = Acl::read(&attribute()).expect("a list");
    let text = list.to_text(false, named, named);
    assert_eq!(
        text.escape_ascii().to_string(),
        "user::rwx,user:web:rw-,group::r-x,mask::rwx,other::---"
    );
    let renamed = list.with_ids(|who| match who {
        Who::User(_) => Who::User(902),
        who => who,
    });
    let text = renamed.expect("a list").to_text(true, named, named);
    let text = text.escape_ascii().to_string();
    assert!(text.contains(",default:user:902:rw-,"), "{text}");
}

#[test]
fn what_a_line_says_is_what_an_entry_has_then() {
    let list = Acl::read(&attribute()).expect("a list");
    let mut argument = list.to_text(false, named, named);
    argument.push(b',');
    argument.extend(list.to_text(true, named, named));
    let said = said(&argument).expect("a list");
    for is_added in [false, true] {
        let lists = Lists::default().after(&said, is_added, (0o750, true), number);
        let both = Lists {
            access: Some(list.clone()),
            default: Some(list.clone()),
        };
        assert_eq!(lists, Some(both));
    }
    let of_file = Lists::default().after(&said, true, (0o750, false), number);
    assert_eq!(of_file.expect("known").default, None);
}

#[test]
fn a_line_of_unknown_accounts_or_broken_entries_says_nothing() {
    let stranger = said(b"u:stranger:rwx").expect("an entry");
    let lists = Lists::default().after(&stranger, true, (0o755, true), number);
    assert_eq!(lists, None);
    for broken in [
        "u:web",
        "x:web:r",
        "u:web:q",
        "d:d:u:web:r",
        "m:web:r",
        ":::",
    ] {
        assert_eq!(said(broken.as_bytes()), None, "{broken}");
    }
}

#[test]
fn execution_is_only_added_where_somebody_may_execute() {
    let said = said(b"u:web:rX").expect("an entry");
    let permission = |mode, is_directory| {
        let lists = Lists::default().after(&said, true, (mode, is_directory), number);
        let access = lists.expect("known").access.expect("a list");
        access.permission(Who::User(901))
    };
    assert_eq!(permission(0o644, false), Some(4));
    assert_eq!(permission(0o744, false), Some(5));
    assert_eq!(permission(0o600, true), Some(5));
}
