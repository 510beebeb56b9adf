//! The previous image, when the user names it: the ids of its accounts are read while the build goes
//! on, and compared with those of the new image in the end.

use osderive_lints::model::ids::{Changed, FILES, Ids};
use osderive_lints::model::ledger::Entry;
use osderive_lints::rules::account_id_changed;
use osderive_proto::gateway::{BuildError, Gateway, SolveRequest, Warning};
use osderive_proto::llb::{Definition, Digest, Image, Lineage, Platform};
use tokio::task::JoinSet;

use crate::diagnostics::found::Found;
use crate::diagnostics::step::Step;
use crate::facts::result::single_ref;

/// As much of an account file as is read.
const MAX_BYTES: usize = 10 << 20;

/// A final image that is committed.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Its platform as the result names it; none in a single-platform result.
    pub(crate) key: Option<String>,
    /// The platform that its steps name.
    pub(crate) platform: Option<Platform>,
    /// What warnings without a step are about.
    pub(crate) digest: Digest,
}

impl Target {
    /// An image as it is compared with the previous one; none where nothing runs.
    pub(crate) fn of(
        key: Option<&str>,
        definition: &Definition,
        lineage: &Lineage,
    ) -> Option<Self> {
        let digest = lineage.runs.last()?;
        Some(Self {
            key: key.map(ToOwned::to_owned),
            platform: definition.run(digest)?.platform,
            digest: *digest,
        })
    }
}

/// The ids of the previous image, on their way, for each target.
pub(crate) struct Previous<'a> {
    name: &'a str,
    reads: JoinSet<(Target, Result<Ids, BuildError>)>,
}

impl<'a> Previous<'a> {
    /// Begins to read an image's ids, which takes no step's running.
    pub(crate) fn ask(gateway: &Gateway, name: &'a str, targets: Vec<Target>) -> Self {
        let mut reads = JoinSet::new();
        for target in targets {
            let gateway = gateway.clone();
            let image = Image {
                name,
                platform: target.platform.as_ref(),
                title: &format!("[internal] load the accounts of the previous image {name}"),
            };
            let request = SolveRequest {
                definition: Some(image.definition()),
                ..SolveRequest::default()
            };
            reads.spawn(async move {
                let ids = match gateway.solve(request).await.and_then(single_ref) {
                    Ok(reference) => ids(&gateway, &reference.id).await,
                    Err(error) => Err(error),
                };
                (target, ids)
            });
        }
        Self { name, reads }
    }

    /// The accounts that have another id in the new images, with the steps that made them;
    /// `reference` knows each new image. A previous image that cannot be read is a warning, too: the
    /// first build of all has none.
    ///
    /// # Errors
    /// When the session broke.
    pub(crate) async fn compare(
        self,
        gateway: &Gateway,
        steps: &[Step],
        reference: impl Fn(&Target) -> Option<String>,
    ) -> Result<Vec<Found>, BuildError> {
        let mut found = Vec::new();
        for (target, previous) in self.reads.join_all().await {
            let changed = match (previous, reference(&target)) {
                (Ok(previous), Some(id)) => {
                    (ids(gateway, &id).await).map(|now| now.changed_from(&previous))
                }
                (Ok(_), None) => Ok(Vec::new()),
                (Err(error), _) => Err(error),
            };
            match changed {
                Ok(changed) => found.extend(findings(&changed, steps, target.digest)),
                Err(error) => {
                    let warning = unread(self.name, &error, target.digest);
                    gateway.warn(warning).await?;
                }
            }
        }
        Ok(found)
    }
}

async fn ids(gateway: &Gateway, reference: &str) -> Result<Ids, BuildError> {
    let [passwd, others @ ..] = FILES.map(|(_, path)| path);
    // Every image has it; of the others some.
    let passwd = gateway.read_file(reference, passwd, MAX_BYTES).await?;
    let mut files = vec![passwd];
    for path in others {
        let file = gateway.read_file(reference, path, MAX_BYTES).await;
        files.push(file.unwrap_or_default());
    }
    Ok(Ids::of(std::array::from_fn(|place| {
        files[place].as_slice()
    })))
}

/// The findings, with their steps; those that no step made are of the image.
fn findings(changed: &[Changed], steps: &[Step], digest: Digest) -> Vec<Found> {
    let made: Vec<&[Entry]> = steps.iter().map(|step| step.accounts.as_slice()).collect();
    let findings = account_id_changed::by_step(changed, &made).into_iter();
    let found = findings.map(|(step, finding)| match step {
        Some(step) => steps[step].found(finding),
        None => Found {
            finding,
            digest,
            location: None,
        },
    });
    found.collect()
}

fn unread(name: &str, error: &BuildError, digest: Digest) -> Warning {
    Warning {
        digest,
        short: format!("osderive: the ids of the previous image {name} are not compared: {error}"),
        detail: vec!["Leave the option out where there is no previous image".to_owned()],
        url: None,
        location: None,
    }
}

#[cfg(test)]
mod tests {
    use osderive_lints::model::ledger::AccountKind;

    use super::*;

    #[test]
    fn each_step_is_told_of_its_own_accounts() {
        let user = |name: &str, id| Entry {
            kind: AccountKind::User,
            name: name.to_owned(),
            id,
        };
        let step = |accounts| {
            let mut step = Step::new(Digest::of(b"step"), None);
            step.accounts = accounts;
            step
        };
        let steps = [
            step(vec![user("a", 1)]),
            step(vec![user("b", 2), user("a", 1)]),
        ];
        let changed = [("a", 1), ("b", 2), ("c", 3)].map(|(name, id)| Changed {
            now: user(name, id),
            before: 9,
        });
        let found = findings(&changed, &steps, Digest::of(b"image"));
        let shorts: Vec<&str> = (found.iter())
            .map(|found| found.finding.message.as_str())
            .collect();
        assert_eq!(shorts.len(), 2, "{shorts:?}");
        assert!(
            shorts[0].contains("user a") && shorts[0].contains("user b"),
            "{shorts:?}"
        );
        assert!(
            shorts[1].contains("user c has the uid 3, had 9"),
            "{shorts:?}"
        );
    }
}
