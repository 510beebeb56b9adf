use super::*;

fn snippet(directory: usize, name: &str, content: &str) -> Snippet {
    Snippet {
        directory,
        name: name.into(),
        content: content.into(),
    }
}

fn one(text: &str) -> Line {
    let config = Config::read(&[snippet(3, "a.conf", text)]);
    assert_eq!(config.problems, []);
    config.lines.into_iter().next().expect("a line")
}

fn problem(text: &str) -> &'static str {
    let config = Config::read(&[snippet(3, "a.conf", text)]);
    config.problems.first().expect("a problem").reason
}

#[test]
fn every_field_is_read() {
    let line = one("\n# comment\nd!- /var/./lib//x/ :~2755 daemon 42 10d what  ever \n");
    assert_eq!((line.kind, line.modifiers.as_slice()), (b'd', &b"!-"[..]));
    assert_eq!(line.path, b"/var/lib/x");
    let mode = line.mode.expect("a mode");
    assert_eq!(
        (mode.bits, mode.masked, mode.only_created),
        (0o2755, true, true)
    );
    assert_eq!(line.user, Some(Owner::Name(b"daemon".to_vec())));
    assert_eq!(line.group, Some(Owner::Id(42)));
    assert_eq!(line.age.as_deref(), Some(&b"10d"[..]));
    assert_eq!(line.argument.as_deref(), Some(&b"what  ever"[..]));
    assert_eq!((line.file.as_slice(), line.number), (&b"a.conf"[..], 3));
}

#[test]
fn fields_may_be_missing_or_a_dash() {
    for text in ["d /var/x", "d /var/x - - - - -", "d\t/var/x -"] {
        let line = one(text);
        assert_eq!((line.mode, line.user, line.group), (None, None, None));
        assert_eq!((line.age, line.argument), (None, None));
    }
}

