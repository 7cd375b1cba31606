//! What is recorded in Incus, as keys on a profile of the environment's project that no instance uses.
//!
//! Not on the project itself: whoever may work in a project that is restricted may not change the project.

use bascule_incus::{Changes, Config, Error as IncusError, Incus, Profile};
use bascule_roles::{ColourRelease, Releases};
use bascule_spec::Colour;

use crate::ReleaseError;

const PROFILE: &str = "bascule-record";
const GENERATION: &str = "user.bascule.generation";
const ACTIVE: &str = "user.bascule.active";
const RELEASE: &str = "user.bascule.release";

/// Every key; none before the first.
pub(crate) async fn keys(incus: &dyn Incus, project: &str) -> Result<Config, ReleaseError> {
    Ok(incus.profile(project, PROFILE).await?.map(|profile| profile.config).unwrap_or_default())
}

/// Sets and removes keys.
pub(crate) async fn write(incus: &dyn Incus, project: &str, changes: Changes) -> Result<(), ReleaseError> {
    match incus.patch_profile_config(project, PROFILE, changes.clone()).await {
        Err(IncusError::NotFound { .. }) => {}
        written => return Ok(written?),
    }
    let description = "What Bascule has released here, and what has the traffic. Used by no instance.".to_owned();
    let profile = Profile { name: PROFILE.to_owned(), description, ..Profile::default() };
    match incus.create_profile(project, profile).await {
        // Another run began its record at the same moment.
        Ok(()) | Err(IncusError::AlreadyExists { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(incus.patch_profile_config(project, PROFILE, changes).await?)
}

fn release_key(colour: Option<Colour>) -> String {
    colour.map_or_else(|| RELEASE.to_owned(), |colour| format!("{RELEASE}.{colour}"))
}

pub(crate) fn read(config: &Config) -> Result<Releases, ReleaseError> {
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
    write(incus, project, [(key, Some(value))].into()).await
}

/// Records the intent of a switch: which colour shall have the traffic, and the generation of that decision.
pub(crate) async fn set_active(incus: &dyn Incus, project: &str, releases: &Releases) -> Result<(), ReleaseError> {
    let changes = [
        (ACTIVE.to_owned(), releases.active.map(|colour| colour.to_string())),
        (GENERATION.to_owned(), Some(releases.generation.to_string())),
    ];
    write(incus, project, changes.into()).await
}
