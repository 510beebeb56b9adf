//! The previous image: whose accounts have another id now, and which RUN made them.

use osderive_tests::scenario::findings;

use crate::{Scenario, Setup};

crate::tests![
    accounts_with_other_ids_are_told_with_the_line_that_made_them,
    a_first_build_has_no_previous_image,
];

fn with_accounts<'a>(setup: &'a Setup, name: &str, accounts: &[&str]) -> Scenario<'a> {
    let runs: Vec<String> = accounts
        .iter()
        .map(|account| format!("RUN useradd --system --user-group {account}"))
        .collect();
    setup.derive(name, &runs.join("\n"))
}

fn accounts_with_other_ids_are_told_with_the_line_that_made_them(setup: &Setup) {
    let old = with_accounts(setup, "previous-old", &["alpha", "beta"]);
    old.build(&[]).unwrap().expect_success();
    let previous = format!("OSDERIVE_PREVIOUS={}", old.tag());
    let options = ["--build-arg", &previous];

    let same = with_accounts(setup, "previous-same", &["alpha", "beta", "gamma"]);
    let log = same.build(&options).unwrap().expect_success();
    assert_eq!(findings(&log), [], "{log}");

    let other = with_accounts(setup, "previous-other", &["beta", "alpha"]);
    // From the cache, too.
    for _ in 0..2 {
        let log = other.build(&options).unwrap().expect_success();
        let found = findings(&log);
        assert_eq!(found.len(), 2, "{log}");
        for (account, line) in [("beta", 3), ("alpha", 4)] {
            let told = format!("user {account} has the uid ");
            let line = format!(" (line {line})");
            let is_told = |(rule, message): &(&str, &str)| {
                *rule == "account-id-changed" && message.contains(&told) && message.ends_with(&line)
            };
            assert!(found.iter().any(is_told), "{log}");
        }
    }
}

fn a_first_build_has_no_previous_image(setup: &Setup) {
    let scenario = with_accounts(setup, "previous-none", &["alpha"]);
    let none = ["--build-arg", "OSDERIVE_PREVIOUS="];
    let log = scenario.build(&none).unwrap().expect_success();
    assert_eq!(findings(&log), [], "{log}");
    let missing = "OSDERIVE_PREVIOUS=localhost:1/no/such:image";
    let log = scenario.build(&["--build-arg", missing]).unwrap();
    let log = log.expect_success();
    let told = "the ids of the previous image localhost:1/no/such:image are not compared: ";
    assert!(log.contains(told), "{log}");
}
