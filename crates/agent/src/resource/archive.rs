use std::io::{self, Read};

use bascule_plan::agent::STATE_DIR;
use bascule_plan::{Archive, Blob};
use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use super::{Applied, Context, Converge, Failure, Progress, Verdict};
use crate::digest;
use crate::pending::{Pending, Touches};
use crate::place::{beside, make_parents, parent, put_file, swap_in};
use crate::system::{Access, Kind, System};
use crate::unit_record::owe_readers_of;
use crate::unpack::unpack;

impl Converge for Archive {
    fn check(&self, cx: &Context<'_>, _: &Pending) -> Result<Verdict, Failure> {
        let Blob { sha256, name, .. } = &self.blob;
        let needs = |why: &str| Ok(Verdict::Differs(why.to_owned()));
        match cx.system.metadata(&self.path)?.map(|meta| meta.kind) {
            None => return needs("the archive is not unpacked yet"),
            Some(Kind::Directory) => {}
            Some(_) => {
                return Err(Failure::new(format!(
                    "{} is something else than a directory; it is left alone",
                    self.path
                )));
            }
        }
        match unpacked(cx.system, &self.path)? {
            Some(present) if present == *sha256 => Ok(Verdict::Right(format!("holds {name}"))),
            Some(_) => needs("another archive is unpacked there"),
            None => needs("it is not known which archive is unpacked there"),
        }
    }

    fn apply(&self, cx: &Context<'_>, progress: Progress<'_>) -> Result<Applied, Failure> {
        let system = cx.system;
        let blob = self.blob.staged_path();
        if system.metadata(&blob)?.is_none() {
            return Err(Failure::new(format!("the blob of {} was not brought to {blob}", self.blob.name)));
        }
        progress(format!("unpacks {} ({} bytes)", self.blob.name, self.blob.bytes));
        verify(system, &self.blob)?;

        make_parents(system, &self.path)?;
        let staged = beside(&self.path, "unpack");
        system.remove(&staged)?;
        system.make_dir(&staged, 0o755)?;
        let unpacked = unpack(system, GzDecoder::new(system.open(&blob)?), &staged);
        if let Err(reason) = unpacked {
            system.remove(&staged)?;
            return Err(Failure::new(format!("the archive of {} was refused: {reason}", self.blob.name)));
        }
        system.sync_fs(&staged)?;
        owe_readers_of(&self.path, system)?;
        replace(system, &staged, &self.path)?;
        // Before the record: once that is there, nobody looks for the blob again.
        system.remove(&blob)?;
        system.sync_dir(parent(&blob))?;
        put_file(system, &record(&self.path), format!("{}\n", self.blob.sha256).as_bytes(), &Access::root(0o644), &[])?;
        Ok(Applied::check_again())
    }

    fn touches(&self) -> Touches {
        Touches::Path(self.path.clone())
    }
}

/// Puts the unpacked directory where an old one may be. What was known of the old one is forgotten first, so that no
/// moment exists at which the record tells of another directory than the one in place.
fn replace(system: &dyn System, staged: &str, path: &str) -> Result<(), Failure> {
    let record = record(path);
    if system.metadata(&record)?.is_some() {
        system.remove(&record)?;
        system.sync_dir(parent(&record))?;
    }
    let old = beside(path, "old");
    system.remove(&old)?;
    if system.metadata(path)?.is_some() {
        system.rename(path, &old)?;
    }
    swap_in(system, staged, path)?;
    system.remove(&old)?;
    Ok(())
}

/// The digest of the archive that was unpacked at a path.
fn unpacked(system: &dyn System, path: &str) -> Result<Option<String>, Failure> {
    let record = record(path);
    if system.metadata(&record)?.is_none() {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(&system.read(&record)?).trim().to_owned()))
}

/// Where that digest is kept. `/opt/a-b` and `/opt/a/b` must not meet.
fn record(path: &str) -> String {
    format!("{STATE_DIR}/archives/{}", path.trim_matches('/').replace('_', "__").replace('/', "_-"))
}

fn verify(system: &dyn System, blob: &Blob) -> Result<(), Failure> {
    let mut hasher = Sha256::new();
    let mut reader = system.open(&blob.staged_path())?;
    let bytes = copy(&mut reader, &mut hasher)
        .map_err(|error| Failure::new(format!("cannot read the blob of {}: {error}", blob.name)))?;
    let sha256 = digest::hex(&hasher.finalize());
    if bytes == blob.bytes && sha256 == blob.sha256 {
        return Ok(());
    }
    // Removed, or the engine would find it and not bring it again.
    system.remove(&blob.staged_path())?;
    Err(Failure::new(format!(
        "the blob of {} has {bytes} bytes and digest {sha256}, not {} bytes and {}; it was removed",
        blob.name, blob.bytes, blob.sha256
    )))
}

fn copy(reader: &mut dyn Read, hasher: &mut Sha256) -> io::Result<u64> {
    let mut buffer = vec![0; 256 * 1024];
    let mut total = 0;
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(total),
            count => {
                hasher.update(&buffer[..count]);
                total += count as u64;
            }
        }
    }
}
