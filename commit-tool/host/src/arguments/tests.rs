use super::*;

fn read(engine: Engine, line: &str) -> Arguments {
    let words = line.split(' ').map(OsString::from).collect();
    Arguments::read(engine, words).expect("a build")
}

#[test]
fn options_are_read_in_every_form() {
    let line = "--root /r build -qt one --tag=two -f=a.in -fb --build-arg A=1 --build-arg=A=2 --layers=false --pull .";
    let arguments = read(Engine::Podman, line);
    let values = |name| arguments.values(name).collect::<Vec<_>>();
    assert_eq!(values("tag"), ["one", "two"]);
    assert_eq!(values("file"), ["a.in", "b"]);
    assert_eq!(arguments.build_argument("A").as_deref(), Some("2"));
    assert_eq!(arguments.value("root"), Some("/r".as_ref()));
    assert!(arguments.is_on("q") && arguments.is_on("pull") && !arguments.is_on("layers"));
    assert_eq!(arguments.positional(), ["."]);
    let given = arguments.with(&["layers"], |_| false, Vec::new(), ".".into());
    let expected =
        "--root /r build -q -t one --tag=two -f a.in -f b --build-arg A=1 --build-arg=A=2 --pull .";
    assert_eq!(given.join(" ".as_ref()), expected);
}

#[test]
fn what_this_command_does_is_left_out_and_the_rest_stays_in_its_order() {
    let arguments = read(
        Engine::Buildah,
        "--runtime crun bud -t x --runtime runc --build-arg A=1 --build-arg=A --label a --build-arg=B ctx",
    );
    let with = arguments.with(
        &["tag", "runtime"],
        |name| name == "A",
        vec!["-f".into(), "F".into()],
        "/c".into(),
    );
    assert_eq!(
        with,
        ["bud", "--label", "a", "--build-arg=B", "-f", "F", "/c"]
    );
    assert_eq!(arguments.value("runtime"), Some("runc".as_ref()));
    assert_eq!(arguments.global(), [""; 0]);
}

#[test]
fn each_of_several_platforms_has_a_command_line() {
    let one = read(
        Engine::Podman,
        "build --platform=linux/arm64/v8 --build-arg TARGETOS=x .",
    );
    assert_eq!(one.by_platform().len(), 1);
    let argument = |name| one.build_argument(name);
    assert_eq!(argument("TARGETARCH").as_deref(), Some("arm64"));
    assert_eq!(argument("TARGETVARIANT").as_deref(), Some("v8"));
    assert_eq!(argument("TARGETOS").as_deref(), Some("x"));
    let line = "build --platform a/b,a/c -q --platform=a/b,a/d .";
    let each = read(Engine::Buildah, line).by_platform().into_iter();
    let each = each.map(|one| one.with(&[], |_| false, Vec::new(), ".".into()));
    let expected = ["b", "c", "d"].map(|name| format!("build -q --platform=a/{name} ."));
    let each: Vec<_> = each.map(|words| words.join(" ".as_ref())).collect();
    assert_eq!(each, expected.map(OsString::from));
}

#[test]
fn a_build_is_told_from_other_commands() {
    assert_eq!(
        read(Engine::Podman, "image build .").verb,
        ["image", "build"]
    );
    for (engine, line) in [
        (Engine::Podman, "run build"),
        (Engine::Podman, "images"),
        (Engine::Podman, "--root"),
        (Engine::Buildah, "from build"),
    ] {
        let words = line.split(' ').map(OsString::from).collect();
        assert!(Arguments::read(engine, words).is_err(), "{line}");
    }
}

#[test]
fn behind_two_dashes_nothing_is_an_option() {
    let arguments = read(Engine::Podman, "build -- -f");
    assert_eq!(arguments.positional(), ["-f"]);
    assert_eq!(arguments.value("file"), None);
}
