//! The engine host, base images and helpers that the end-to-end tests stand on.
