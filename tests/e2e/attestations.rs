//! What a build says about its image beside it: provenance and a list of contents. Only the containerd store
//! holds such attestations; where there is none, the engine refuses them, with us or without.

use osderive_tests::engine::ImageStore;
use osderive_tests::saved_image::SavedImage;
use osderive_tests::scenario::Scenario;
use serde_json::Value;

use crate::{SYNTAX, Setup};

crate::tests![
    a_scanner_sees_the_committed_image_and_no_step_runs_twice,
    provenance_tells_of_the_steps_that_the_user_wrote,
    provenance_of_what_is_not_bootable_is_that_of_a_plain_build,
    an_empty_image_is_attested_as_by_a_plain_build,
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
    let scenario = setup.derive(
        "sbom",
        "RUN echo the step has'' run && date +%N > /usr/share/stamp && touch /tmp/left",
    );
    let option = format!("--attest=type=sbom,generator={}", scanner.tag());
    let Some((image, log)) = attested(setup, &scenario, &[&option]) else {
        return;
    };
    assert_eq!(log.matches("the step has run").count(), 1, "{log}");
    assert!(log.contains("osderive: committed"), "{log}");
    let stamp = String::from_utf8_lossy(&image.top()["usr/share/stamp"].content);
    let seen = &predicate(&image, "https://spdx.dev/Document")["name"];
    assert_eq!(seen, stamp.trim(), "{log}");
}

fn provenance_tells_of_the_steps_that_the_user_wrote(setup: &Setup) {
    let scenario = setup.derive("provenance", "RUN touch /tmp/left /etc/kept");
    let Some((image, log)) = attested(setup, &scenario, &["--provenance=mode=max"]) else {
        return;
    };
    assert!(image.top().contains_key("etc/kept"), "{log}");
    assert!(!image.top().contains_key("tmp/left"), "{log}");
    let provenance = predicate(&image, "https://slsa.dev/provenance/").to_string();
    for known in ["touch /tmp/left /etc/kept", "osderive", "Containerfile"] {
        assert!(provenance.contains(known), "{known}: {provenance}");
    }
}

/// What a provenance tells beside the build's time and number and the Containerfile's text.
fn told(mut provenance: Value) -> Value {
    leave_out(&mut provenance);
    provenance
}

fn leave_out(value: &mut Value) {
    const OWN: [&str; 7] = [
        "buildFinishedOn",
        "buildInvocationId",
        "buildInvocationID",
        "buildStartedOn",
        "finishedOn",
        "invocationId",
        "startedOn",
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
    eprintln!(
        "PLAIN {:#}\nOURS {:#}",
        provenance(&plain),
        provenance(&ours)
    );
    assert_eq!(provenance(&plain), provenance(&ours));
}

fn an_empty_image_is_attested_as_by_a_plain_build(setup: &Setup) {
    let options = [
        "--provenance=mode=max",
        "--platform=linux/amd64,linux/arm64",
    ];
    let containerfile = |first: &str| format!("{first}\nFROM scratch\nLABEL a=b\n");
    let plain = setup.scenario("empty-attested-plain", &containerfile("# plain"));
    let ours = setup.scenario("empty-attested", &containerfile(SYNTAX));
    if setup.engine.image_store() == ImageStore::Containerd {
        let plain = plain.build(&options).unwrap();
        let ours = ours.build(&options).unwrap();
        eprintln!(
            "PLAIN {} {}\nOURS {} {}",
            plain.success, plain.log, ours.success, ours.log
        );
        assert_eq!(plain.success, ours.success);
    }
}
