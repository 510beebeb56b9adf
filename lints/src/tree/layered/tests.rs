//! Images of all forms and of the most hostile kind, read as layers.

use std::process::Command;

use tar::EntryType;

use super::*;
use crate::tree::testing::{LayerTar, TestImage, digest, gzip};

mod cost;

/// All paths, with the numbers of the layers that brought them.
fn paths(tree: &Layered) -> Vec<(String, usize)> {
    let mut paths = Vec::new();
    tree.index.for_each(|path, node| {
        paths.push((String::from_utf8_lossy(path).into_owned(), node.layer));
    });
    paths
}

fn text(tree: &Layered, path: &str) -> Option<String> {
    let content = tree.read(path.as_bytes(), 1 << 20).expect("readable");
    content.map(|content| String::from_utf8(content).expect("text"))
}

fn problems(tree: &Layered) -> Vec<(String, &str)> {
    let shown = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    let problems = tree.index.problems.iter();
    problems
        .map(|(path, why)| (shown(path), why.as_str()))
        .collect()
}

#[test]
fn an_image_reads_alike_in_all_its_forms() {
    let lower = LayerTar::new()
        .directory("./usr/")
        .file("usr/lib/os-release", "ID=a\n");
    let image = TestImage::new()
        .gzip(lower.symlink("lib", "usr/lib"))
        .layer(LayerTar::new().file("lib/upper", "above"));
    let folder = image.folder(&image.layout());
    let layout = image.archive(&image.layout());
    let trees = [
        Layered::oci_layout(&folder, None),
        Layered::oci_layout(&folder, Some("latest")),
        Layered::oci_archive(&layout, None),
        Layered::archive(&layout, Some("latest")),
    ];
    let saved = || image.archive(&image.saved());
    let trees = trees.into_iter().chain([
        Layered::docker_archive(&saved(), Some("a:1")),
        Layered::archive(&saved(), None),
    ]);
    for tree in trees {
        let tree = tree.expect("an image");
        let expected = [
            ("lib", 0),
            ("usr", 0),
            ("usr/lib", 0),
            ("usr/lib/os-release", 0),
            ("usr/lib/upper", 1),
        ];
        assert_eq!(
            paths(&tree),
            expected.map(|(path, layer)| (path.to_owned(), layer))
        );
        assert_eq!(text(&tree, "lib/os-release").as_deref(), Some("ID=a\n"));
        assert_eq!(
            text(&tree, "usr/lib/../lib/upper").as_deref(),
            Some("above")
        );
        let layer = &tree.layers().expect("layers").layers[1];
        let upper = LayerTar::new().file("lib/upper", "above").bytes();
        assert_eq!(
            (layer.digest.as_str(), layer.created_by.as_str()),
            (digest(&upper).as_str(), "RUN step 1")
        );
        assert!(tree.config().config.labels.contains_key("containers.bootc"));
    }
    let missing = Layered::oci_layout(&folder, Some("other")).expect_err("no such image");
    assert_eq!(missing.to_string(), "there is no image \"other\"");
}

#[test]
fn whiteouts_take_away_what_lower_layers_have_and_nothing_else() {
    let lower = LayerTar::new()
        .file("etc/gone/a", "")
        .file("etc/gone.conf", "")
        .file("opaque/lower", "")
        .file("both", "old");
    let upper = LayerTar::new()
        .file("opaque/upper", "")
        .file("opaque/.wh..wh..opq", "")
        .file("etc/.wh.gone", "")
        .file("both", "new")
        .file(".wh.both", "")
        .file(".wh..wh.plnk", "");
    let tree = TestImage::new()
        .layer(lower)
        .layer(upper)
        .read()
        .expect("an image");
    let expected = [
        ("both", 1),
        ("etc", 0),
        ("etc/gone.conf", 0),
        ("opaque", 0),
        ("opaque/upper", 1),
    ];
    assert_eq!(
        paths(&tree),
        expected.map(|(path, layer)| (path.to_owned(), layer))
    );
    assert_eq!(text(&tree, "both").as_deref(), Some("new"));
    assert_eq!(
        tree.names(b"").expect("names"),
        [&b"both"[..], b"etc", b"opaque"]
    );
}

