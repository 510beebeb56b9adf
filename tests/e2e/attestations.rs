//! What a build says about its image beside it: provenance and a list of contents. Only the containerd store
//! holds such attestations; where there is none, the engine refuses them, with us or without.

use osderive_tests::engine::ImageStore;
use osderive_tests::saved_image::SavedImage;
use osderive_tests::scenario::Scenario;
use serde_json::Value;

use crate::fidelity::TIMELESS;
use crate::{SYNTAX, Setup};

crate::tests![
    a_scanner_sees_the_committed_image_and_no_step_runs_twice,
    provenance_tells_of_the_steps_that_the_user_wrote,
    provenance_of_what_is_not_bootable_is_that_of_a_plain_build,
    an_empty_image_is_attested_as_by_a_plain_build: EmptyIndex,
];

/// A scanner for `--sbom`: it names what it finds in the place that tests look at.
const SCANNER: &str = r#"FROM debian-plain
COPY --chmod=755 <<"EOF" /scan
#!/bin/sh
set -eu
root=$BUILDKIT_SCAN_SOURCE
cat >"$BUILDKIT_SCAN_DESTINATION/scan.spdx.json" <<END
{"_type": "https://in-toto.io/Statement/v0.1",
 "predicateType": "https://spdx.dev/Document",
 "predicate": {"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT",
  "name": "$(cat "$root/usr/share/stamp")$(ls -A "$root/tmp")"}}
END
EOF
CMD ["/scan"]
"#;

/// The image with its attestations, or none where the engine has been seen to refuse them.
fn attested(
    setup: &Setup,
    scenario: &Scenario<'_>,
    options: &[&str],
) -> Option<(SavedImage, String)> {
    let built = scenario.build(options).unwrap();
    match setup.engine.image_store() {
        ImageStore::Graphdriver => {
            let log = built.expect_failure();
            assert!(log.contains("ttestation is not supported"), "{log}");
            None
        }
        ImageStore::Containerd => {
            let log = built.expect_success();
            Some((scenario.saved(1).unwrap(), log))
        }
    }
}

/// The one attestation whose type begins as given.
fn predicate<'a>(image: &'a SavedImage, kind: &str) -> &'a Value {
    let is_of_kind = |statement: &&Value| {
        let of = statement["predicateType"].as_str();
        of.is_some_and(|of| of.starts_with(kind))
    };
    let mut found = image.attestations.iter().filter(is_of_kind);
    let (first, second) = (found.next(), found.next());
    assert!(second.is_none(), "{:#?}", image.attestations);
    &first.unwrap_or_else(|| panic!("no {kind}: {:#?}", image.attestations))["predicate"]
}

fn a_scanner_sees_the_committed_image_and_no_step_runs_twice(setup: &Setup) {
    let scanner = setup.scenario("scanner", SCANNER);
    scanner.build(&[]).unwrap().expect_success();
    let mount = "--mount=type=cache,id=e2e-scanned,target=/c";
    let scenario = setup.derive(
        "sbom",
        &format!("RUN {mount} echo the step has'' run && date +%N | tee /c/kept > /usr/share/stamp && touch /tmp/left"),
    );
    let option = format!("--attest=type=sbom,generator={}", scanner.tag());
    let Some((image, log)) = attested(setup, &scenario, &[&option, "--no-cache"]) else {
        return;
    };
    assert_eq!(log.matches("the step has run").count(), 1, "{log}");
    assert!(log.contains("osderive: committed"), "{log}");
    let stamp = String::from_utf8_lossy(&image.top()["usr/share/stamp"].content);
    let seen = &predicate(&image, "https://spdx.dev/Document")["name"];
    assert_eq!(seen, stamp.trim(), "{log}");
    let reader = format!("FROM debian-plain\nRUN {mount} cp /c/kept /kept\n");
    let reader = setup.scenario("sbom-reader", &reader);
    reader.build(&[]).unwrap().expect_success();
    let image = reader.saved(1).unwrap();
    let kept = String::from_utf8_lossy(&image.top()["kept"].content);
    assert_eq!(kept, stamp, "of the mount");
}