#[test]
fn quotes_and_escapes_are_undone_in_fields_and_only_escapes_in_arguments() {
    assert_eq!(one(r#"d "/var/a b\"\\'""#).path, br#"/var/a b"\'"#);
    assert_eq!(one(r"d /var/'a b'c\x20d").path, b"/var/a bc d");
    let line = one(r#"L /var/l - - - - "to\x20\n%%""#);
    assert_eq!(line.argument.expect("one"), b"\"to \n%\"");
}

#[test]
fn specifiers_of_every_machine_are_resolved_and_others_are_told() {
    assert_eq!(one("d %S/x%%").path, b"/var/lib/x%");
    assert_eq!(one("d /x%-%").path, b"/x%-%");
    assert!(problem("d /var/log/journal/%m").contains("running machine"));
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_is_read() {
    for (text, reason) in [
        ("y /var/x", "has an unknown type"),
        ("d* /var/x", "has an unknown modifier"),
        ("d", "has no path"),
        ("d var/x", "has no absolute path"),
        ("d /var/../etc", "has a path with .."),
        ("d /var/x 8", "has no valid mode"),
        ("d /var/x 17777", "has no valid mode"),
        ("d /var/x - 65535", "has an invalid owner"),
        ("d /var/x - :-", "has an invalid owner"),
        ("d /var/x - - ::x", "has an invalid owner"),
        ("d \"/var/x", "has a quote without its end"),
        ("d /var/x\\", "ends in a backslash"),
        ("; no comment", "has an unknown type"),
        ("d!! /var/x", "has an unknown modifier"),
        ("d? /var/x", "has a modifier that does not go with its type"),
        ("L~ /var/x", "has a modifier that does not go with its type"),
        ("d /var/x - - - soon", "has no valid age"),
        ("a+ /var/x", "has no argument"),
        ("f^ /var/x", "has no name of a credential"),
        ("f^ /var/x - - - - a:b", "has no valid name of a credential"),
        ("C /var/x - - - - x", "has a source that is not absolute"),
        // That only a machine knows the path is no reason not to tell.
        ("z /var/%m 9", "has no valid mode"),
        ("z %m", "has no absolute path"),
    ] {
        assert_eq!(problem(text), reason, "{text}");
    }
    let config = Config::read(&[snippet(3, "a.conf", "nonsense\nd /var/x")]);
    assert_eq!((config.lines.len(), config.problems.len()), (1, 1));
    let long = format!("d /{}", "x".repeat(MAX_PATH));
    assert_eq!(problem(&long), "has a path that is too long");
}

#[test]
fn ages_are_time_spans() {
    for age in [
        "0",
        "10d",
        "1w2d",
        "1 h",
        "1.5min",
        ".5s",
        "infinity",
        "~3d",
        "aB:1y",
        "~m:4weeks",
    ] {
        one(&format!("d /var/x - - - '{age}'"));
    }
    for age in [
        "d",
        "1x",
        "z:1d",
        ":1d",
        "a:",
        "1d-",
        "-1d",
        "1.2.3s",
        "99999999999999999999s",
    ] {
        let reason = problem(&format!("d /var/x - - - {age}"));
        assert_eq!(reason, "has no valid age", "{age}");
    }
}

#[test]
fn lines_end_as_systemd_ends_them() {
    let config = Config::read(&[snippet(3, "a.conf", "d /a\r\nd /b\rd /c\0d /d")]);
    let numbers: Vec<_> = config.lines.iter().map(|line| line.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
}

#[test]
fn files_are_read_by_name_and_replaced_and_masked_by_name() {
    let config = Config::read(&[
        snippet(3, "b.conf", "d /var/b"),
        snippet(3, "a.conf", "d /var/hidden"),
        snippet(0, "a.conf", "d /var/a"),
        snippet(0, "c.conf", ""),
        snippet(3, "c.conf", "d /var/masked"),
        snippet(0, "not-read", "d /var/x"),
    ]);
    let paths: Vec<&[u8]> = config.lines.iter().map(|line| &line.path[..]).collect();
    assert_eq!(paths, [b"/var/a", b"/var/b"]);
}

#[test]
fn the_first_line_of_a_path_counts() {
    let config = Config::read(&[
        snippet(3, "b.conf", "C /var/x\nd /var\nz /var/x 700"),
        snippet(3, "a.conf", "d /var/x 700"),
    ]);
    let kinds: Vec<_> = config
        .makers(|_| true)
        .iter()
        .map(|line| (&line.path[..], line.kind))
        .collect();
    assert_eq!(kinds, [(&b"/var"[..], b'd'), (&b"/var/x"[..], b'd')]);
}

#[test]
fn a_masked_mode_gives_no_more_than_there_was() {
    let mode = |masked| Mode {
        bits: 0o7777,
        masked,
        only_created: false,
    };
    assert_eq!(mode(false).applied_to(0o600, false), 0o7777);
    assert_eq!(mode(true).applied_to(0o600, false), 0o666);
    assert_eq!(mode(true).applied_to(0o555, true), 0o7555);
}

#[test]
fn what_is_written_is_read_back() {
    let names: [&[u8]; 9] = [
        b"plain",
        b"a b",
        b"\"",
        b"'",
        b"\\x20",
        b"100%",
        b" edge ",
        b"\xff\xfe",
        b"-",
    ];
    for name in names {
        let mut line = one("L /var/x 0750 daemon 7 - -");
        line.path = [b"/var/", name].concat();
        line.argument = Some(name.to_vec());
        let text = line.to_text().expect("text");
        let config = Config::read(&[Snippet {
            directory: 3,
            name: b"a.conf".to_vec(),
            content: text,
        }]);
        assert_eq!(config.lines, [line], "{name:?}");
    }
}

#[test]
fn every_field_of_any_type_is_read_back() {
    for text in [
        "d /var/x - 'a b' 'c%%' '1 d' back\\slash 100% \"q\"",
        "t /var/x - - - ~cm:1h user.a=\"\\x\"",
    ] {
        let line = one(text);
        let written = String::from_utf8(line.to_text().expect("text")).expect("text");
        assert_eq!(one(&written), line, "{written}");
    }
}

#[test]
fn a_line_break_can_stand_in_an_argument_but_not_in_a_path() {
    let mut line = one("L /var/x - - - - target");
    line.argument = Some(b"a\nb".to_vec());
    assert!(line.to_text().expect("text").ends_with(b" a\\x0ab\n"));
    line.path = b"/var/a\nb".to_vec();
    assert_eq!(line.to_text(), None);
}

#[test]
fn no_bytes_make_it_panic() {
    for first in 0..=255u8 {
        for second in [0, b'\\', b'"', b'%', b'x', b'u', 0xff] {
            let text = [b"d /", &[first, second, b'\\', b'x', first][..]].concat();
            let _ = parse_line(&text);
            let _ = parse_line(&[first, second]);
        }
    }
}