#[test]
fn an_entry_of_another_kind_takes_the_place_of_what_was_there() {
    let lower = LayerTar::new()
        .file("a/below", "")
        .symlink("b", "a")
        .file("c", "");
    let upper = LayerTar::new()
        .symlink("a", "c")
        .file("b/new", "")
        .directory("c");
    let tree = TestImage::new()
        .layer(lower)
        .layer(upper)
        .read()
        .expect("an image");
    // b leads to a, which is a link to the file c by then.
    assert_eq!(
        paths(&tree)
            .iter()
            .map(|(path, _)| path.as_str())
            .collect::<Vec<_>>(),
        ["a", "b", "c"]
    );
    assert_eq!(
        problems(&tree),
        [("b/new".to_owned(), "what it is in is no directory")]
    );
    assert_eq!(
        tree.look(b"a").expect("a link").expect("a link").kind,
        Kind::Symlink
    );
    assert_eq!(
        tree.follow(b"a").expect("a directory").expect("it").kind,
        Kind::Directory
    );
}

#[test]
fn hard_links_are_names_of_one_file() {
    let lower = LayerTar::new()
        .file("usr/a", "content")
        .hard_link("usr/b", "/usr/a");
    let upper = LayerTar::new()
        .hard_link("usr/c", "usr/a")
        .file("usr/.wh.a", "");
    let upper = upper.hard_link("usr/none", "usr/missing");
    let tree = TestImage::new()
        .layer(lower)
        .layer(upper)
        .read()
        .expect("an image");
    // The whiteout is of the lower layer, so it comes first: the engine finds nothing to link to.
    let nothing = "it is a hard link to nothing";
    let expected = [
        ("usr/c".to_owned(), nothing),
        ("usr/none".to_owned(), nothing),
    ];
    assert_eq!(problems(&tree), expected);
    assert_eq!(tree.look(b"usr/b").expect("it").expect("a file").links, 1);
    assert_eq!(text(&tree, "usr/b").as_deref(), Some("content"));
    let layers = tree.layers().expect("layers");
    assert_eq!(
        layers.layers[0].buried.count, 0,
        "the content has a name still"
    );
}

#[test]
fn content_that_nobody_sees_is_counted_for_the_layer_that_carries_it() {
    let lower = LayerTar::new()
        .file("big", [7; 5000])
        .file("dir/small", "12345");
    let upper = LayerTar::new().file("big", "new").file(".wh.dir", "");
    let tree = TestImage::new()
        .layer(lower)
        .layer(upper)
        .read()
        .expect("an image");
    let buried = &tree.layers().expect("layers").layers[0].buried;
    assert_eq!((buried.count, buried.bytes), (2, 5005));
    assert_eq!(buried.largest[0].path, b"big");
    assert!(buried.largest[0].is_replaced && !buried.largest[1].is_replaced);
}

#[test]
fn names_that_no_engine_unpacks_are_told() {
    let deep = "d/".repeat(1000) + "file";
    let long = "x".repeat(300);
    let layer = LayerTar::new()
        .file("../../etc/passwd", "out")
        .file("/absolute", "in")
        .entry(EntryType::Regular, b"line\nfeed", b"", b"1")
        .entry(EntryType::Regular, b"no\xffutf8", b"", b"2")
        .file("a/.wh...", "")
        .file(".wh.", "")
        .hard_link("up", "../../etc/shadow")
        .file(&long, "")
        .file(&deep, "deep");
    let tree = TestImage::new().layer(layer).read().expect("an image");
    let found = problems(&tree)
        .into_iter()
        .map(|(path, _)| path)
        .collect::<Vec<_>>();
    assert_eq!(found, ["../../etc/passwd", ".wh.", "a/.wh...", "up", &long]);
    assert_eq!(text(&tree, "absolute").as_deref(), Some("in"));
    assert_eq!(text(&tree, "line\nfeed").as_deref(), Some("1"));
    assert_eq!(text(&tree, &deep).as_deref(), Some("deep"));
    assert!(tree.look(b"no\xffutf8").expect("an answer").is_some());
}

