//! Units that generators make at each boot (systemd.generator(7)): their names follow from what each
//! generator reads, as far as the image has it. What a machine adds (kernel arguments, disks, files
//! of its own) is not known, nor what a generator does that is not in the table.

use std::collections::BTreeSet;

use super::{DIRECTORIES, quadlet};
use crate::Image;
use crate::model::unit_name::{UnitName, escaped, escaped_path};
use crate::model::units::parse;

/// Where generators are, the first of a name only.
const GENERATORS: [&str; 4] = [
    "run/systemd/system-generators",
    "etc/systemd/system-generators",
    "usr/local/lib/systemd/system-generators",
    "usr/lib/systemd/system-generators",
];

/// Names that one generator makes at most.
const MAX_NAMES: usize = 10_000;

/// Who makes a unit that has no file in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Maker {
    /// A generator that reads of it in the image.
    Image,
    /// A generator that may read of it on a machine, or one that is not known; its path.
    Perhaps(String),
}

/// What the generators of an image make.
#[derive(Debug, Default)]
pub(super) struct Generators {
    made: BTreeSet<UnitName>,
    /// Of the known ones their paths, with the names that they may make of a machine's own input.
    known: Vec<(String, &'static [&'static str])>,
    /// The paths of the others.
    unknown: Vec<String>,
}

/// A generator that is known.
struct Known {
    /// Its file name.
    name: &'static str,
    /// The units that it makes of files of the image.
    made: fn(&Image<'_>) -> Vec<String>,
    /// The units that it may make of what only a machine has: how their names begin or, after a `*`, end.
    may_make: &'static [&'static str],
}

/// The generators of systemd 247 to 258 and of packages that ship one, by their documentation and source.
/// Those without names change what starts, and make nothing that has no file.
const KNOWN: &[Known] = &[
    only_links("bootc-systemd-generator"),
    only_links("cloud-init-generator"),
    // openvpn, tor and postgresql-common start instances of a template that has a file.
    only_links("openvpn-generator"),
    only_links("postgresql-generator"),
    only_links("selinux-autorelabel-generator.sh"),
    only_links("systemd-bless-boot-generator"),
    only_links("systemd-debug-generator"),
    only_links("systemd-getty-generator"),
    only_links("systemd-rc-local-generator"),
    only_links("systemd-system-update-generator"),
    only_links("systemd-tpm2-generator"),
    only_links("tor-generator"),
    // nfs-utils: an order among units, and where rpc_pipefs is mounted.
    only_links("nfs-server-generator"),
    Known {
        name: "rpc-pipefs-generator",
        made: rpc_pipefs,
        may_make: &["*rpc_pipefs.mount"],
    },
    Known {
        name: "lvm2-activation-generator",
        made: nothing,
        may_make: &["lvm2-activation"],
    },
    Known {
        name: "netplan",
        made: nothing,
        may_make: &["netplan-"],
    },
    Known {
        name: "ostree-system-generator",
        made: nothing,
        may_make: &["ostree-", "var.mount"],
    },
    Known {
        name: "podman-system-generator",
        made: quadlet::services,
        may_make: &[],
    },
    Known {
        name: "snapd-generator",
        made: nothing,
        may_make: &["snap-", "var-lib-snapd-"],
    },
    Known {
        name: "systemd-cryptsetup-generator",
        made: cryptsetup,
        may_make: &["systemd-cryptsetup@", "keydev-"],
    },
    Known {
        name: "systemd-fstab-generator",
        made: fstab,
        may_make: &[
            "*.mount",
            "*.automount",
            "*.swap",
            "systemd-fsck@",
            "systemd-growfs",
            "systemd-makefs@",
            "systemd-mkswap@",
        ],
    },
    Known {
        name: "systemd-gpt-auto-generator",
        made: nothing,
        may_make: &[
            "*.mount",
            "*.automount",
            "*.swap",
            "systemd-cryptsetup@",
            "systemd-growfs",
        ],
    },
    Known {
        name: "systemd-hibernate-resume-generator",
        made: nothing,
        may_make: &["systemd-hibernate-resume"],
    },
    Known {
        name: "systemd-import-generator",
        made: nothing,
        may_make: &["import-"],
    },
    Known {
        name: "systemd-integritysetup-generator",
        made: integritysetup,
        may_make: &["systemd-integritysetup@"],
    },
    Known {
        name: "systemd-run-generator",
        made: nothing,
        may_make: &["kernel-command-line.service"],
    },
    Known {
        name: "systemd-ssh-generator",
        made: nothing,
        may_make: &["sshd-"],
    },
    Known {
        name: "systemd-sysv-generator",
        made: sysv,
        may_make: &[],
    },
    Known {
        name: "systemd-veritysetup-generator",
        made: veritysetup,
        may_make: &["systemd-veritysetup@"],
    },
    Known {
        name: "zfs-mount-generator",
        made: nothing,
        may_make: &["*.mount", "zfs-load-key"],
    },
    Known {
        name: "zram-generator",
        made: zram,
        may_make: &["systemd-zram-setup@", "dev-zram", "*.mount"],
    },
];

