//! What the end of a build does with accounts where nss-altfiles reads some.

use super::*;
use crate::{base::Base, commit::testing::upon};

const SWITCH: &str = "passwd: files altfiles systemd\ngroup: files altfiles systemd\n";

/// The end of a build on the base that [`Image::new`] is, with an account of a step and what `command` does.
fn ended(command: impl FnOnce(&Image)) -> (Image, DomainOutcome) {
    let (base, image) = (Image::new(), Image::new());
    for image in [&base, &image] {
        image.write("etc/nsswitch.conf", SWITCH);
        image.write("usr/lib/passwd", "chrony:x:998:990::/:/sbin/nologin");
    }
    image.add("redis", 105, 107);
    command(&image);
    let outcome = end(&base, &image);
    (image, outcome)
}

fn end(base: &Image, image: &Image) -> DomainOutcome {
    let base = Base::open(base.folder.path()).expect("opens");
    let before = upon(&image.rootfs, base);
    let settings = Settings {
        altfiles: true,
        ..Settings::default()
    };
    let mut outcome = settle_alone(
        |known| known.accounts(),
        &image.rootfs,
        Some(&before),
        &settings,
    );
    outcome.add(settle_alone(
        |known| known.altfiles(),
        &image.rootfs,
        Some(&before),
        &settings,
    ));
    outcome
}

#[test]
fn accounts_of_services_go_below_usr_and_etc_is_the_bases() {
    let (image, outcome) = ended(|_| ());
    assert_eq!(image.read("etc/passwd"), PASSWD);
    assert_eq!(image.read("etc/group"), GROUP);
    assert_eq!(image.read("etc/shadow"), SHADOW);
    assert_eq!(image.read("etc/gshadow"), GSHADOW);
    assert_eq!(
        image.read("usr/lib/passwd"),
        "chrony:x:998:990::/:/sbin/nologin\nredis:x:105:107::/var/lib/redis:/usr/sbin/nologin\n"
    );
    assert_eq!(image.read("usr/lib/group"), "redis:x:107:\n");
    assert_eq!(image.own(), [REDIS]);
    assert_eq!(rules(&outcome), [""; 0]);
    assert!(
        outcome
            .changed
            .iter()
            .any(|file| file.path == "/usr/lib/passwd")
    );
}

#[test]
fn what_a_killed_commit_wrote_stands_there_once() {
    let line = "redis:x:105:107::/var/lib/redis:/usr/sbin/nologin\n";
    let (image, _) = ended(|image| image.append("usr/lib/passwd", &format!("\n{line}")));
    assert_eq!(image.read("usr/lib/passwd").matches(line).count(), 1);
    assert_eq!(image.read("etc/passwd"), PASSWD);
}

#[test]
fn what_was_moved_stays_declared_in_images_upon_it() {
    let (base, _) = ended(|_| ());
    let image = Image::new();
    for path in ["etc/nsswitch.conf", "usr/lib/passwd", "usr/lib/group"] {
        image.write(path, base.read(path));
    }
    image.write("usr/lib/sysusers.d/00-osderive-a.conf", REDIS.join("\n"));
    let outcome = image.step(|image| image.add("nginx", 106, 108));
    assert_eq!(rules(&outcome), [""; 0]);
    let lines: Vec<String> = image.own().concat();
    for line in REDIS {
        assert!(lines.iter().any(|own| own == line), "{lines:?}");
    }
    let outcome = end(&base, &image);
    assert_eq!(rules(&outcome), [""; 0]);
    assert_eq!(image.read("etc/passwd"), PASSWD);
    assert!(image.read("usr/lib/passwd").contains("redis:x:105"));
    assert!(image.read("usr/lib/passwd").contains("nginx:x:106"));
}

#[test]
fn who_can_log_in_stays_in_etc() {
    let person = "me:x:1000:1000::/home/me:/bin/sh\n";
    let (image, _) = ended(|image| {
        image.append("etc/passwd", person);
        image.append("etc/group", "me:x:1000:\nlocked:x:300:\n");
        image.append("etc/gshadow", "locked:!:me:\n");
        // A service whose password somebody knows.
        image.append("etc/passwd", "ftp:x:110:33::/:/usr/sbin/nologin\n");
        image.append("etc/shadow", "ftp:$y$j9T$x$y:20778::::::\n");
    });
    let passwd = image.read("etc/passwd");
    assert!(
        passwd.contains(person) && passwd.contains("ftp:x:110"),
        "{passwd}"
    );
    assert!(image.read("etc/shadow").contains("ftp:$y$"));
    assert!(image.read("etc/group").contains("me:x:1000"));
    assert!(image.read("etc/group").contains("locked:x:300"));
    assert!(!passwd.contains("redis"));
}

#[test]
fn nothing_moves_where_nobody_reads_it() {
    let (image, outcome) = ended(|image| image.write("etc/nsswitch.conf", "passwd: files\n"));
    assert_eq!(rules(&outcome), ["account-altfiles-unread"]);
    assert!(image.read("etc/passwd").contains("redis"));
}

#[test]
fn nothing_is_written_over_what_is_no_file() {
    let base = Image::new();
    let image = Image::new();
    image.write("etc/nsswitch.conf", SWITCH);
    image.add("redis", 105, 107);
    symlink("../../etc/passwd", {
        fs::create_dir_all(image.path("usr/lib")).expect("directories");
        image.path("usr/lib/passwd")
    })
    .expect("a link");
    let before = upon(
        &image.rootfs,
        Base::open(base.folder.path()).expect("opens"),
    );
    let settings = Settings {
        altfiles: true,
        ..Settings::default()
    };
    let work = crate::commit::settle(
        &[|known| known.altfiles()],
        &image.rootfs,
        Some(&before),
        &settings,
        &mut |_| (),
    );
    let error = work.expect_err("stops").to_string();
    assert!(error.contains("/usr/lib/passwd"), "{error}");
    assert!(image.read("etc/passwd").contains("redis"));
}
