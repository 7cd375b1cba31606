//! The platform file: read, checked as a whole, and turned into a [`Platform`].
//!
//! The way of a file: `read` parses it and its overlay and merges them into one tree that knows where each value was
//! written; `validate` checks the tree against the JSON Schema made from the types in `raw`; `resolve` checks what it
//! means and derives the instances. A mistake stops none of them: whatever can still be said is said, all at once.
//!
//! Nothing here does I/O: the caller gives [`Files`].

mod allocate;
mod diagnostic;
mod document;
mod explain;
mod platform;
mod raw;
mod read;
#[cfg(test)]
mod reference;
mod resolve;
mod schema;
mod services;
mod validate;
mod words;

use std::path::Path;

pub use allocate::{AllocateError, allocate};
pub use diagnostic::{Diagnostic, Diagnostics};
pub use platform::*;
pub use read::{Files, internal_authority_path};
pub use schema::schema;
pub use services::*;

/// Reads a platform file with the overlay `env/ENVIRONMENT.toml` beside it.
///
/// Relative paths in a file are resolved against the folder of that file, so they come out absolute when
/// `platform_file` is.
///
/// # Errors
///
/// All that is wrong with the two files and the public keys they name, each with its place and a remedy.
pub fn load(files: &dyn Files, platform_file: &Path, environment: &str) -> Result<Platform, Diagnostics> {
    let read::Read { whole: root, base } = read::read(files, platform_file, environment)?;
    let validate::Validated { file, diagnostics, suspects } = validate::validate(&root, &base);
    let mut context = resolve::Context::new(files, &root, suspects, diagnostics);
    let mut platform = resolve::resolve(&file, environment, &mut context);
    if let Some(platform) = &mut platform {
        platform.internal_authority = read::internal_authority(platform_file, environment, &mut context);
    }
    match (platform, context.into_diagnostics()) {
        (Some(platform), diagnostics) if diagnostics.is_empty() => Ok(platform),
        (_, diagnostics) => Err(diagnostics),
    }
}
