//! COPY of a directory onto software of earlier RUNs: /opt/acme is a link by then, and an engine copies no
//! directory onto a link. Where an instruction may meet such links, what earlier RUNs report decides, and an exec of
//! ours before it puts directories in their place.

use osderive_lints::{REPORT_MOUNT, StepRecord, StepReport};
use osderive_proto::gateway::{BuildError, CacheOptionsEntry, Gateway, SolveRequest};
use osderive_proto::llb::{Definition, Edge, RootAccess, Wanted};

use crate::errors::broken;
use crate::solve::reports;
use crate::splice::exec;
use crate::splice::wrap::is_wrapped;

/// Where links may be, and what may lead there.
const AREAS: [&str; 4] = ["/opt", "/usr/local", "/var/opt", "/var/usrlocal"];

/// Makes images ready for their COPY instructions.
pub(crate) struct Unfolder<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) tool: &'a Definition,
    pub(crate) caches: &'a [CacheOptionsEntry],
}

/// An image with what was put before its instructions.
pub(crate) struct Unfolded {
    pub(crate) image: Definition,
    /// How many instructions that make layers come after each exec of ours.
    pub(crate) followed_by: Vec<usize>,
}

impl Unfolder<'_> {
    /// An image with an exec of ours before each COPY that meets links of earlier RUNs. The RUNs before such an
    /// instruction run now.
    ///
    /// # Errors
    /// When a RUN fails, or our image has no tool for the engine's own platform.
    pub(crate) async fn unfold(
        &self,
        image: &Definition,
        platform: Option<&str>,
    ) -> Result<Unfolded, BuildError> {
        let mut result = Unfolded {
            image: image.clone(),
            followed_by: Vec::new(),
        };
        let mut done = 0;
        loop {
            let steps = result.image.lineage().steps;
            let Some((at, tops)) = next(&result.image, &steps, done) else {
                return Ok(result);
            };
            done = at + 1;
            let tops = match report_before(&result.image, &steps[..at]) {
                // Reading it would run a step again that came from an imported cache.
                Some(_) if !self.caches.is_empty() => tops,
                Some(report) => self.met(&mut result.image, &report, tops).await?,
                None => Vec::new(),
            };
            if tops.is_empty() {
                continue;
            }
            let title = exec::title("have COPY go on in /opt", platform);
            let probe = exec::probe(exec::unfold(&tops), RootAccess::Write, title)?;
            let (before, user) = (steps[at - 1], steps[at].digest);
            let root = result
                .image
                .probe(&before, self.tool, &probe, Wanted::Root)
                .map_err(broken)?;
            let grafted = result.image.graft(before, &root, |op| *op == user);
            result.image = grafted.map_err(broken)?;
            result.followed_by.push(steps.len() - at);
            // The exec is a state more.
            done += 1;
        }
    }

    /// Those of the places, to which COPY brings something, that links of earlier RUNs are below. The RUN of the
    /// `report` and those before it run now; afterwards no op of them asks to be made without the cache.
    async fn met(
        &self,
        image: &mut Definition,
        report: &Edge,
        tops: Vec<String>,
    ) -> Result<Vec<String>, BuildError> {
        let now = image.unsolved(report).map_err(broken)?;
        let request = SolveRequest {
            definition: Some(now.to_bytes()),
            evaluate: true,
            ..SolveRequest::default()
        };
        self.gateway.solve(request).await?;
        *image = image.after([&now]).map_err(broken)?;
        let linked = match reports::read_one(self.gateway, image, report).await? {
            StepRecord::Report(StepReport { linked, .. }) => linked,
            StepRecord::Unread(_) => return Ok(tops),
        };
        let meets = |top: &String| linked.iter().any(|link| is_above(top, link));
        Ok(tops.into_iter().filter(meets).collect())
    }
}

/// The report of the last committed RUN among states.
fn report_before(image: &Definition, states: &[Edge]) -> Option<Edge> {
    let mut runs = states
        .iter()
        .rev()
        .filter_map(|state| image.run(&state.digest));
    let run = runs.find(is_wrapped)?;
    let index = run.output_index(REPORT_MOUNT)?;
    let digest = run.digest;
    Some(Edge { digest, index })
}

/// The next state from `done` on that COPY made after a committed RUN, with the places that it brought something to
/// and that may have links below. COPY --link makes directories of its own.
fn next(image: &Definition, steps: &[Edge], done: usize) -> Option<(usize, Vec<String>)> {
    let is_committed = |state: &Edge| image.run(&state.digest).is_some_and(|run| is_wrapped(&run));
    let first = steps.iter().position(is_committed)? + 1;
    (first.max(done)..steps.len()).find_map(|at| {
        let copied = image.copied_to(&steps[at]).into_iter();
        let tops: Vec<String> = copied.filter(|top| may_have_links(top)).collect();
        (!tops.is_empty() && !image.is_merged(&steps[at])).then_some((at, tops))
    })
}

fn may_have_links(top: &str) -> bool {
    AREAS.iter().any(|area| {
        is_above(top, area) || is_above(area, top) || top.trim_end_matches('/') == *area
    })
}

/// Whether a path is strictly below another one.
fn is_above(top: &str, path: &str) -> bool {
    let top = top.trim_end_matches('/');
    path.strip_prefix(top)
        .is_some_and(|below| below.starts_with('/') && !below.trim_matches('/').is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_above_a_link_meets_it() {
        for (top, meets) in [
            ("/", true),
            ("/opt", true),
            ("/opt/", true),
            ("/opt/acme", false),
            ("/opt/acme/", false),
            ("/opt/acme/conf", false),
            ("/optional", false),
            ("/usr", false),
        ] {
            assert_eq!(is_above(top, "/opt/acme"), meets, "{top}");
        }
    }

    #[test]
    fn most_instructions_need_no_look() {
        for top in ["/", "/usr/", "/opt/", "/opt/acme", "/usr/local/bin", "/var"] {
            assert!(may_have_links(top), "{top}");
        }
        for top in ["/etc/", "/usr/lib", "/srv/x", "/var/lib/", "/optional"] {
            assert!(!may_have_links(top), "{top}");
        }
    }
}