#[test]
fn a_large_file_is_read_from_its_layer_again() {
    let content: Vec<u8> = (0..3_000_000_u32)
        .map(|byte| byte.to_le_bytes()[1])
        .collect();
    let layer = LayerTar::new()
        .file("first", "1")
        .file("usr/large", &content)
        .file("last", "2");
    let tree = TestImage::new().gzip(layer).read().expect("an image");
    let read = tree
        .read(b"usr/large", 1 << 30)
        .expect("readable")
        .expect("a file");
    assert!(read == content);
    let mut open = tree.open(b"usr/large").expect("readable").expect("a file");
    let mut begin = [0; 5000];
    open.read_exact(&mut begin).expect("readable");
    assert!(begin == content[..5000]);
    assert!(tree.read(b"usr/large", 1 << 20).is_err() && tree.open(b"usr").is_err());
    assert!(tree.open(b"").is_err() && tree.open(b"missing").expect("an answer").is_none());
}

#[test]
fn scripts_and_what_runs_a_program_are_known_without_reading_their_layer_again() {
    let script = [b"#!/bin/sh\n", &[b'x'; 1000][..]].concat();
    let large = [script.clone(), vec![b'x'; 1 << 17]].concat();
    let layer = LayerTar::new()
        .program("usr/bin/script", &script)
        .program("usr/bin/large", &large)
        .program("usr/bin/program", [b'x'; 1000])
        .program("usr/bin/short", "#!/bin/sh")
        .file("usr/bin/data", &script);
    let tree = TestImage::new().layer(layer).read().expect("an image");
    let known = |path: &str| match &tree.index.at(path.as_bytes()).expect("a file").place {
        Content::At { begin, .. } => begin.len(),
        Content::Kept(content) => content.len(),
        other @ Content::Sparse => panic!("{path}: {other:?}"),
    };
    let names = ["script", "large", "program", "short", "data"];
    let names = names.map(|name| format!("usr/bin/{name}"));
    assert_eq!(names.map(|name| known(&name)), [1010, 256, 256, 9, 0]);
    for (name, content) in [("usr/bin/script", script), ("usr/bin/large", large)] {
        let read = text(&tree, name).map(String::into_bytes);
        assert!(read == Some(content), "{name}");
    }
}

#[test]
fn links_in_a_circle_lead_nowhere() {
    let layer = LayerTar::new()
        .symlink("a", "b")
        .symlink("b", "a")
        .file("a/file", "");
    let tree = TestImage::new().layer(layer).read().expect("an image");
    assert_eq!(tree.follow(b"a").expect("an answer"), None);
    assert_eq!(problems(&tree).len(), 1);
}

#[test]
fn a_layer_that_ends_early_is_an_error_that_names_it() {
    let layer = LayerTar::new().file("a", [1; 10_000]).bytes();
    let packed = gzip(&layer);
    let half = packed[..packed.len() / 2].to_vec();
    for broken in [
        half,
        layer[..5000].to_vec(),
        layer[..700].to_vec(),
        vec![0x28, 0xb5, 0x2f, 0xfd, 0],
    ] {
        let name = format!("layer 2 of 2 ({}): ", digest(&broken));
        let image = TestImage::new().layer(LayerTar::new()).blob(broken);
        let error = image.read().expect_err("a broken layer").to_string();
        assert!(error.starts_with(&name), "{error}");
    }
}

#[test]
fn sizes_that_nothing_has_are_errors() {
    let claims = |size: u64, kind: EntryType| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.as_old_mut().name[0] = b'a';
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(size);
        header.set_cksum();
        [header.as_bytes(), &[0; 1024][..]].concat()
    };
    for (size, kind) in [
        (u64::MAX, EntryType::Regular),
        (1 << 40, EntryType::Regular),
        (1 << 40, EntryType::GNULongName),
        (1 << 40, EntryType::XHeader),
    ] {
        for blob in [claims(size, kind), gzip(&claims(size, kind))] {
            assert!(
                TestImage::new().blob(blob).read().is_err(),
                "{size} {kind:?}"
            );
        }
    }
    // A directory has no content, whatever its header says.
    let tree = TestImage::new()
        .blob(claims(1 << 40, EntryType::Directory))
        .read();
    assert_eq!(paths(&tree.expect("an image")).len(), 1);
}

