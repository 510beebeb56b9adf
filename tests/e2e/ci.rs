//! The recipes for CI in `examples/ci`: their scripts run as a runner would run them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use osderive_tests::product::{self, Profile};
use osderive_tests::scenario::Scenario;
use serde_json::Value;

use crate::Setup;
use crate::host::{Built, command, load_bases, osderive, remove_image, run};

crate::tests![
    the_github_action_builds_and_reports: OwnCache,
    recipes_without_privileges_build_and_report: OwnCache,
];

/// A finding in line 2.
const KERNEL: &str = "\
FROM debian-ostree-base
COPY kernel /usr/lib/modules/9.9/
RUN touch /tmp/left
";

fn recipe(setup: &Setup, name: &str) -> PathBuf {
    setup.places.workspace().join("examples/ci").join(name)
}

/// The last document of a YAML file.
fn yaml(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap();
    let last = text.rsplit("\n---\n").next().unwrap();
    serde_saphyr::from_str(last).unwrap()
}

fn scenario<'a>(setup: &'a Setup, name: &str) -> Scenario<'a> {
    load_bases(setup);
    let scenario = setup.scenario(&format!("ci-{name}"), KERNEL);
    scenario.file("kernel/vmlinuz", "kernel").unwrap()
}

/// Runs a script with these variables.
fn script(
    setup: &Setup,
    scenario: &Scenario<'_>,
    text: &str,
    variables: &BTreeMap<String, String>,
) -> Built {
    let mut bash = command(setup, scenario, "bash");
    bash.args(["-c", text]).envs(variables);
    run(bash)
}

fn host_folder(setup: &Setup) -> String {
    osderive(&setup.places)
        .parent()
        .unwrap()
        .display()
        .to_string()
}

fn the_github_action_builds_and_reports(setup: &Setup) {
    let scenario = scenario(setup, "github");
    remove_image(setup, &scenario);
    let (image, tag) = (scenario.tag().to_owned(), "latest");
    let action = recipe(setup, "github/action.yml");
    let parsed = yaml(&action);
    let step = &parsed["runs"]["steps"][0];
    let input = |value: &Value| {
        let name = value.as_str().unwrap().trim_start_matches("${{ inputs.");
        let name = name.trim_end_matches(" }}");
        let default = parsed["inputs"][name]["default"]
            .as_str()
            .unwrap_or_default();
        match name {
            "image" => image.clone(),
            "extra-args" => "--network=host".to_owned(),
            "osderive" => host_folder(setup),
            _ => default.to_owned(),
        }
    };
    let variables = step["env"].as_object().unwrap().iter();
    let mut variables: BTreeMap<String, String> = variables
        .map(|(name, value)| (name.clone(), input(value)))
        .collect();
    let file = |name: &str| scenario.folder().join(name);
    for (name, path) in [
        ("GITHUB_ACTION_PATH", action.parent().unwrap().to_owned()),
        ("GITHUB_OUTPUT", file("github-output")),
        ("GITHUB_STEP_SUMMARY", file("github-summary")),
        ("RUNNER_TEMP", scenario.folder().to_owned()),
    ] {
        variables.insert(name.to_owned(), path.display().to_string());
    }
    let text = step["run"].as_str().unwrap();
    let log = script(setup, &scenario, text, &variables).expect(1);
    assert!(log.contains("::error "), "{log}");
    assert!(log.contains("file=Containerfile,line=2"), "{log}");
    let output = fs::read_to_string(file("github-output")).unwrap();
    assert!(
        output.contains(&format!("image={image}\ntags={tag}\n")),
        "{output}"
    );
    let sarif = output.lines().find_map(|line| line.strip_prefix("sarif="));
    let sarif: Value = serde_json::from_str(&fs::read_to_string(sarif.unwrap()).unwrap()).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert!(
        results
            .iter()
            .any(|found| found["ruleId"] == "kernel-count")
    );
    let summary = fs::read_to_string(file("github-summary")).unwrap();
    assert!(summary.contains("    error[kernel-count]"), "{summary}");

    variables.insert(
        "BUILD_ARGS".to_owned(),
        "OSDERIVE_FAIL_ON=never\n".to_owned(),
    );
    script(setup, &scenario, text, &variables).expect(0);
    let mut exists = command(setup, &scenario, "podman");
    exists.args(["image", "exists", &format!("{image}:{tag}")]);
    run(exists).expect(0);
}

/// What a runner puts in place of what a recipe names: `$[[ inputs.NAME ]]`, `$(params.NAME)`.
fn filled(text: &str, values: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (name, value) in values {
        text = text.replace(name, value);
    }
    text
}

