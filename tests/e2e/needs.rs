//! What a test needs of an engine beside a build. Where it is missing, the test is ignored, and says why.

use osderive_tests::engine::{Engine, ImageStore, Kind};

#[derive(Clone, Copy)]
pub(crate) enum Need {
    Nothing,
    /// BuildKit: how it shows things, what it caches, what only it has.
    BuildKit,
    /// The client's `--call` and `--check`, which came with Docker 27; the checks themselves with BuildKit 0.14.
    Checks,
    /// An image index, for attestations and several platforms.
    Index,
    /// An image index of an empty image, with which the client of Docker 26.1 ends.
    EmptyIndex,
    /// An engine whose cache is not the user's.
    OwnCache,
}

/// What is known of an engine.
struct Known {
    is_ours: bool,
    major: u32,
    store: ImageStore,
}

impl Need {
    /// Why an engine cannot have the test, if it cannot.
    pub(crate) fn missing_in(self, engine: &Engine) -> Option<&'static str> {
        self.missing(&Known {
            is_ours: engine.kind() != Kind::Reachable,
            major: engine.version().server_major(),
            store: engine.image_store(),
        })
    }

    /// Whether engines of a private kind can have the test.
    pub(crate) fn met_by(self, kind: Kind) -> bool {
        let (Some(major), Some(store)) = (kind.major(), kind.image_store()) else {
            return false;
        };
        let known = Known {
            is_ours: true,
            major,
            store,
        };
        self.missing(&known).is_none()
    }

    /// Whether podman and buildah can have the test.
    pub(crate) fn met_by_any_door(self) -> bool {
        matches!(self, Self::Nothing | Self::OwnCache)
    }

    fn missing(self, engine: &Known) -> Option<&'static str> {
        let has_index = engine.store == ImageStore::Containerd;
        let (is_met, reason) = match self {
            Self::Nothing | Self::BuildKit => (true, ""),
            Self::Checks => (engine.major >= 27, "needs Docker 27"),
            Self::Index => (has_index, "needs the containerd image store"),
            Self::EmptyIndex => (
                has_index && engine.major >= 27,
                "needs Docker 27 with the containerd image store",
            ),
            Self::OwnCache => (engine.is_ours, "needs a private engine"),
        };
        (!is_met).then_some(reason)
    }
}
