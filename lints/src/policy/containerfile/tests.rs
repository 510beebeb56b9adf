use super::*;

const TEXT: &str = "\
# syntax=osderive
FROM base
# osderive: allow=import-special-file /usr/lib/a -- made by hand
RUN mkfifo /usr/lib/a && \\
    # osderive: allow=kernel -- none wanted

    true
COPY --chmod=755 <<\"EOF\" /usr/bin/x
RUN not an instruction
# osderive: not a comment
EOF
run /bin/true
";

fn parse(text: &str) -> Containerfile {
    Containerfile::parse("Containerfile", text.as_bytes()).expect("a Containerfile")
}

#[test]
fn instructions_have_their_lines() {
    let found = parse(TEXT).instructions.into_iter();
    let found: Vec<_> = found.map(|found| (found.text, found.lines)).collect();
    let expected = [
        ("FROM base", (2, 2)),
        ("RUN mkfifo /usr/lib/a && true", (4, 7)),
        ("COPY --chmod=755 <<\"EOF\" /usr/bin/x", (8, 11)),
        ("run /bin/true", (12, 12)),
    ];
    assert_eq!(
        found,
        expected.map(|(text, lines)| (text.to_owned(), lines))
    );
}

#[test]
fn an_instruction_is_known_as_an_engine_reads_it() {
    let text =
        " RUN  printf '%s\\n'  a \\ \n\n # not of it\n#nor this\n  'b  c'\\\n; true  \nRUN x\n";
    let found = parse(text).instructions;
    assert_eq!(found[0].line, "RUN  printf '%s\\n'  a   'b  c'; true  ");
    assert_eq!(found[1].line, "RUN x");
}

#[test]
fn suppressions_are_about_the_instruction_below_them() {
    let found = parse(TEXT).suppressions;
    assert_eq!(found.len(), 2);
    assert_eq!(
        found[0].path.as_ref().expect("a path").as_str(),
        "/usr/lib/a"
    );
    assert_eq!(
        (found[0].reason.as_str(), found[0].place.line),
        ("made by hand", 3)
    );
    assert_eq!(
        (found[1].rule.name, found[1].lines),
        ("kernel-count", Some((4, 7)))
    );
}

/// Where the file has what a layer's history calls its instruction.
fn lines_of(file: &Containerfile, instruction: &str) -> Option<(u32, u32)> {
    let mut origin = Origin {
        instruction: instruction.to_owned(),
        ..Origin::default()
    };
    file.locate(&mut origin);
    origin.lines
}

#[test]
fn a_layer_is_found_by_what_the_history_says() {
    let file = parse(TEXT);
    let lines = |instruction: &str| lines_of(&file, instruction);
    let expected = Some((4, 7));
    assert_eq!(
        lines("RUN /bin/sh -c mkfifo /usr/lib/a &&     true # buildkit"),
        expected
    );
    assert_eq!(
        lines("RUN |1 A=b /bin/sh -c mkfifo /usr/lib/a && true # buildkit"),
        expected
    );
    assert_eq!(lines("/bin/sh -c mkfifo /usr/lib/a &&     true"), expected);
    assert_eq!(lines("RUN something else"), None);
    // More build arguments than words, up to what a number holds (found by fuzzing).
    assert_eq!(lines(&format!("RUN |{} a", usize::MAX)), None);
    assert_eq!(lines(""), None);
}

#[test]
fn a_here_document_is_found_by_what_the_history_says() {
    let text = "FROM base\nRUN <<EOF\nset -e\n  touch /a\nEOF\n\
        RUN --network=none cat <<-A >/b && cat <<B\n\tone\n\tA\ntwo\nB\n\
        RUN <<PY\n#!/usr/bin/python3\nprint(1)\nPY\nRUN touch /c\n";
    let file = parse(text);
    let lines = |instruction: &str| lines_of(&file, instruction);
    let simple = "RUN /bin/sh -c set -e\n  touch /a\n # buildkit";
    assert_eq!(lines(simple), Some((2, 5)));
    let several = "RUN /bin/sh -c cat <<-A >/b && cat <<B\n\tone\nA\ntwo\nB # buildkit";
    assert_eq!(lines(several), Some((6, 10)));
    let script = "RUN /bin/sh -c /dev/pipes/PY # buildkit";
    assert_eq!(lines(script), Some((11, 14)));
    assert_eq!(lines("RUN /bin/sh -c touch /c # buildkit"), Some((15, 15)));
    assert_eq!(lines("RUN /bin/sh -c set -e # buildkit"), None);
}

#[test]
fn a_script_is_not_told_from_another_one_of_its_name() {
    let script = "RUN <<PY\n#!/usr/bin/python3\nPY\n";
    let file = parse(&format!("FROM base\n{script}{script}"));
    let mut origin = Origin {
        instruction: "RUN /bin/sh -c /dev/pipes/PY # buildkit".to_owned(),
        ..Origin::default()
    };
    file.locate(&mut origin);
    assert_eq!(origin.lines, None);
}

#[test]
fn all_suppressions_that_are_wrong_are_told() {
    let text = "# osderive: allow=kernel\nFROM a\n# osderive: allow=var-log -- x\n# osderive: no\n";
    let (file, errors) = Containerfile::read("Containerfile", text.as_bytes());
    assert_eq!((file.suppressions.len(), errors.len()), (1, 2));
    assert_eq!((errors[0].line(), errors[1].line()), (1, 4));
}

#[test]
fn a_wrong_suppression_is_shown_in_its_place() {
    let shown: Vec<String> = [
        "# osderive: allow=kernel\nFROM a\n",
        "FROM a\n  # osderive: allow=kernels -- because\n",
        "# osderive: allow=kernel usr/lib -- because\n",
        "# osderive: ignore kernel\n",
    ]
    .iter()
    .map(|text| {
        let parsed = Containerfile::parse("Containerfile", text.as_bytes());
        parsed.expect_err("an error").render(false)
    })
    .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read(content in proptest::collection::vec(0_u8..128, 0..200)) {
        let _ = Containerfile::parse("Containerfile", &content);
    }
}

#[test]
fn a_document_begins_where_engines_begin_one() {
    for (line, ends) in [
        ("RUN cat <<END-1 >/x", &["END-1"][..]),
        ("RUN cat <<'my end'", &["my end"]),
        ("RUN cat 3<<-\"A\" <<B\\ C", &["A", "B C"]),
        ("ONBUILD run <<A", &["A"]),
        ("COPY --chmod=755 <<a.sh /x", &["a.sh"]),
        ("RUN echo \"a <<E b\"", &[]),
        ("RUN echo 'it <<E' <<E", &["E"]),
        ("RUN echo $((1<<2)) <<<word << E", &[]),
        ("RUN --network=none [\"cat\", \"<<E\"]", &[]),
        ("CMD <<E", &[]),
    ] {
        let file = parse(&format!("FROM base\n{line}\nx\n"));
        let documents = &file.instructions[1].documents;
        let found: Vec<_> = documents
            .iter()
            .map(|document| document.end.as_str())
            .collect();
        assert_eq!(found, ends, "{line}");
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_file() {
    let file = parse("\u{feff}FROM base\nRUN a\n");
    assert_eq!(file.instructions[0].keyword(), "FROM");
    assert_eq!(file.instructions[1].lines, (2, 2));
}
