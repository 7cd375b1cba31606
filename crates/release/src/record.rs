//! What is recorded in Incus, as keys on the environment's project.

use std::collections::BTreeMap;

use bascule_incus::Incus;
use bascule_roles::{ColourRelease, Releases};
use bascule_spec::Colour;

use crate::ReleaseError;

const GENERATION: &str = "user.bascule.generation";
const ACTIVE: &str = "user.bascule.active";
const RELEASE: &str = "user.bascule.release";

fn release_key(colour: Option<Colour>) -> String {
    colour.map_or_else(|| RELEASE.to_owned(), |colour| format!("{RELEASE}.{colour}"))
}

pub(crate) fn read(config: &BTreeMap<String, String>) -> Result<Releases, ReleaseError> {
    let unreadable =
        |key: &str, value: &str, source| ReleaseError::Record { key: key.to_owned(), value: value.to_owned(), source };
    let mut releases = Releases::default();
    if let Some(value) = config.get(GENERATION) {
        releases.generation = value.parse().map_err(|_| unreadable(GENERATION, value, None))?;
    }
    releases.active = match config.get(ACTIVE).map(String::as_str) {
        None => None,
        Some("blue") => Some(Colour::Blue),
        Some("green") => Some(Colour::Green),
        Some(value) => return Err(unreadable(ACTIVE, value, None)),
    };
    for colour in [None, Some(Colour::Blue), Some(Colour::Green)] {
        let key = release_key(colour);
        if let Some(value) = config.get(&key) {
            let release = serde_json::from_str(value).map_err(|source| unreadable(&key, value, Some(source)))?;
            releases.colours.insert(colour, release);
        }
    }
    Ok(releases)
}

/// Records what a colour holds.
pub(crate) async fn set_release(
    incus: &dyn Incus,
    project: &str,
    colour: Option<Colour>,
    release: &ColourRelease,
) -> Result<(), ReleaseError> {
    let key = release_key(colour);
    let value = serde_json::to_string(release).map_err(|source| ReleaseError::Record {
        key: key.clone(),
        value: format!("{release:?}"),
        source: Some(source),
    })?;
    Ok(incus.patch_project_config(project, [(key, Some(value))].into()).await?)
}

/// Records the intent of a switch: which colour shall have the traffic, and the generation of that decision.
pub(crate) async fn set_active(incus: &dyn Incus, project: &str, releases: &Releases) -> Result<(), ReleaseError> {
    let changes = [
        (ACTIVE.to_owned(), releases.active.map(|colour| colour.to_string())),
        (GENERATION.to_owned(), Some(releases.generation.to_string())),
    ];
    Ok(incus.patch_project_config(project, changes.into()).await?)
}
