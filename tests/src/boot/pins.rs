//! The ids that an image's commits pinned, for machines on which somebody else has them.

use crate::engine::Engine;
use crate::error::Result;
use crate::process::capture;

/// A user whose uid and gid an image pins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pin {
    pub(super) user: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Pin {
    /// The first user that a step's commit declared with a group of the same name; `None` where there is no such user.
    pub(super) fn of(engine: &Engine, image: &str) -> Result<Option<Self>> {
        let mut docker = engine.docker();
        docker
            .args([
                "run",
                "--rm",
                "--network=none",
                "--entrypoint=/bin/sh",
                image,
            ])
            .args([
                "-c",
                "find /usr/lib/sysusers.d -name '00-osderive-*.conf' -exec cat {} +",
            ]);
        let lines = capture(&format!("read the accounts of {image}"), &mut docker)?;
        Ok(Self::first(&lines))
    }

    fn first(lines: &str) -> Option<Self> {
        let entries = || lines.lines().map(|line| line.split_whitespace());
        entries().find_map(|mut words| {
            let (kind, user, ids) = (words.next()?, words.next()?, words.next()?);
            if kind != "u" {
                return None;
            }
            let uid = ids.split(':').next()?.parse().ok()?;
            let gid = entries().find_map(|mut words| {
                let named = words.next()? == "g" && words.next()? == user;
                named.then(|| words.next()?.parse().ok())?
            })?;
            Some(Self {
                user: user.to_owned(),
                uid,
                gid,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_has_the_gid_of_the_users_own_group() {
        let lines = "# of a step\ng redis 106 - -\nu alone 104:7 - / -\nu redis 105:106 \"Redis\" /var/lib/redis -\n";
        let pin = Pin::first(lines).unwrap();
        assert_eq!((pin.user.as_str(), pin.uid, pin.gid), ("redis", 105, 106));
    }

    #[test]
    fn without_a_pinned_user_there_is_none() {
        assert_eq!(Pin::first("g audio 29\nu dynamic - - / -\n"), None);
    }
}
