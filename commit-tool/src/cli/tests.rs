use clap::CommandFactory as _;
use osderive_lints::{EndRequest, PathSettings, StepRequest, StepUser};
use proptest::prelude::*;

use super::*;

fn parse(words: &[&str]) -> Cli {
    Cli::try_parse_from(words).expect("parses")
}

#[test]
fn the_command_line_is_consistent() {
    Cli::<Verb>::command().debug_assert();
    Cli::<StepAlone>::command().debug_assert();
}

#[test]
fn ostree_finds_the_commit_with_its_own_words_and_flags() {
    let cli = parse(&["ostree-container", "-v", "container", "commit"]);
    assert!(cli.verbose);
    assert!(matches!(
        cli.verb,
        Verb::Container(ContainerVerb::Commit(_))
    ));
}

#[test]
fn ostree_and_habits_find_the_lint() {
    let words = [
        "ostree-container",
        "container",
        "lint",
        "--fatal-warnings",
        "--rootfs",
        "/mnt",
    ];
    let Verb::Container(ContainerVerb::Lint(args)) = parse(&words).verb else {
        panic!("a lint")
    };
    assert!(args.fatal_warnings && args.rootfs == Some("/mnt".into()));
}

#[test]
fn nothing_that_many_have_is_left_to_a_first_start() {
    let given = |path| <Cli>::try_parse_from(["ostree-container", "commit", "--first-start", path]);
    assert!(given("/var/lib/acme").is_ok());
    for all in [
        "/",
        "/var",
        "/var/lib",
        "/var/lib/",
        "var/lib/acme",
        "/var/lib/../lib",
        "/etc/a/b",
    ] {
        assert!(given(all).is_err(), "{all}");
    }
}

#[test]
fn a_step_passes_its_command_through_flags_and_all() {
    let cli = parse(&[
        "ostree-container",
        "step",
        "--user",
        "a:b",
        "--",
        "sh",
        "-v",
        "--user",
    ]);
    let Verb::Step(step) = cli.verb else {
        panic!("a step")
    };
    assert_eq!(step.command, ["sh", "-v", "--user"]);
    assert!(!cli.verbose);
}

fn text(paths: &[PathBuf]) -> Vec<String> {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect()
}

fn settings(args: &PathArgs) -> PathSettings {
    PathSettings {
        first_start: text(&args.first_start),
        writable: text(&args.writable),
        read_only: text(&args.read_only),
    }
}

fn path(path: Option<&PathBuf>) -> Option<String> {
    path.map(|path| path.display().to_string())
}

fn any_settings() -> impl Strategy<Value = PathSettings> {
    let paths = |top: &'static str| {
        prop::collection::vec("[a-z -]{1,8}", 0..3).prop_map(move |names| {
            names
                .into_iter()
                .map(|name| format!("{top}/{name}"))
                .collect::<Vec<_>>()
        })
    };
    let all = (paths("/var/lib/a"), paths("/opt/-"), paths("/usr/local/a"));
    all.prop_map(|(first_start, writable, read_only)| PathSettings {
        first_start,
        writable,
        read_only,
    })
}

fn any_ordinary() -> impl Strategy<Value = Ordinary> {
    prop::sample::select(vec![Ordinary::Refuse, Ordinary::Leave, Ordinary::Commit])
}

proptest! {
    #[test]
    fn what_a_frontend_asks_of_a_step_is_what_the_tool_reads(
        ordinary in any_ordinary(), prepare: bool, verbose: bool,
        user in prop::option::of(("[a-z0-9:]{1,8}", any::<bool>(), prop::collection::vec(any::<u32>(), 0..3), prop::option::of("/[a-z ]{0,9}"))),
        ids in prop::option::of(prop::sample::select(vec!["", "u a 1", "u a 1\ng b 2"])),
        paths in any_settings(),
    ) {
        let whole = !prepare;
        let ids = ids.filter(|_| whole);
        let request = StepRequest {
            ordinary,
            prepare,
            verbose,
            user: user.map(|(name, keep_home, groups, directory)| StepUser { name, keep_home, groups, directory }),
            ids: ids.map(|lines| Ledger::parse(lines.as_bytes()).expect("a ledger")),
            report: whole.then(|| "/out".to_owned()),
            paths,
        };
        let words = request.to_args().into_iter().chain(["sh".to_owned(), "-v".to_owned()]);
        let words = std::iter::once("ostree-container".to_owned()).chain(words);
        let Cli { verbose, verb } = Cli::<StepAlone>::try_parse_from(words).expect("parses");
        let StepAlone::Step(args) = verb;
        prop_assert_eq!(&args.command, &["sh", "-v"]);
        let read = StepRequest {
            ordinary: args.root.ordinary(),
            prepare: args.prepare,
            verbose,
            user: args.user.as_ref().map(|name| StepUser {
                name: name.to_string_lossy().into_owned(),
                keep_home: args.keep_home,
                groups: args.groups.clone(),
                directory: path(args.workdir.as_ref()),
            }),
            ids: args.ids.clone(),
            report: path(args.report.as_ref()),
            paths: settings(&args.opt),
        };
        prop_assert_eq!(read, request);
    }

    #[test]
    fn what_a_frontend_asks_at_the_end_is_what_the_tool_reads(
        ordinary in any_ordinary(), verbose: bool, check_base: bool, altfiles: bool, paths in any_settings(),
    ) {
        let request = EndRequest {
            ordinary,
            verbose,
            base: "/base".to_owned(),
            report: "/out".to_owned(),
            check_base,
            altfiles,
            paths,
        };
        let words = std::iter::once("ostree-container".to_owned()).chain(request.to_args());
        let Cli { verbose, verb } = Cli::<Verb>::try_parse_from(words).expect("parses");
        let Verb::Commit(args) = verb else { panic!("a commit") };
        let read = EndRequest {
            ordinary: args.end.root.ordinary(),
            verbose,
            base: path(args.end.base.as_ref()).expect("a base"),
            report: path(args.end.report.as_ref()).expect("a directory"),
            check_base: args.end.check_base,
            altfiles: args.altfiles,
            paths: settings(&args.opt),
        };
        prop_assert_eq!(read, request);
    }
}

#[test]
fn a_step_is_read_alone_as_among_all_commands() {
    for words in [
        &[
            "ostree-container",
            "step",
            "-v",
            "--ids",
            "u a 1",
            "--",
            "a",
        ][..],
        &["ostree-container", "step", "--keep-home", "--", "-v"],
    ] {
        let alone = Cli::<StepAlone>::try_parse_from(words).expect("parses");
        let StepAlone::Step(args) = alone.verb;
        let all = parse(words);
        assert_eq!(alone.verbose, all.verbose);
        assert_eq!(format!("{:?}", Verb::Step(args)), format!("{:?}", all.verb));
    }
    for wrong in [&["step"][..], &["step", "--no-such", "--", "a"]] {
        let words = || ["ostree-container"].iter().chain(wrong);
        let alone = Cli::<StepAlone>::try_parse_from(words()).expect_err("fails");
        let all = <Cli>::try_parse_from(words()).expect_err("fails");
        assert_eq!(alone.to_string(), all.to_string());
    }
}
