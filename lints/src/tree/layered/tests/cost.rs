//! What reading an image costs: in proportion to its bytes, and no more than the budget.

use super::*;

/// The bytes of an image as it is stored.
fn stored(image: &TestImage) -> u64 {
    let files = image.layout();
    files.iter().map(|(_, content)| content.len() as u64).sum()
}

/// The work of an image's reading and of all rules; what was not read.
fn work(image: &TestImage) -> (u64, Vec<String>) {
    let tree = image.read().expect("an image");
    let found = crate::lint(&tree, Some(tree.config()), &crate::Selection::default()).findings;
    let over = found
        .into_iter()
        .filter(|one| one.rule == "input-over-budget");
    let spent = tree.budget().spent() + tree.again.spent();
    (spent, over.map(|one| one.message).collect())
}

#[test]
fn paths_of_two_thousand_names_cost_in_proportion_to_their_bytes() {
    let deep = "a/".repeat(1900);
    let layer = |count: usize| {
        let names = (0..count).map(|number| format!("{deep}{number:04}/f"));
        names.fold(LayerTar::new(), |layer, name| layer.file(&name, ""))
    };
    let size = layer(200).bytes().len() as u64;
    let (spent, over) = work(&TestImage::new().layer(layer(200)));
    assert_eq!(over, [""; 0]);
    // A name is two bytes here, and a step.
    assert!(spent < size * budget::STEP, "{spent} for {size}");
    let (twice, _) = work(&TestImage::new().layer(layer(400)));
    assert!(twice < spent * 21 / 10, "{twice} for twice of {spent}");
}

#[test]
fn a_path_is_stored_once_for_each_name_and_not_for_each_directory_on_it() {
    let path = "a/".repeat(2000) + "f";
    let tree = TestImage::new()
        .layer(LayerTar::new().file(&path, "deep"))
        .read()
        .expect("an image");
    assert_eq!(tree.index.stored_names(), 2001);
    assert_eq!(text(&tree, &path).as_deref(), Some("deep"));
}

/// Links that lead through each other, each with a way of so many names.
fn chain(names: usize, entries: usize) -> LayerTar {
    let way = "d/../".repeat(names / 2);
    let mut layer = LayerTar::new()
        .directory("d")
        .symlink("l0", &format!("{way}d"));
    for number in 1..39 {
        layer = layer.symlink(&format!("l{number}"), &format!("{way}l{}", number - 1));
    }
    let names = (0..entries).map(|number| format!("l38/{number}/f"));
    names.fold(layer, |layer, name| layer.file(&name, ""))
}

#[test]
fn chains_of_links_end_at_the_budget_and_what_was_not_read_is_told() {
    let image = TestImage::new().gzip(chain(1600, 1000));
    let (spent, over) = work(&image);
    assert!(over[0].contains("a part of layer 1 of 1"), "{over:?}");
    let limit = 10 * (2 * budget::FLOOR + budget::PER_STORED_BYTE * stored(&image));
    assert!(spent < limit, "{spent}");
}

#[test]
fn a_link_target_that_no_engine_can_make_is_told_and_followed_by_nobody() {
    let tree = TestImage::new()
        .layer(chain(40_000, 3))
        .read()
        .expect("an image");
    let problems = problems(&tree);
    assert_eq!(problems.len(), 39);
    let why = "what it leads to is longer than 4095 bytes";
    assert!(problems.iter().all(|(_, reason)| *reason == why));
    let size = chain(40_000, 3).bytes().len() as u64;
    assert!(tree.budget().spent() < 3 * size);
}

/// Units that are too large to be kept, behind as many bytes.
fn units_behind(bytes: usize) -> TestImage {
    let unit = [
        b"[Service]\nExecStart=/bin/x\n#",
        &vec![b'x'; 300 << 10][..],
        b"\n",
    ]
    .concat();
    let mut layer = LayerTar::new().file("big", vec![0; bytes]);
    for number in (0..40).rev() {
        let name = format!("u{number:02}.service");
        layer = layer
            .file(&format!("usr/lib/systemd/system/{name}"), &unit)
            .symlink(
                &format!("usr/lib/systemd/system/default.target.wants/{name}"),
                "/x",
            );
    }
    TestImage::new().gzip(layer.file("usr/lib/systemd/system/default.target", "[Unit]\n"))
}

#[test]
fn units_behind_a_large_file_do_not_unpack_it_again_and_again() {
    let size = 30_u64 << 20;
    let image = units_behind(30 << 20);
    let (spent, over) = work(&image);
    assert!(spent <= size * 40 / 2, "{spent}");
    assert!(over[0].contains("/usr/lib/systemd/system/u"), "{over:?}");
}

#[test]
fn files_that_are_asked_for_as_they_stand_unpack_their_layer_once_more() {
    let large = vec![b'x'; 1 << 20];
    let mut layer = LayerTar::new();
    for number in 0..20 {
        layer = layer.file(&format!("srv/{number:02}"), &large);
    }
    let tree = TestImage::new().gzip(layer).read().expect("an image");
    for number in 0..20 {
        let content = tree.read(format!("srv/{number:02}").as_bytes(), 1 << 30);
        assert!(content.expect("readable") == Some(large.clone()));
    }
    let again = tree.again.spent();
    assert!(again < 21 << 20, "{again}");
}

#[test]
fn a_layer_that_is_named_again_and_again_counts_once() {
    let layer = gzip(&LayerTar::new().file("zeros", vec![0; 4 << 20]).bytes());
    let image = (0..40).fold(TestImage::new(), |image, _| image.blob(layer.clone()));
    let (spent, over) = work(&image);
    assert!(over[0].contains("of 40"), "{over:?}");
    assert!(spent <= 10 * (2 * budget::FLOOR + budget::PER_STORED_BYTE * stored(&image)));
}