const fn only_links(name: &'static str) -> Known {
    Known {
        name,
        made: nothing,
        may_make: &[],
    }
}

impl Generators {
    pub(super) fn read(image: &Image<'_>) -> Self {
        let mut generators = Self::default();
        let mut seen = BTreeSet::new();
        for directory in GENERATORS {
            for name in image.names(directory) {
                let path = format!("{directory}/{name}");
                if !seen.insert(name.clone()) || !is_run(image, &path) {
                    continue;
                }
                let Some(known) = KNOWN.iter().find(|known| known.name == name) else {
                    generators.unknown.push(path);
                    continue;
                };
                let made = (known.made)(image).into_iter().take(MAX_NAMES);
                let names = made.filter_map(|name| UnitName::parse(&name));
                generators.made.extend(names);
                generators.known.push((path, known.may_make));
            }
        }
        generators
    }

    /// Who makes a unit of this name; none if nobody does.
    pub(super) fn maker(&self, name: &UnitName) -> Option<Maker> {
        let template = name.template();
        let is_made = |name: &UnitName| self.made.contains(name);
        if is_made(name) || template.as_ref().is_some_and(is_made) {
            return Some(Maker::Image);
        }
        let fits = |pattern: &&str| match pattern.strip_prefix('*') {
            Some(end) => name.as_str().ends_with(end),
            None => name.as_str().starts_with(pattern),
        };
        let known = self.known.iter();
        let of_known = known.filter(|(_, may_make)| may_make.iter().any(fits));
        let paths = of_known.map(|(path, _)| path).chain(&self.unknown);
        paths.cloned().map(Maker::Perhaps).next()
    }
}

/// Whether systemd runs a generator: not one that is masked or no program.
fn is_run(image: &Image<'_>, path: &str) -> bool {
    let meta = image.tree.follow(path.as_bytes()).ok().flatten();
    !image.is_masked(path) && meta.is_some_and(|meta| meta.is_executable() && meta.size > 0)
}

fn nothing(_: &Image<'_>) -> Vec<String> {
    Vec::new()
}

/// The fields of the lines of a table such as fstab(5), without comments.
fn table(image: &Image<'_>, path: &str) -> Vec<Vec<String>> {
    let content = image.content(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&content);
    let lines = text.lines().map(str::trim_start);
    let lines = lines.filter(|line| !line.starts_with('#'));
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    lines
        .map(fields)
        .filter(|fields: &Vec<_>| !fields.is_empty())
        .collect()
}

/// `PREFIX@NAME.service` for the names in the first column of a table.
fn instances(image: &Image<'_>, path: &str, prefix: &str) -> Vec<String> {
    let name = |fields: Vec<String>| {
        let name = escaped(fields.first()?.as_bytes());
        Some(format!("{prefix}@{name}.service"))
    };
    table(image, path).into_iter().filter_map(name).collect()
}

/// crypttab(5).
fn cryptsetup(image: &Image<'_>) -> Vec<String> {
    instances(image, "etc/crypttab", "systemd-cryptsetup")
}

/// veritytab(5).
fn veritysetup(image: &Image<'_>) -> Vec<String> {
    instances(image, "etc/veritytab", "systemd-veritysetup")
}

/// integritytab(5).
fn integritysetup(image: &Image<'_>) -> Vec<String> {
    instances(image, "etc/integritytab", "systemd-integritysetup")
}

/// fstab(5) and systemd.mount(5), "fstab".
fn fstab(image: &Image<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for fields in table(image, "etc/fstab") {
        let [device, place, kind, ..] = fields.as_slice() else {
            continue;
        };
        let options = fields.get(3).map_or("", String::as_str);
        let has = |option: &str| {
            let mut options = options.split(',');
            options.any(|one| one.split('=').next() == Some(option))
        };
        let place = unquoted(place);
        let name = escaped_path(&place);
        if kind == "swap" {
            let device = device_node(device);
            let name = escaped_path(&device);
            names.push(format!("{name}.swap"));
            if has("x-systemd.makefs") {
                names.push(format!("systemd-mkswap@{name}.service"));
            }
            continue;
        }
        if !place.starts_with(b"/") {
            continue;
        }
        names.push(format!("{name}.mount"));
        if has("x-systemd.automount") || has("comment") {
            names.push(format!("{name}.automount"));
        }
        if has("x-systemd.growfs") {
            names.push(match place.as_slice() {
                b"/" => "systemd-growfs-root.service".to_owned(),
                _ => format!("systemd-growfs@{name}.service"),
            });
        }
        let device = escaped_path(&device_node(device));
        if has("x-systemd.makefs") {
            names.push(format!("systemd-makefs@{device}.service"));
        }
        if fields.get(5).is_some_and(|pass| pass != "0") {
            names.push(format!("systemd-fsck@{device}.service"));
        }
    }
    names
}

/// Octal escapes of fstab undone (`\040` is a blank).
fn unquoted(field: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|_| byte == b'\\');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let escape = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(escape.unwrap_or(byte));
        rest = if escape.is_some() { &tail[3..] } else { tail };
    }
    bytes
}

