//! Stages beside the image that begin with one of its stages, whose steps are committed.

use osderive_tests::scenario::{Door, cached_steps};

use crate::{SYNTAX, Setup};

crate::tests![
    a_stage_beside_the_image_goes_on_as_without_us,
    a_failing_command_of_such_a_stage_is_shown_as_the_user_wrote_it: BuildKit,
];

const COMMON: &str = "FROM debian-ostree-base AS common
RUN apt-get update && apt-get install -y --no-install-recommends hello
";

/// The same for a build that fails, with a step of its own: builds at the same time share steps.
const OF_FAILING: &str = "FROM debian-ostree-base AS common
RUN touch /etc/common
";

fn a_stage_beside_the_image_goes_on_as_without_us(setup: &Setup) {
    let scenario = setup.scenario(
        "branch",
        &format!(
            "{SYNTAX}\n{COMMON}
            FROM common AS build
            RUN apt-get install -y --no-install-recommends sl && mkdir -m 1777 /out
            USER daemon
            RUN id -un > /out/user && touch /tmp/left /var/tmp/left
            USER root
            RUN test -e /tmp/left && test -e /var/tmp/left && cp /usr/games/sl /out
            RUN dpkg -s hello sl | grep -c ^Status: > /out/installed
            FROM common
            COPY --from=build /out /usr/share/out
            RUN touch /usr/share/out/last"
        ),
    );
    let first = scenario.build(&[]).unwrap().expect_success();
    let seen = "cd /usr/share/out && cat user installed && ls";
    let lists = "find /var -path '/var/lib/apt/lists/*' -type f";
    let seen = scenario.output_of(&format!("{seen}; {lists}")).unwrap();
    assert_eq!(seen, "daemon\n2\ninstalled\nlast\nsl\nuser");
    let second = scenario.build(&[]).unwrap().expect_success();
    assert!(!second.contains("osderive: committed"), "{second}");
    let cached = cached_steps(&second);
    let is_docker = matches!(setup.door, Door::Docker);
    for step in ["[build 4/4]", "[stage-2 2/2]"]
        .into_iter()
        .filter(|_| is_docker)
    {
        assert!(cached.contains(&step), "{step}\n{first}\n{second}");
    }
}

fn a_failing_command_of_such_a_stage_is_shown_as_the_user_wrote_it(setup: &Setup) {
    let scenario = setup.scenario(
        "branch-fails",
        &format!(
            "{SYNTAX}\n{OF_FAILING}FROM common AS build\nUSER daemon\nRUN exit 3\nFROM common\nCOPY --from=build /etc/os-release /usr/share/\n"
        ),
    );
    let log = scenario.build(&[]).unwrap().expect_failure();
    let told = "process \"/bin/sh -c exit 3\" did not complete successfully: exit code: 3";
    assert!(log.contains(told), "{log}");
    assert!(log.contains("Containerfile:6"), "{log}");
    assert!(log.contains(">>> RUN exit 3"), "{log}");
}