fn recipes_without_privileges_build_and_report(setup: &Setup) {
    let scenario = scenario(setup, "plain");
    let host = host_folder(setup);
    // A store of its own for vfs, with the base image.
    let store = scenario.folder().with_extension("vfs");
    let storage = format!(
        "[storage]\ndriver = \"vfs\"\ngraphroot = \"{0}/graph\"\nrunroot = \"{0}/run\"\n",
        store.display()
    );
    let scenario = scenario.file("storage.conf", &storage).unwrap();
    let storage = scenario.folder().join("storage.conf").display().to_string();
    let isolation = ("BUILDAH_ISOLATION".to_owned(), "chroot".to_owned());
    let common = [isolation, ("CONTAINERS_STORAGE_CONF".to_owned(), storage)];
    let common = BTreeMap::from(common);
    let base = "set -e; mkdir -p image; podman image save --format=oci-dir --output=image/base debian-ostree-base
        export CONTAINERS_STORAGE_CONF=$PWD/storage.conf; id=$(buildah pull --quiet oci:image/base)
        buildah tag $id debian-ostree-base; rm -rf image";
    script(setup, &scenario, base, &BTreeMap::new()).expect(0);

    let gitlab = yaml(&recipe(setup, "gitlab/osderive.yml"));
    let job = &gitlab["build-bootable-image"];
    let values = [
        ("$[[ inputs.image ]]", "by-gitlab"),
        ("$[[ inputs.context ]]", "."),
        ("$[[ inputs.containerfile ]]", "Containerfile"),
        ("$[[ inputs.osderive ]]", host.as_str()),
    ];
    let mut variables = common.clone();
    for (name, value) in job["variables"].as_object().unwrap() {
        variables.insert(name.clone(), filled(value.as_str().unwrap(), &values));
    }
    let lines = job["script"].as_array().unwrap().iter();
    let lines: Vec<&str> = lines.map(|line| line.as_str().unwrap()).collect();
    let log = script(setup, &scenario, &lines.join("\n"), &variables).expect(1);
    assert!(log.contains("error[kernel-count]"), "{log}");
    let report = &job["artifacts"]["reports"]["junit"];
    let report = scenario.folder().join(report.as_str().unwrap());
    let report = fs::read_to_string(report).unwrap();
    assert!(report.contains("<failure"), "{report}");

    let tekton = yaml(&recipe(setup, "tekton/task.yaml"));
    let step = &tekton["spec"]["steps"][0];
    let result = scenario.folder().join("image-id").display().to_string();
    let values = [
        ("$(params.IMAGE)", "by-tekton"),
        ("$(params.CONTEXT)", "."),
        ("$(params.CONTAINERFILE)", "./Containerfile"),
        ("$(params.OSDERIVE)", host.as_str()),
        ("$(results.IMAGE_ID.path)", result.as_str()),
    ];
    let mut variables = common.clone();
    for variable in step["env"].as_array().unwrap() {
        let value = filled(variable["value"].as_str().unwrap(), &values);
        variables.insert(variable["name"].as_str().unwrap().to_owned(), value);
    }
    let allowed = KERNEL.replace("COPY", "# osderive: allow=kernel-count -- a test\nCOPY");
    let scenario = scenario.file("Containerfile", &allowed).unwrap();
    script(
        setup,
        &scenario,
        step["script"].as_str().unwrap(),
        &variables,
    )
    .expect(0);
    let id = fs::read_to_string(&result).unwrap();
    assert!(id.trim().len() >= 64, "{id}");
    assert!(scenario.folder().join("osderive.sarif").exists());

    let folder = scenario.folder().join("tool/tool/linux-amd64");
    product::install_tool(Profile::Test, &setup.places, &folder).unwrap();
    let recipe = recipe(setup, "openshift/Containerfile");
    let by_hand = format!(
        "set -e; printf 'FROM scratch\\nCOPY tool /tool\\n' | buildah build --quiet --tag osderive --file - tool
        buildah build --tag by-openshift --file {} .
        root=$(buildah from by-openshift); mount=$(buildah mount $root)
        test -e $mount/etc/motd; test ! -e $mount/tmp/left; test ! -e $mount/run/.osderive/ostree-container",
        recipe.display()
    );
    let log = script(setup, &scenario, &by_hand, &common).expect(0);
    assert!(log.contains("osderive: committed"), "{log}");
    fs::remove_dir_all(store).unwrap();
}