/// The device node of a field such as `UUID=…` (`fstab_node_to_udev_node`).
fn device_node(field: &str) -> Vec<u8> {
    let by = [
        ("LABEL=", "label"),
        ("UUID=", "uuid"),
        ("PARTUUID=", "partuuid"),
        ("PARTLABEL=", "partlabel"),
    ];
    let named = by.iter().find_map(|(tag, directory)| {
        let value = field.strip_prefix(tag)?.trim_matches('"');
        Some(format!("/dev/disk/by-{directory}/{value}").into_bytes())
    });
    named.unwrap_or_else(|| unquoted(field))
}

/// Where System V scripts are: Debian's and Fedora's place.
const INIT_SCRIPTS: [&str; 2] = ["etc/init.d", "etc/rc.d/init.d"];

/// Executable scripts of /etc/init.d without a unit of their name, and the names that their LSB header provides
/// (systemd-sysv-generator(8); until systemd 259).
fn sysv(image: &Image<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for directory in INIT_SCRIPTS {
        for file in image.names(directory) {
            let path = format!("{directory}/{file}");
            if !is_run(image, &path) {
                continue;
            }
            let unit = |name: &str| {
                let name = name.strip_suffix(".sh").unwrap_or(name);
                format!("{}.service", escaped(name.as_bytes()))
            };
            let own = unit(&file);
            let has_file = |name: &String| {
                (DIRECTORIES.iter()).any(|at| image.exists(&format!("{at}/{name}")))
            };
            if has_file(&own) {
                continue;
            }
            names.push(own);
            let script = image.content(&path).unwrap_or_default();
            let script = String::from_utf8_lossy(&script).into_owned();
            let provides = script.lines().take_while(|line| line.starts_with('#'));
            let provides = provides.filter_map(|line| {
                let line = line.trim_start_matches('#').trim_start();
                line.strip_prefix("Provides:")
            });
            let words = provides.flat_map(str::split_whitespace);
            names.extend(words.filter(|word| !word.starts_with('$')).map(unit));
        }
    }
    names
}

/// zram-generator.conf(5).
fn zram(image: &Image<'_>) -> Vec<String> {
    const PLACES: [&str; 4] = [
        "etc/systemd",
        "run/systemd",
        "usr/local/lib/systemd",
        "usr/lib/systemd",
    ];
    let own = PLACES
        .iter()
        .find_map(|place| image.one(&format!("{place}/zram-generator.conf")));
    let drop_ins = PLACES.map(|place| format!("{place}/zram-generator.conf.d"));
    let drop_ins = image.files(&drop_ins.each_ref().map(String::as_str), ".conf");
    let mut names = BTreeSet::new();
    for file in own.into_iter().chain(drop_ins) {
        for one in parse(&file.content).assignments {
            let device = String::from_utf8_lossy(&one.section).into_owned();
            let number = device.strip_prefix("zram").unwrap_or_default();
            if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            if one.key == b"mount-point" {
                names.insert(format!("{}.mount", escaped_path(&one.value)));
            }
            names.insert(format!("systemd-zram-setup@{device}.service"));
            names.insert(format!("dev-{device}.swap"));
        }
    }
    names.into_iter().collect()
}

/// The target that nfs-utils' generator makes, and the mount where nfs.conf(5) says another place.
fn rpc_pipefs(image: &Image<'_>) -> Vec<String> {
    let mut names = vec!["rpc_pipefs.target".to_owned()];
    let content = image.content("etc/nfs.conf").unwrap_or_default();
    let settings = parse(&content).assignments.into_iter();
    let places = settings.filter(|one| one.key == b"pipefs-directory");
    names.extend(places.map(|one| format!("{}.mount", escaped_path(&one.value))));
    names
}

/// Whether something of this kind is there on every machine that wants it, made by the manager or the kernel.
pub(super) fn needs_no_file(name: &UnitName) -> bool {
    ["device", "scope", "slice"].contains(&name.kind())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn a_field_of_fstab_loses_its_escapes() {
        assert_eq!(unquoted(r"/srv/my\040data"), b"/srv/my data");
        assert_eq!(unquoted(r"/a\b\9"), br"/a\b\9");
        assert_eq!(device_node("UUID=\"a-b\""), b"/dev/disk/by-uuid/a-b");
        assert_eq!(device_node("/dev/vda"), b"/dev/vda");
    }

    #[test]
    fn each_generator_is_in_the_table_once() {
        let names: BTreeSet<&str> = KNOWN.iter().map(|known| known.name).collect();
        assert_eq!(names.len(), KNOWN.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn any_table_is_read(content in r"[ -~\n\\#=/\[\]]{0,80}") {
            let fixture = Fixture::new()
                .file("etc/fstab", &content)
                .file("etc/crypttab", &content)
                .file("etc/nfs.conf", &content)
                .file("etc/systemd/zram-generator.conf", &content)
                .file("etc/containers/systemd/a.container", &content)
                .file_with("etc/init.d/a", &content, 0o755);
            fixture.on_image(|image| {
                for known in KNOWN {
                    let _ = (known.made)(image);
                }
            });
        }
    }
}
