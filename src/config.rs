//! The configuration, validated once into types; nothing re-checks it later.
mod file;
pub use file::ConfigError;
