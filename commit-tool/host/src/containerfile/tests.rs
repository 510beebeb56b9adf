use osderive_lints::{Container, StepRequest};

use super::*;
use crate::rewrite::ShellReach;

fn build(text: &str, target: Option<&str>) -> Build {
    let file = Containerfile::parse("Containerfile", text.as_bytes()).expect("a file");
    Build::of(file, target, &|_| None, None).expect("a stage")
}

fn text(text: &str, target: Option<&str>) -> String {
    build(text, target).text(None, &commit(), &asked(), None)
}

fn asked() -> BuildArgument {
    BuildArgument::parse("a1").expect("a value")
}

fn commit() -> EndRequest {
    EndRequest {
        base: "/base".to_owned(),
        report: "/out".to_owned(),
        ..EndRequest::default()
    }
}

const END: &str = "RUN --mount=type=bind,from=osderive-base,target=/dev/.osderive-base [\"/dev/.osderive/ostree-container\",\"commit\",\"--base\",\"/base\",\"--report\",\"/out\"]\n";

#[test]
fn the_stages_of_the_image_ask_and_builder_stages_stay() {
    let given = "\
# syntax=osderive
ARG BASE=os
FROM --platform=$P \\
  ${BASE} AS lower
RUN one
FROM alpine AS tools
RUN make
# about the image
FROM lower
COPY --from=tools /x /x
CMD a";
    let expected = format!(
        "\
# syntax=osderive
ARG BASE=os
FROM --platform=$P \\
  ${{BASE}} AS lower
ARG OSDERIVE
RUN one
FROM alpine AS tools
RUN make
# about the image
FROM --platform=$P ${{BASE}} AS osderive-base
FROM lower
ARG OSDERIVE
COPY --from=tools /x /x
CMD a
{END}"
    );
    assert_eq!(text(given, None), expected);
    let build = build(given, None);
    assert_eq!(build.target(), None);
    assert_eq!(build.runs().len(), 1);
}

#[test]
fn a_stage_that_is_not_the_last_is_ended_where_it_ends() {
    let given = "FROM os AS a\nRUN <<E\nFROM x\nE\n\nFROM a AS b\nRUN two\n";
    let expected = format!(
        "FROM os AS osderive-base\nFROM os AS a\nARG OSDERIVE\nRUN <<E\nFROM x\nE\n{END}\nFROM a AS b\nRUN two\n"
    );
    assert_eq!(text(given, Some("a")), expected);
    assert_eq!(build(given, Some("0")).target().as_deref(), Some("1"));
}

#[test]
fn the_user_of_the_image_is_the_same_after_the_commit() {
    let given = "FROM os AS a\nUSER one\nFROM a\nRUN x\nFROM a AS b\nUSER two:adm\nCMD c\n";
    let expected = format!("CMD c\nUSER 0\n{END}USER two:adm\n");
    assert!(
        text(given, None).ends_with(&expected),
        "{}",
        text(given, None)
    );
    let history = build(given, None).history(None);
    assert_eq!(history.iter().filter(|one| one.is_none()).count(), 5);
    let of_root = text("FROM os\nUSER one\nRUN x\nUSER root\nRUN y\n", None);
    assert!(of_root.ends_with(&format!("RUN y\n{END}")), "{of_root}");
    // It may be that the image has no such user.
    let unknown = text("FROM scratch\nUSER root\n", None);
    assert!(
        unknown.ends_with(&format!("USER 0\n{END}USER root\n")),
        "{unknown}"
    );
    let of_variable = text("FROM os\nENV U=a\nUSER $U\nENV U=b\n", None);
    assert!(
        of_variable.ends_with(&format!("ENV U=b\n{END}")),
        "{of_variable}"
    );
    let lower = text(given, Some("1"));
    assert!(
        lower.contains(&format!("RUN x\nUSER 0\n{END}USER one\nFROM a AS b")),
        "{lower}"
    );
}

#[test]
fn the_commit_is_made_in_the_root_and_the_working_directory_comes_back() {
    let given = "FROM os AS a\nWORKDIR /srv\nFROM a\nWORKDIR app\nUSER u\n";
    let expected = format!("WORKDIR /\nUSER 0\n{END}USER u\nWORKDIR /srv/app\n");
    assert!(
        text(given, None).ends_with(&expected),
        "{}",
        text(given, None)
    );
    let history = build(given, None).history(None);
    assert_eq!(
        history.iter().rev().take_while(|one| one.is_none()).count(),
        5
    );
    for unknown in ["WORKDIR app\n", "WORKDIR /\n", "WORKDIR /srv\nWORKDIR $A\n"] {
        let text = text(&format!("FROM os\n{unknown}"), None);
        assert!(text.ends_with(&format!("{unknown}{END}")), "{text}");
    }
}