#[test]
fn numbers_that_were_left_blank_are_zero() {
    for blank in [0, b' '] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(EntryType::Char);
        header.as_old_mut().name[0] = b'a';
        for field in [100..108, 108..116, 116..124, 124..136, 329..337, 337..345] {
            header.as_mut_bytes()[field].fill(blank);
        }
        header.set_cksum();
        let blob = [header.as_bytes(), &[0; 1024][..]].concat();
        let tree = TestImage::new().blob(blob).read();
        assert_eq!(paths(&tree.expect("an image")), [("a".to_owned(), 0)]);
    }
}

#[test]
fn what_the_real_tar_writes_is_read_in_every_format() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root");
    let long = format!("{}/{}", "directory-name/".repeat(15), "f".repeat(200));
    let place = root.join(&long);
    std::fs::create_dir_all(place.parent().expect("a parent")).expect("directories");
    std::fs::write(&place, "long").expect("a file");
    std::fs::hard_link(&place, root.join("second")).expect("a link");
    std::os::unix::fs::symlink(&long, root.join("link")).expect("a link");
    std::fs::write(root.join("line\nfeed"), "named").expect("a file");
    let sparse = std::fs::File::create(root.join("sparse")).expect("a file");
    sparse.set_len(1 << 30).expect("a hole");
    for format in ["gnu", "pax"] {
        let tar = Command::new("tar")
            .args([
                "--sparse",
                "--sort=name",
                &format!("--format={format}"),
                "-C",
            ])
            .arg(&root)
            .args(["-c", "."])
            .output()
            .expect("tar");
        assert!(tar.status.success(), "{tar:?}");
        let tree = TestImage::new().blob(tar.stdout).read().expect("an image");
        assert_eq!(problems(&tree), [], "{format}");
        assert_eq!(text(&tree, "link").as_deref(), Some("long"), "{format}");
        assert_eq!(
            text(&tree, "line\nfeed").as_deref(),
            Some("named"),
            "{format}"
        );
        let meta = |path: &str| {
            tree.look(path.as_bytes())
                .expect("an answer")
                .expect("an entry")
        };
        assert_eq!(
            (meta("second").links, meta("second").size),
            (2, 4),
            "{format}"
        );
        assert_eq!(meta("sparse").size, 1 << 30, "{format}");
        assert!(tree.read(b"sparse", 1 << 20).is_err(), "{format}");
    }
}

#[test]
fn zstd_is_read_frame_by_frame() {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    let layer = LayerTar::new()
        .file("a", [b'a'; 5000])
        .file("b", "end")
        .bytes();
    let (first, second) = layer.split_at(3000);
    let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    let frames = [first, second].map(|part| compress_to_vec(part, CompressionLevel::Fastest));
    let blob = [&frames[0][..], &skipped, &frames[1], &skipped].concat();
    let tree = TestImage::new().blob(blob).read().expect("an image");
    assert_eq!(text(&tree, "b").as_deref(), Some("end"));
    assert_eq!(text(&tree, "a").expect("a file").len(), 5000);
}

#[test]
fn what_is_no_image_is_told_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    for (content, reason) in [
        (
            LayerTar::new().file("etc/passwd", "").bytes(),
            "neither an index.json",
        ),
        (gzip(b""), "compressed"),
        (vec![b'x'; 2000], "check sum"),
    ] {
        std::fs::write(&path, content).expect("a file");
        let error = Layered::archive(&path, None)
            .expect_err("no image")
            .to_string();
        assert!(
            error.contains(reason) || error.contains("numeric"),
            "{error}"
        );
    }
    let image = TestImage::new();
    let mut files = image.layout();
    for (name, content) in &mut files {
        if name == "index.json" {
            *content = br#"{"manifests": [{"digest": "sha256:../../../etc/passwd"}]}"#.to_vec();
        }
    }
    let error = Layered::oci_layout(&image.folder(&files), None).expect_err("no digest");
    assert!(error.to_string().contains("is no digest"), "{error}");
}

