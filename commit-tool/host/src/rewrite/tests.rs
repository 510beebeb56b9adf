use osderive_lints::policy::Containerfile;

use super::*;

fn rewrite(text: &str, base: &Container) -> Result<Rewrite, Unwritable> {
    rewrite_with(text, base, ShellReach::Stage)
}

fn rewrite_with(text: &str, base: &Container, reach: ShellReach) -> Result<Rewrite, Unwritable> {
    let file = Containerfile::parse("Containerfile", text.as_bytes()).expect("a file");
    let given = |name: &str| (name == "GIVEN").then(|| "svc".to_owned());
    let all = file.instructions.iter();
    let lineage = Lineage {
        steps: all
            .map(|one| match one.keyword().as_str() {
                "FROM" => Step::From,
                _ => Step::Instruction(one.clone()),
            })
            .collect(),
        beside: Vec::new(),
        arguments: file.arguments(&given),
    };
    let step = StepRequest::default();
    Rewrite::of(&lineage, base, &step, "a1", reach, &given)
}

fn runs(text: &str) -> Vec<String> {
    let rewrite = rewrite(text, &Container::default()).expect("a rewritten file");
    rewrite.runs.into_iter().map(|run| run.text).collect()
}

const BEGIN: &str = "RUN --mount=type=bind,from=osderive-a1,target=/run/.osderive,z \
    --mount=type=cache,from=osderive-reports,target=/run/.osderive-out,z ";