#[test]
fn the_runs_of_a_stage_that_is_copied_whole_are_the_images() {
    let given =
        "FROM os AS a\nUSER one\nRUN x\nFROM scratch\nCOPY --from=a / /\nRUN y\nLABEL a=b\n";
    let expected = format!(
        "FROM os AS a\nENV OSDERIVE=\"a1&copied=1\"\nUSER one\nRUN x\nFROM os AS osderive-base\n\
         FROM scratch\nARG OSDERIVE\nCOPY --from=a / /\nRUN y\nLABEL a=b\n{END}"
    );
    assert_eq!(text(given, None), expected);
    let build = build(given, None);
    assert_eq!(build.runs().len(), 2);
    assert_eq!(build.copied_runs(), 1);
    assert_eq!(build.base_image(), Some("os"));
    let keywords = build.history(None).into_iter();
    let keywords: Vec<_> = keywords
        .map(|one| one.map_or_else(String::new, |one| one.keyword()))
        .collect();
    assert_eq!(keywords, ["", "COPY", "RUN", "LABEL", ""]);
    let configuring: Vec<_> = build.configuring().iter().map(|one| one.lines.0).collect();
    assert_eq!(configuring, [4, 5, 6, 7]);
    assert!(build.has((3, 3)) && build.has((7, 7)));
}

#[test]
fn the_first_from_may_be_of_another_image() {
    let given = "FROM --platform=p \\\n  os AS a\nRUN x\nFROM tools\nFROM a\n";
    let file = Containerfile::parse("Containerfile", given.as_bytes()).expect("a file");
    let build = Build::of(file, None, &|_| None, Some("other:1")).expect("a stage");
    assert_eq!(build.base_image(), Some("other:1"));
    let text = build.text(None, &commit(), &asked(), None);
    let expected = "FROM --platform=p other:1 AS a\nARG OSDERIVE\nRUN x\nFROM tools\nFROM --platform=p other:1 AS osderive-base\nFROM a\nARG OSDERIVE\n";
    assert_eq!(text, format!("{expected}{END}"));
}

#[test]
fn a_rewritten_file_has_nothing_but_its_runs_changed() {
    let given = "FROM os AS a\nUSER one\nRUN x \\\n  # why\n  y\nCOPY . /\nFROM tools\nRUN make\nFROM a\nRUN <<E\nz\nE\n";
    let build = build(given, None);
    let rewrite = Rewrite::of(
        &build.lineage,
        &Container::default(),
        &StepRequest::default(),
        "a1",
        ShellReach::Stage,
        &|_| None,
    );
    let rewrite = rewrite.expect("a rewritten file");
    let runs = &rewrite.runs;
    let end = rewrite.end(&commit(), BASE_STAGE).text;
    assert!(
        end.starts_with("USER 0\nRUN ") && end.ends_with("]\nUSER one\n"),
        "{end}"
    );
    assert_eq!(
        build.text(Some(&rewrite), &commit(), &asked(), None),
        format!(
            "FROM os AS a\nUSER one\n{}COPY . /\nFROM tools\nRUN make\nFROM os AS osderive-base\nFROM a\n{}{end}",
            runs[0].text, runs[1].text
        )
    );
    let history = build.history(Some(&rewrite)).into_iter();
    let history: Vec<_> = history.map(|one| one.map(|one| one.keyword())).collect();
    let run = [None, Some("RUN"), None];
    let expected = [Some("USER")]
        .into_iter()
        .chain(run)
        .chain([Some("COPY")])
        .chain(run);
    let expected = expected.chain([None, None, None]);
    assert_eq!(
        history,
        expected
            .map(|one| one.map(str::to_owned))
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_stage_beside_the_image_has_its_var_made_once() {
    let given = "FROM os AS a\nRUN x\nFROM a AS none\nCOPY f /\nFROM none AS b\nUSER u\nRUN <<E\ny\nE\nRUN z\nFROM b\nRUN w\nFROM other\nRUN v\nFROM a\nCOPY --from=b / /b\n";
    let made = text(given, None);
    let expected = "FROM none AS b\nUSER u\nENV OSDERIVE=\"a1&prepare\"\nRUN <<E\ny\nE\nENV OSDERIVE=\"\"\nRUN z\nFROM b\nRUN w\nFROM other\nRUN v\n";
    assert!(made.contains(expected), "{made}");
    assert_eq!(made.matches("prepare").count(), 1, "{made}");
    let before_any = "FROM os AS a\nCOPY f /\nFROM a AS b\nRUN y\nFROM a\nRUN x\n";
    assert!(!text(before_any, None).contains("prepare"));
}

#[test]
fn an_image_of_nothing_has_a_base_of_nothing() {
    let build = build("FROM scratch\nCOPY . /\n", None);
    assert!(build.is_from_scratch());
    let text = build.text(None, &commit(), &asked(), Some("7"));
    assert!(
        text.starts_with("FROM scratch AS osderive-base\nFROM scratch\nARG OSDERIVE\n"),
        "{text}"
    );
    assert!(
        text.contains("\nARG OSDERIVE_AGAIN=7\nRUN --mount"),
        "{text}"
    );
}

#[test]
fn a_syntax_line_says_what_is_wanted_if_it_is_ours() {
    let words = |text: &str| words_of_syntax(text).join(" ");
    assert_eq!(
        words("# escape=`\n#syntax = ghcr.io/me/osderive:1 --verbose --ids=a\nFROM x"),
        "--verbose --ids=a"
    );
    for other in [
        "# syntax=docker/dockerfile:1 --x",
        "FROM x\n# syntax=osderive --x",
        "# a\n# syntax=osderive --x",
    ] {
        assert_eq!(words(other), "", "{other}");
    }
}
