use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Component, Path};

use tar::EntryType;

use crate::system::{Access, System};

/// Unpacks a tar stream below `root`, an empty directory: everything belongs to root, directories and programs are 0755,
/// other files 0644. Nothing is synced.
///
/// Refuses whatever could end up outside (absolute paths, `..`, links that lead out, paths through links) and
/// whatever is neither a file, a directory nor a symlink. The error says which entry, and why.
pub(crate) fn unpack(system: &dyn System, stream: impl Read, root: &str) -> Result<(), String> {
    let mut made = BTreeSet::new();
    let mut archive = tar::Archive::new(stream);
    for entry in archive.entries().map_err(|error| error.to_string())? {
        let mut entry = entry.map_err(|error| error.to_string())?;
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader) {
            continue;
        }
        let name = entry.path().map_err(|error| error.to_string())?.into_owned();
        let refuse = |why: &str| format!("{}: {why}", name.display());
        let Some(parts) = plain_parts(&name) else {
            return Err(refuse("leads outside"));
        };
        let Some((last, dirs)) = parts.split_last() else {
            continue;
        };
        let mut dir = root.to_owned();
        for part in dirs {
            dir = format!("{dir}/{part}");
            make_dir(system, &dir, &mut made).map_err(|why| refuse(&why))?;
        }
        let path = format!("{dir}/{last}");
        match kind {
            EntryType::Directory => make_dir(system, &path, &mut made).map_err(|why| refuse(&why))?,
            EntryType::Regular | EntryType::Continuous => {
                let program = entry.header().mode().map_err(|error| refuse(&error.to_string()))? & 0o111 != 0;
                let access = Access::root(if program { 0o755 } else { 0o644 });
                system.write_new(&path, &mut entry, &access, false).map_err(|error| refuse(&chain(&error)))?;
            }
            EntryType::Symlink => {
                let target = entry.link_name().map_err(|error| refuse(&error.to_string()))?.unwrap_or_default();
                if !stays_inside(&target, dirs.len()) {
                    return Err(refuse("is a symlink that leads outside"));
                }
                let Some(target) = target.to_str() else {
                    return Err(refuse("is a symlink to a name that is not UTF-8"));
                };
                system.symlink(target, &path).map_err(|error| refuse(&chain(&error)))?;
            }
            other => {
                return Err(refuse(&format!("is neither a file, a directory nor a symlink ({other:?})")));
            }
        }
    }
    Ok(())
}

/// Makes a directory unless this archive made it before. Anything else at its place, a symlink above all, is refused by
/// the creation itself.
fn make_dir(system: &dyn System, path: &str, made: &mut BTreeSet<String>) -> Result<(), String> {
    if !made.contains(path) {
        system.make_dir(path, 0o755).map_err(|error| chain(&error))?;
        made.insert(path.to_owned());
    }
    Ok(())
}

/// The components of a relative path that goes only down; `None` for any other.
fn plain_parts(path: &Path) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part.to_str()?.to_owned()),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts)
}

/// Whether a symlink `depth` directories below the root stays below it. `..` is allowed at its beginning only: after a
/// name, which may be a symlink too, nobody knows from where it leads up.
fn stays_inside(target: &Path, depth: usize) -> bool {
    let ups = target.components().take_while(|part| matches!(part, Component::ParentDir)).count();
    let rest_goes_down = target.components().skip(ups).all(|part| matches!(part, Component::Normal(_)));
    ups <= depth && rest_goes_down && target.components().next().is_some()
}

fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