fn provenance_tells_of_the_steps_that_the_user_wrote(setup: &Setup) {
    let scenario = setup.derive("provenance", "RUN touch /tmp/left /etc/kept");
    let Some((image, log)) = attested(setup, &scenario, &["--provenance=mode=max"]) else {
        return;
    };
    assert!(image.top().contains_key("etc/kept"), "{log}");
    assert!(!image.shipped().contains_key("tmp/left"), "{log}");
    let provenance = predicate(&image, "https://slsa.dev/provenance/");
    let text = provenance.to_string();
    for known in ["touch /tmp/left /etc/kept", "Containerfile"] {
        assert!(text.contains(known), "{known}: {text}");
    }
    let is_ours = |material: &&Value| {
        let uri = material["uri"].as_str();
        uri.is_some_and(|uri| uri.starts_with("pkg:docker/osderive@"))
    };
    let ours = materials(provenance).iter().find(is_ours).expect(&text);
    let digest = ours["digest"]["sha256"].as_str();
    assert!(digest.is_some_and(|digest| digest.len() == 64), "{ours}");
    let mut provenance = provenance.clone();
    assert_eq!(arguments(&mut provenance)["source"], "osderive");
}

/// What a provenance tells beside the build's time and number, the Containerfile's text and where its folder is.
fn told(mut provenance: Value) -> Value {
    leave_out(&mut provenance);
    provenance
}

fn leave_out(value: &mut Value) {
    const OWN: [&str; 8] = [
        "buildFinishedOn",
        "buildInvocationId",
        "buildInvocationID",
        "buildStartedOn",
        "finishedOn",
        "invocationId",
        "startedOn",
        "vcs",
    ];
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !OWN.contains(&name.as_str()) && name != "infos");
            fields.values_mut().for_each(leave_out);
        }
        Value::Array(values) => values.iter_mut().for_each(leave_out),
        _ => {}
    }
}

fn provenance_of_what_is_not_bootable_is_that_of_a_plain_build(setup: &Setup) {
    let containerfile = |first: &str| {
        format!("{first}\nFROM debian-plain\nARG A=a\nRUN echo $A >/etc/kept\nLABEL a=b\n")
    };
    let plain = setup.scenario("provenance-plain", &containerfile("# plain"));
    let ours = setup.scenario("provenance-passed", &containerfile(SYNTAX));
    let options = ["--provenance=mode=max", "--build-arg=A=b", "--label=l=m"];
    let Some((plain, _)) = attested(setup, &plain, &options) else {
        return;
    };
    let (ours, _) = attested(setup, &ours, &options).unwrap();
    let provenance = |image| told(predicate(image, "https://slsa.dev/provenance/").clone());
    let mut passed = provenance(&ours);
    // Whoever follows a syntax line says so, or it would be followed again.
    let cmdline = arguments(&mut passed).remove("cmdline");
    assert_eq!(cmdline, Some("".into()));
    assert_eq!(provenance(&plain), passed);
}

/// The frontend's, of either version of the format.
fn arguments(provenance: &mut Value) -> &mut serde_json::Map<String, Value> {
    let request = match &provenance["invocation"] {
        Value::Null => &mut provenance["buildDefinition"]["externalParameters"]["request"],
        _ => &mut provenance["invocation"]["parameters"],
    };
    request["args"].as_object_mut().expect("arguments")
}

/// What the build was made from, of either version of the format.
fn materials(provenance: &Value) -> &[Value] {
    let materials = match &provenance["materials"] {
        Value::Null => &provenance["buildDefinition"]["resolvedDependencies"],
        materials => materials,
    };
    materials.as_array().expect("materials")
}

fn an_empty_image_is_attested_as_by_a_plain_build(setup: &Setup) {
    let platforms = "--platform=linux/amd64,linux/arm64";
    let options = [&TIMELESS[..], &["--provenance=mode=max", platforms]].concat();
    let built = |name: &str, first: &str| {
        let scenario = setup.scenario(name, &format!("{first}\nFROM scratch\nLABEL a=b\n"));
        let log = scenario.build(&options).unwrap().expect_success();
        (scenario.inspect().unwrap()["Id"].take(), log)
    };
    let (plain, _) = built("empty-attested-plain", "# plain");
    let (ours, log) = built("empty-attested", SYNTAX);
    assert_eq!(plain, ours, "{log}");
}
