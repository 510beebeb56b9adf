use super::*;

const LIMITS: Limits = Limits {
    uids: Range {
        min: 1000,
        max: 60_000,
    },
    gids: Range {
        min: 1000,
        max: 60_000,
    },
};

fn lines(passwd: &[u8], group: &[u8]) -> Vec<String> {
    Accounts::new(passwd, group, LIMITS)
        .lines()
        .into_values()
        .collect()
}

#[test]
fn groups_come_before_users_and_those_before_members() {
    assert_eq!(
        lines(
            b"root:x:0:0:root:/root:/bin/sh\nweb:x:105:33:Web \"x\" 5%:/srv/w w:/sbin/nologin\nsh:x:106:0:::\n",
            b"root:x:0:\nwww:x:33:\nlogs:x:34:web,gone,root\n",
        ),
        [
            "g logs 34",
            "g www 33",
            "u sh 106:root - / /bin/sh",
            r#"u web 105:www "Web \"x\" 5%%" "/srv/w w" /sbin/nologin"#,
            "m root logs",
            "m web logs",
        ]
    );
}

#[test]
fn what_is_written_is_read_back() {
    let passwd = b"a:x:5:5:#A 'b' \\ \"c\" 100% %T\\:/a b\\:/bin/%%";
    let line = lines(passwd, b"a:x:5:").pop().expect("a line");
    let Some(Item::User(user)) = sysusers::parse(line.as_bytes())
        .lines
        .pop()
        .map(|line| line.item)
    else {
        panic!("a user")
    };
    assert_eq!(
        user.gecos.as_deref(),
        Some(&b"#A 'b' \\ \"c\" 100% %T\\"[..])
    );
    assert_eq!(user.home.as_deref(), Some(&b"/a b\\"[..]));
    assert_eq!(user.shell.as_deref(), Some(&b"/bin/%%"[..]));
}

#[test]
fn what_cannot_be_written_is_left_out_and_told() {
    let passwd = b"we.b:x:5:5:::\nbad:x:6:6:a\xff:rel:/bin/sh\r\nlost:x:7:99:::\nslash:x:8:6:::/x/";
    let group = b"we.b:x:5:\nbad:x:6:\n";
    assert_eq!(
        lines(passwd, group),
        ["g bad 6", "u bad 6:bad - - -", "u slash 8:bad - / -"]
    );
    let accounts = Accounts::new(passwd, group, LIMITS);
    let obstacles: Vec<_> = (accounts.users.iter())
        .map(|user| accounts.obstacles(user))
        .collect();
    assert_eq!(
        obstacles,
        [
            vec!["its name", "its primary group"],
            vec!["its comment", "its home", "its shell"],
            vec!["its primary group"],
            vec!["its shell"],
        ]
    );
}

#[test]
fn people_and_their_groups_are_left_to_the_machine() {
    let passwd = b"al:x:1000:1000::/home/al:/bin/sh\nsvc:x:1001:1001::/:/usr/sbin/nologin";
    let group = b"al:x:1000:\nsvc:x:1001:al,svc\nextra:x:1002:";
    assert_eq!(
        lines(passwd, group),
        [
            "g extra 1002",
            "g svc 1001",
            "u svc 1001:svc - / /usr/sbin/nologin",
            "m svc svc"
        ]
    );
}

/// Debian's glance logs in, with an id that it has for good.
#[test]
fn ids_above_those_of_people_are_services() {
    let passwd =
        b"glance:x:64062:64062::/var/lib/glance:/bin/sh\nal:x:60000:60000::/home/al:/bin/sh";
    let group = b"glance:x:64062:\nal:x:60000:";
    assert_eq!(
        lines(passwd, group),
        [
            "g glance 64062",
            "u glance 64062:glance - /var/lib/glance /bin/sh"
        ]
    );
}

#[test]
fn a_declaration_pins_equals_or_neither() {
    let passwd = b"a:x:5:6:A:/:/usr/sbin/nologin";
    let accounts = Accounts::new(passwd, b"a:x:6:\nb:x:5:", LIMITS);
    let check = |file: &str| {
        let declared = Declarations::of([file.as_bytes()]);
        let key = Key::User(b"a");
        (
            declared.pins(key, &accounts),
            declared.equals(key, &accounts),
        )
    };
    assert_eq!(check("u a 5:6 A"), (true, true));
    assert_eq!(check("u a 5:a"), (true, false));
    // b has 5 as gid, so systemd would take another uid.
    assert_eq!(check("g a 6\nu a 5 A"), (false, false));
    assert_eq!(check("u a -"), (false, false));
    assert_eq!(check("u a - \nu a 5:6 A"), (false, false));
}

#[test]
fn limits_come_from_login_defs() {
    let limits = Limits::parse(b"# UID_MIN 5\nUID_MIN\t\t  500\nUID_MINX 7\nGID_MIN x\nGID_MAX 9");
    let of = |range: Range| (range.min, range.max);
    assert_eq!(
        (of(limits.uids), of(limits.gids)),
        ((500, 60_000), (1000, 9))
    );
}
