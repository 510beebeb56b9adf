//! The services that podman's generator makes of Quadlet files (podman-systemd.unit(5), podman's
//! `pkg/systemd/quadlet` and `cmd/quadlet`).

use std::collections::BTreeSet;

use super::files::files_below;
use crate::Image;
use crate::model::units::{Assignment, parse, words};

/// Where root's files are, each with the directories below it.
const DIRECTORIES: [&str; 2] = ["etc/containers/systemd", "usr/share/containers/systemd"];

/// Each kind with its section, and with what is added to the file's name.
const KINDS: [(&str, &str, &str); 8] = [
    ("artifact", "Artifact", "-artifact"),
    ("build", "Build", "-build"),
    ("container", "Container", ""),
    ("image", "Image", "-image"),
    ("kube", "Kube", ""),
    ("network", "Network", "-network"),
    ("pod", "Pod", "-pod"),
    ("volume", "Volume", "-volume"),
];

/// The names of the services, and their aliases.
pub(super) fn services(image: &Image<'_>) -> Vec<String> {
    // The files of users' own services, and drop-ins.
    let leaves_out = |path: &str| {
        path.starts_with("etc/containers/systemd/users")
            || std::path::Path::new(path)
                .extension()
                .is_some_and(|end| end == "d")
    };
    let mut seen = BTreeSet::new();
    let mut names = Vec::new();
    for directory in DIRECTORIES {
        for (file, path) in files_below(image, directory, leaves_out) {
            let kind = file.rsplit_once('.').and_then(|(name, end)| {
                let kind = KINDS.iter().find(|(kind, ..)| *kind == end)?;
                Some((name, kind))
            });
            if let Some((name, (_, section, suffix))) = kind
                && seen.insert(file.clone())
            {
                names.extend(of_file(
                    &settings(image, &file, &path),
                    name,
                    section,
                    suffix,
                ));
            }
        }
    }
    names
}

/// What a file and its drop-ins say.
fn settings(image: &Image<'_>, file: &str, path: &str) -> Vec<Assignment> {
    let drop_ins = DIRECTORIES.map(|directory| format!("{directory}/{file}.d"));
    let drop_ins = image.files(&drop_ins.each_ref().map(String::as_str), ".conf");
    let own = image.one(path);
    let files = own.into_iter().chain(drop_ins);
    files
        .flat_map(|file| parse(&file.content).assignments)
        .collect()
}

/// The service of one file with this name, and its aliases.
fn of_file(settings: &[Assignment], name: &str, section: &str, suffix: &str) -> Vec<String> {
    let of = |section: &str, key: &str| {
        let of_key = settings
            .iter()
            .filter(|one| one.section == section.as_bytes() && one.key == key.as_bytes());
        let values = of_key.map(|one| String::from_utf8_lossy(&one.value).into_owned());
        values.collect::<Vec<_>>()
    };
    let service =
        of(section, "ServiceName")
            .pop()
            .unwrap_or_else(|| match name.strip_suffix('@') {
                Some(template) => format!("{template}{suffix}@"),
                None => format!("{name}{suffix}"),
            });
    let mut names = vec![format!("{service}.service")];
    for value in of("Install", "Alias") {
        let words = words(value.as_bytes()).into_iter();
        names.extend(words.filter_map(|word| String::from_utf8(word).ok()));
    }
    names
}

#[cfg(test)]
mod tests {
    use crate::model::unit_name::UnitName;
    use crate::rules::fixture::Fixture;
    use crate::units::State;

    const PODMAN: &str = "usr/lib/systemd/system-generators/podman-system-generator";

    fn missing(fixture: &Fixture, names: &[&str]) -> Vec<String> {
        let names = names
            .iter()
            .map(|name| UnitName::parse(name).expect("a name"));
        fixture.on_image(|image| {
            let missing = names.filter(|name| image.units().state(name) == State::Missing);
            missing.map(|name| name.as_str().to_owned()).collect()
        })
    }

    #[test]
    fn each_kind_of_quadlet_file_makes_a_service() {
        let etc = "etc/containers/systemd";
        let fixture = Fixture::new()
            .program(PODMAN)
            .file(&format!("{etc}/web.container"), "[Container]\nImage=x\n")
            .file(&format!("{etc}/deep/er/data.volume"), "[Volume]\n")
            .file(&format!("{etc}/inner.network"), "[Network]\n")
            .file("usr/share/containers/systemd/all.pod", "[Pod]\n")
            .file(&format!("{etc}/play.kube"), "[Kube]\nYaml=a.yml\n")
            .file(&format!("{etc}/base.image"), "[Image]\nImage=x\n")
            .file(&format!("{etc}/own.build"), "[Build]\nImageTag=x\n")
            .file(&format!("{etc}/job@.container"), "[Container]\nImage=x\n")
            .file(&format!("{etc}/vol@.volume"), "[Volume]\n");
        let there = [
            "web.service",
            "data-volume.service",
            "inner-network.service",
            "all-pod.service",
            "play.service",
            "base-image.service",
            "own-build.service",
            "job@1.service",
            "vol-volume@1.service",
        ];
        assert_eq!(missing(&fixture, &there), [""; 0]);
        let others = ["data.service", "web-container.service", "job.service"];
        assert_eq!(missing(&fixture, &others), others);
    }

    #[test]
    fn a_quadlet_file_may_name_its_service_and_aliases() {
        let etc = "etc/containers/systemd";
        let fixture = Fixture::new()
            .program(PODMAN)
            .file(
                &format!("{etc}/web.container"),
                "[Container]\nImage=x\n[Install]\nAlias=www.service\n",
            )
            .file(
                &format!("{etc}/web.container.d/a.conf"),
                "[Container]\nServiceName=site\n",
            );
        assert_eq!(missing(&fixture, &["site.service", "www.service"]), [""; 0]);
        assert_eq!(missing(&fixture, &["web.service"]), ["web.service"]);
    }

    #[test]
    fn files_of_users_and_without_podman_make_none() {
        let of_user = "etc/containers/systemd/users/1000/web.container";
        let fixture = Fixture::new()
            .program(PODMAN)
            .file(of_user, "[Container]\n");
        assert_eq!(missing(&fixture, &["web.service"]), ["web.service"]);
        let fixture = Fixture::new().file("etc/containers/systemd/web.container", "[Container]\n");
        assert_eq!(missing(&fixture, &["web.service"]), ["web.service"]);
    }
}
