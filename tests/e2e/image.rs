//! The image of osderive itself.

use osderive_tests::sbom::{self, Subject};

use crate::Setup;

crate::tests![it_tells_what_it_is_made_of];

fn it_tells_what_it_is_made_of(setup: &Setup) {
    let copy = format!("FROM scratch\nCOPY --from=osderive /{0} /{0}\n", sbom::FILE);
    let scenario = setup.scenario("own-contents", &copy);
    scenario.build(&[]).unwrap().expect_success();
    let image = scenario.saved(1).unwrap();
    let contents = String::from_utf8_lossy(&image.top()[sbom::FILE].content);
    assert_eq!(
        contents,
        sbom::document(&setup.places, Subject::Image).unwrap()
    );
}
