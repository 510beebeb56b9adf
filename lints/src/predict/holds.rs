//! What is known of conditions before a machine starts.

/// Whether the conditions of a unit hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// On every machine.
    Yes,
    /// On none.
    No,
    /// Only a machine knows.
    Unknown {
        /// Whether they hold on most: what is asked for is ordinary, or it is what shall not be.
        usually: bool,
    },
}

impl Holds {
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, holds) | (holds, Self::Yes) => holds,
            (Self::Unknown { usually: one }, Self::Unknown { usually: other }) => Self::Unknown {
                usually: one && other,
            },
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::No, holds) | (holds, Self::No) => holds,
            (Self::Unknown { usually: one }, Self::Unknown { usually: other }) => Self::Unknown {
                usually: one || other,
            },
        }
    }
}
