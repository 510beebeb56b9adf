//! Files of configuration that stand in any directory below one.

use crate::Image;
use crate::tree::Kind;

/// The files of a directory and those below it, but for what `leaves_out` names.
pub(super) fn files_below(
    image: &Image<'_>,
    directory: &str,
    leaves_out: fn(&str) -> bool,
) -> Vec<(String, String)> {
    /// Directories at most.
    const MAX_DIRECTORIES: usize = 1000;
    let mut found = Vec::new();
    let mut todo = vec![directory.to_owned()];
    let mut looked_at = 0;
    while let Some(directory) = todo.pop() {
        looked_at += 1;
        if looked_at > MAX_DIRECTORIES {
            break;
        }
        for name in image.names(&directory) {
            let path = format!("{directory}/{name}");
            let kind = image.tree.follow(path.as_bytes()).ok().flatten();
            match kind.map(|meta| meta.kind) {
                Some(Kind::Directory) if !leaves_out(&path) => todo.push(path),
                Some(Kind::File) => found.push((name, path)),
                _ => {}
            }
        }
    }
    found
}