#[test]
fn the_tool_stands_before_each_command() {
    let found = runs(
        "FROM os\nRUN --network=none a \"b\"\nSHELL [\"/bin/bash\",\"-ec\"]\nRUN c\nFROM x\nRUN [\"d\"]\nRUN e",
    );
    let expected = [
        ("0000", "--network=none ", r#""/bin/sh","-c","a \"b\"""#),
        ("0001", "", r#""/bin/bash","-ec","c""#),
        ("0002", "", r#""d""#),
        ("0003", "", r#""/bin/sh","-c","e""#),
    ];
    let expected = expected.map(|(number, flags, command)| {
        format!("{BEGIN}{flags}[\"/run/.osderive/ostree-container\",\"step\",\"--report\",\"/run/.osderive-out/{number}/out\",\"--\",{command}]\n")
    });
    assert_eq!(found, expected);
}

#[test]
fn a_user_gets_its_working_directory() {
    let text = "FROM a\nARG D=src\nWORKDIR /home/app\nRUN x\nUSER app\nWORKDIR $D\nRUN y\nENV Q=\"a b\"\nWORKDIR $Q\nRUN z\n";
    let runs = runs(text);
    assert!(
        !runs[0].contains("workdir") && !runs[0].contains("WORKDIR"),
        "{runs:?}"
    );
    assert!(
        runs[1].starts_with("WORKDIR /\nUSER 0\nRUN ")
            && runs[1].ends_with("\"y\"]\nUSER app\nWORKDIR /home/app/src\n"),
        "{runs:?}"
    );
    assert!(
        runs[1].contains("\"--user\",\"app\",\"--workdir\",\"/home/app/src\""),
        "{runs:?}"
    );
    assert!(
        runs[2].starts_with("USER 0\nRUN ") && !runs[2].contains("workdir"),
        "{runs:?}"
    );
}

#[test]
fn a_run_beside_the_image_is_only_prepared() {
    let text = "FROM os AS a\nRUN x\nFROM a AS b\nUSER u\nRUN y\nRUN z\nFROM a\nRUN w\n";
    let file = Containerfile::parse("Containerfile", text.as_bytes()).expect("a file");
    let stages = file.stages(&|_| None);
    let lineage = Lineage::of(&stages, &[0, 2], BTreeMap::new());
    let step = StepRequest::default();
    let reach = ShellReach::Stage;
    let rewrite = Rewrite::of(&lineage, &Container::default(), &step, "a1", reach, &|_| {
        None
    });
    let beside = rewrite.expect("a rewritten file").beside;
    let [one] = beside.as_slice() else {
        panic!("{beside:?}");
    };
    let expected =
        "\"step\",\"--user\",\"u\",\"--prepare\",\"--\",\"/bin/sh\",\"-c\",\"y\"]\nUSER u\n";
    assert!(
        one.text.starts_with("USER 0\nRUN ") && one.text.ends_with(expected),
        "{one:?}"
    );
}

#[test]
fn a_copy_of_a_stage_has_nothing_of_its_configuration() {
    let text = "FROM os AS a\nENV A=b HOME=/h\nUSER u\nWORKDIR /srv\nRUN x\nFROM scratch\nCOPY --from=a / /\nUSER ${A:-c}\nRUN y\n";
    let file = Containerfile::parse("Containerfile", text.as_bytes()).expect("a file");
    let lineage = Lineage::of(&file.stages(&|_| None), &[0, 1], BTreeMap::new());
    let step = StepRequest::default();
    let base = Container::default();
    let rewrite = Rewrite::of(&lineage, &base, &step, "a1", ShellReach::Image, &|_| None);
    let rewrite = rewrite.expect("a rewritten file");
    let [below, above] = rewrite.runs.as_slice() else {
        panic!("{rewrite:?}");
    };
    assert!(below.text.ends_with("USER u\nWORKDIR /srv\n"), "{below:?}");
    assert!(above.text.starts_with("USER 0\nRUN "), "{above:?}");
    assert!(
        above.text.contains("\"--user\",\"c\",\"--report\""),
        "{above:?}"
    );
    assert!(above.text.ends_with("\nUSER c\n"), "{above:?}");
    assert_eq!(
        (rewrite.user.as_deref(), rewrite.directory),
        (Some("c"), None)
    );
}

#[test]
fn a_shell_counts_as_far_as_the_engine_keeps_it() {
    let text = "FROM os\nSHELL [\"/bin/bash\",\"-c\"]\nRUN a\nFROM x\nRUN b\n";
    let with_bash = |reach| {
        let rewrite = rewrite_with(text, &Container::default(), reach);
        let runs = rewrite.expect("a rewritten file").runs.into_iter();
        runs.map(|run| run.text.contains("/bin/bash"))
            .collect::<Vec<_>>()
    };
    assert_eq!(with_bash(ShellReach::Nowhere), [false, false]);
    assert_eq!(with_bash(ShellReach::Stage), [true, false]);
    assert_eq!(with_bash(ShellReach::Image), [true, true]);
}

#[test]
fn the_user_of_a_command_is_known_and_comes_back() {
    let user = |text: &str, base: &Container| {
        let rewrite = rewrite(&format!("{text}\nRUN x"), base).expect("a rewritten file");
        let text = &rewrite.runs.last().expect("a RUN").text;
        let lines: Vec<&str> = text.lines().collect();
        match lines[..] {
            [_] => {
                assert!(!text.contains("--user"), "{text}");
                None
            }
            ["USER 0", run, back] => {
                let name = back.strip_prefix("USER ").expect("a USER").to_owned();
                assert!(run.contains(&format!("\"--user\",\"{name}\"")), "{run}");
                Some((name, run.contains("--keep-home")))
            }
            _ => panic!("{text}"),
        }
    };
    let none = Container::default();
    let is = |name: &str, keeps_home| Some((name.to_owned(), keeps_home));
    assert_eq!(user("FROM os", &none), None);
    assert_eq!(user("FROM os\nUSER a\nUSER root:root", &none), None);
    assert_eq!(user("FROM os\nUSER a:b\nFROM c", &none), is("a:b", false));
    assert_eq!(
        user("FROM os\nENV HOME=/h A=b\nUSER $A", &none),
        is("b", true)
    );
    assert_eq!(
        user("FROM os\nENV A b\nUSER ${A}:7", &none),
        is("b:7", false)
    );
    assert_eq!(
        user("ARG A=b\nFROM os\nARG A\nUSER $A", &none),
        is("b", false)
    );
    assert_eq!(
        user("FROM os\nARG GIVEN=b\nUSER $GIVEN", &none),
        is("svc", false)
    );
    assert_eq!(
        user("FROM os\nARG A=b\nFROM c\nUSER ${A:-d}", &none),
        is("d", false)
    );
    let base = Container {
        user: "svc".to_owned(),
        env: vec!["HOME=/h".to_owned(), "A=b".to_owned()],
        ..Container::default()
    };
    assert_eq!(user("FROM os", &base), is("svc", true));
    assert_eq!(user("FROM os\nUSER $A", &base), is("b", true));
    let error = rewrite("FROM os\nENV A='b c'\nUSER $A\nRUN x", &none).expect_err("an error");
    assert_eq!(error.line, 3);
}