#[test]
fn findings_name_the_layer_and_its_instruction() {
    let lower = LayerTar::new().entry(EntryType::Fifo, b"usr/lib/one", b"", b"");
    let upper = LayerTar::new().entry(EntryType::Fifo, b"usr/lib/two", b"", b"");
    let (lower, upper) = (lower.bytes(), upper.bytes());
    let digests = [digest(&lower), digest(&upper)];
    let image = TestImage::new().blob(lower).blob(upper);
    let tree = image.read().expect("an image");
    let found = crate::lint(&tree, Some(tree.config()), &crate::Selection::default()).findings;
    let fifos = found
        .iter()
        .filter(|finding| finding.rule == "import-special-file");
    let shown: Vec<_> = fifos
        .map(|finding| {
            let origin = finding.origin.as_ref().expect("an origin");
            (
                finding.message.as_str(),
                finding.paths[0].as_str(),
                origin.instruction.as_str(),
                origin.layer.as_str(),
            )
        })
        .collect();
    let message = "1 special file stops the import of the image";
    assert_eq!(
        shown,
        [
            (message, "/usr/lib/one", "RUN step 0", &*digests[0]),
            (message, "/usr/lib/two", "RUN step 1", &*digests[1]),
        ]
    );
}

#[test]
fn a_damaged_layer_is_named_with_what_it_has_and_should_have() {
    let layers = || {
        [
            LayerTar::new().file("a", "1").bytes(),
            gzip(&LayerTar::new().file("b", "2").bytes()),
        ]
    };
    for number in [0, 1] {
        let image = layers().into_iter().fold(TestImage::new(), TestImage::blob);
        let digest = digest(&layers()[number]);
        let mut files = image.layout();
        let layer = &mut files[number].1;
        let last = layer.len() - 1;
        layer[last] ^= 1;
        let found = super::super::testing::digest(layer);
        let expected = format!(
            "layer {} of 2 ({digest}): it is damaged: its digest is {found}, and has to be {digest}",
            number + 1
        );
        for read in [
            Layered::archive(&image.archive(&files), None),
            Layered::oci_layout(&image.folder(&files), None),
        ] {
            assert_eq!(read.expect_err("damage").to_string(), expected);
        }
    }
}

#[test]
fn a_truncated_layer_is_told_from_a_damaged_one() {
    let image = TestImage::new().layer(LayerTar::new().file("a", [7; 9000]));
    let mut files = image.layout();
    let whole = files[0].1.len();
    files[0].1.truncate(5000);
    let error = Layered::oci_layout(&image.folder(&files), None).expect_err("a part");
    let expected = format!("it is truncated: it has 5000 bytes, and has to have {whole}");
    assert!(error.to_string().ends_with(&expected), "{error}");
}

#[test]
fn a_document_that_is_not_what_its_digest_says_is_an_error() {
    let image = TestImage::new().layer(LayerTar::new().file("a", "1"));
    for number in [1, 2] {
        let mut files = image.layout();
        files[number].1.push(b' ');
        let name = files[number].0.clone();
        let error = Layered::oci_layout(&image.folder(&files), None).expect_err("damage");
        let error = error.to_string();
        assert!(
            error.starts_with(&format!("{name}: it is damaged: ")),
            "{error}"
        );
    }
}

#[test]
fn a_layer_of_docker_save_is_what_the_configuration_says() {
    let image = TestImage::new().gzip(LayerTar::new().file("a", "1"));
    assert!(Layered::docker_archive(&image.archive(&image.saved()), None).is_ok());
    let mut files = image.saved();
    files[0].1 = gzip(&LayerTar::new().file("a", "2").bytes());
    let error = Layered::docker_archive(&image.archive(&files), None).expect_err("damage");
    let error = error.to_string();
    assert!(
        error.starts_with("layer 1 of 1 (0/layer.tar): it is damaged: "),
        "{error}"
    );
    let mut files = image.saved();
    files.retain(|(name, _)| name != "c.json");
    files.push(("c.json".to_owned(), b"{}".to_vec()));
    let error = Layered::docker_archive(&image.archive(&files), None).expect_err("no digests");
    assert!(error.to_string().contains("names 1 layers"), "{error}");
}
