//! Software that its service writes to, or that belongs to an account.

use super::*;

#[test]
fn what_is_written_at_run_time_goes_to_var() {
    let root = image();
    let settings = Settings {
        writable: vec!["/opt/acme/lib/uploads".into(), "/opt/acme/odd".into()],
        read_only: vec!["/opt/acme/data".into()],
        ..Settings::default()
    };
    let outcome = build(root.path(), &settings, |root| {
        for path in [
            "log/first",
            "data/static",
            "store/x",
            "foreign/x",
            "lib/uploads/x",
            "lib/log/x",
            "odd/x",
        ] {
            write(root, Path::new("var/opt/acme").join(path), "1");
        }
        write(root, "var/opt/vendor/product/cache/x", "1");
        chown(root.join("var/opt/acme/store"), Some(901), Some(901)).expect("an owner");
        chown(root.join("var/opt/acme/foreign"), Some(4711), None).expect("an owner");
    });
    for part in [
        "acme/log",
        "acme/store",
        "acme/lib/uploads",
        "acme/odd",
        "vendor/product/cache",
    ] {
        let link = target(root.path(), &format!("usr/lib/opt/{part}"));
        assert_eq!(link, Path::new("/var/lib/opt").join(part));
        assert!(
            root.path().join("var/lib/opt").join(part).is_dir(),
            "{part}"
        );
    }
    for part in ["acme/data", "acme/foreign", "acme/lib/log"] {
        assert!(
            !root.path().join("usr/lib/opt").join(part).is_symlink(),
            "{part}"
        );
    }
    let work = fs::metadata(root.path().join("var/lib/opt/acme/store")).expect("looks");
    assert_eq!((work.uid(), work.gid()), (901, 901));
    assert!(outcome.findings.is_empty(), "{outcome:?}");
}

#[test]
fn a_directory_that_a_later_step_gives_to_an_account_goes_to_var() {
    let root = image();
    let (base, _) = base_like(root.path());
    plain_step(root.path(), |root| write(root, "var/opt/acme/store/x", "1"));
    assert!(!root.path().join("usr/lib/opt/acme/store").is_symlink());
    plain_step(root.path(), |root| {
        chown(root.join("usr/lib/opt/acme/store"), Some(901), None).expect("an owner");
    });
    // Until the end, later RUNs find a directory.
    assert!(!root.path().join("usr/lib/opt/acme/store").is_symlink());
    end(root.path(), base.path(), &Settings::default());
    assert_eq!(
        target(root.path(), "usr/lib/opt/acme/store"),
        Path::new("/var/lib/opt/acme/store")
    );
    assert!(root.path().join("var/lib/opt/acme/store/x").exists());
}

#[test]
fn software_that_belongs_to_an_account_as_a_whole_is_told() {
    let root = image();
    let make = |root: &Path| {
        write(root, "var/opt/acme/conf/x", "1");
        for path in ["acme", "acme/conf", "acme/conf/x"] {
            chown(root.join("var/opt").join(path), Some(901), None).expect("an owner");
        }
    };
    let outcome = plain_step(root.path(), make);
    assert!(!root.path().join("usr/lib/opt/acme/conf").is_symlink());
    assert_eq!(rules(&outcome), ["opt-read-only"]);
    assert_eq!(outcome.findings[0].paths, ["/opt/acme"]);

    let root = image();
    let settings = Settings {
        read_only: vec!["/opt/acme".into()],
        ..Settings::default()
    };
    assert!(step(root.path(), &settings, make).findings.is_empty());
}

#[test]
fn in_a_real_directory_only_what_is_written_at_run_time_moves() {
    let root = image();
    fs::remove_file(root.path().join("opt")).expect("removes");
    build(root.path(), &Settings::default(), |root| {
        write(root, "opt/acme/run", "1");
        write(root, "opt/acme/log/first", "1");
    });
    assert!(root.path().join("opt/acme/run").exists());
    assert_eq!(
        target(root.path(), "opt/acme/log"),
        Path::new("/var/lib/opt/acme/log")
    );
    assert_eq!(own_lines(root.path()), [""; 0]);
}
