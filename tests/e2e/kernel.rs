//! Kernels in a build: Debian's packages put them into /boot, ostree and bootc look for exactly one
//! beside its modules, with an initramfs that can boot a deployment.

use std::fs;

use crate::{Setup, below};

crate::tests![
    a_kernel_of_another_flavour_replaces_the_one_of_the_base,
    an_initramfs_that_a_step_removes_is_made_anew,
    a_module_that_a_step_adds_can_be_loaded,
    a_second_kernel_fails_the_build_with_the_lines_of_its_run: BuildKit,
];

fn a_kernel_of_another_flavour_replaces_the_one_of_the_base(setup: &Setup) {
    let scenario = setup.derive(
        "kernel-replaced",
        "RUN apt-get update && apt-get install -y --no-install-recommends linux-image-rt-amd64 && \
         apt-get purge -y '^linux-image-.*cloud-amd64$'",
    );
    let log = scenario.build(&[]).unwrap().expect_success();
    assert!(!log.contains("[kernel-"), "{log}");
    let image = scenario.saved(1).unwrap();
    let shipped = image.shipped();
    assert_eq!(below(&shipped, "boot/"), [""; 0], "{log}");
    for link in ["vmlinuz", "vmlinuz.old", "initrd.img", "initrd.img.old"] {
        assert!(!shipped.contains_key(link), "{link}");
    }
    let listed = scenario
        .output_of(
            "cd /usr/lib/modules && ls && cd * && ls vmlinuz System.map config && \
             modinfo -k $(basename $PWD) -n ext4 && lsinitrd initramfs.img | grep -c ostree-prepare-root",
        )
        .unwrap();
    let versions: Vec<&str> = listed
        .lines()
        .filter(|line| line.ends_with("-rt-amd64"))
        .collect();
    assert_eq!(versions.len(), 1, "{listed}");
    assert!(!listed.contains("cloud"), "{listed}");
}

fn an_initramfs_that_a_step_removes_is_made_anew(setup: &Setup) {
    let scenario = setup.derive(
        "kernel-initramfs",
        "RUN rm /usr/lib/modules/*/initramfs.img /usr/lib/dracut/dracut.conf.d/90-ostree-image.conf",
    );
    let log = scenario.build(&[]).unwrap().expect_success();
    assert!(!log.contains("[kernel-"), "{log}");
    let image = scenario.saved(1).unwrap();
    let shipped = image.shipped();
    let made = below(&shipped, "usr/lib/modules/");
    assert!(
        made.iter().any(|path| path.ends_with("/initramfs.img")),
        "{made:?}"
    );
    assert!(
        !made.iter().any(|path| path.contains("osderive")),
        "{made:?}"
    );
    assert_eq!(below(&shipped, "tmp/"), [""; 0]);
    assert_eq!(below(&shipped, "var/log/"), [""; 0]);
    let found =
        scenario.output_of("lsinitrd /usr/lib/modules/*/initramfs.img | grep ostree-prepare-root");
    assert!(found.is_ok(), "{log}");
}

fn a_module_that_a_step_adds_can_be_loaded(setup: &Setup) {
    let scenario = setup.derive(
        "kernel-module",
        "RUN cd /usr/lib/modules/* && mkdir extra && mv $(find kernel -name 'dummy.ko*' | head -n 1) extra/",
    );
    scenario.build(&[]).unwrap().expect_success();
    let found = scenario
        .output_of("modinfo -k $(ls /usr/lib/modules) -n dummy")
        .unwrap();
    assert!(found.contains("/extra/dummy.ko"), "{found}");
}

fn a_second_kernel_fails_the_build_with_the_lines_of_its_run(setup: &Setup) {
    let scenario = setup.derive(
        "kernel-second",
        "RUN cd /usr/lib/modules && cp -r * 9.9 && mkdir -p 1.1/updates && : >1.1/modules.dep",
    );
    let log = scenario.build(&[]).unwrap().expect_failure();
    let told = log.matches("kernel-count: there are 2 kernels: ");
    assert_eq!(told.count(), 1, "{log}");
    assert!(log.contains(">>> RUN cd /usr/lib/modules"), "{log}");
    let log = scenario.build(&["--build-arg", "OSDERIVE_FAIL_ON=never"]);
    let log = log.unwrap().expect_success();
    let told = log.matches("- kernel-count: there are 2 kernels: ");
    assert_eq!(told.count(), 1, "{log}");
    assert!(log.contains("/usr/lib/modules/1.1 has no vmlinuz"), "{log}");
    let copies = "COPY kernel /usr/lib/modules/9.8/\nCOPY kernel /usr/lib/modules/9.9/";
    let scenario = setup.derive("kernel-third", copies);
    let scenario = scenario.file("kernel/vmlinuz", "kernel").unwrap();
    let log = scenario.build(&[]).unwrap().expect_failure();
    let text = fs::read_to_string(scenario.folder().join("Containerfile")).unwrap();
    let first = text
        .lines()
        .zip(1..)
        .find(|(line, _)| line.starts_with("COPY kernel"));
    let (_, first) = first.unwrap();
    assert!(log.contains(&format!("(line {first})")), "{log}");
    let other = format!("= also by: line {}", first + 1);
    assert!(log.contains(&other), "{log}");
}
