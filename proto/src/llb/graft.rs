//! Puts the result of one definition in the place of a state of another: an exec of our own on the final
//! root is grafted into what goes on from that root. Ops that do not use the state keep their bytes.

use std::collections::BTreeMap;

use super::definition::{Definition, Edge};
use super::digest::Digest;
use super::error::LlbError;
use super::rewrite::Changes;

impl Definition {
    /// This definition with what `scion` builds in the place of `stock`, wherever an op of it that `is_user` takes
    /// `stock` as an input. Where none does, it stays as it is, byte for byte.
    ///
    /// # Errors
    /// Those of [`Definition::parse`] should the result be no valid definition, such as one that became too long.
    pub fn graft(
        &self,
        stock: Edge,
        scion: &Self,
        is_user: impl Fn(&Digest) -> bool,
    ) -> Result<Self, LlbError> {
        let Some(edge) = scion.output() else {
            return Ok(self.clone());
        };
        let changes = Changes::of(self, &BTreeMap::new(), None, |user, input| {
            (input == stock && is_user(user)).then_some(edge)
        })?;
        Ok(changes.finish(Some((scion, edge)))?.definition)
    }
}
