//! What the first `up` makes the base image with.

use bascule_plan::event::Finding;

use super::{GIB, Machine, gib, missing, ok};

/// What the base image's script calls, each in the Debian package of its name.
pub(super) const PROGRAMS: [&str; 4] = ["debootstrap", "zstd", "tar", "wget"];
/// The root file system as it is installed, and packed.
const BUILD_BYTES: u64 = 2 * GIB;

pub(super) fn base(machine: &Machine) -> Finding {
    const CHECK: &str = "base image";
    const WHY: &str = "the first `up` makes the image that all instances come from";
    if machine.incus.as_ref().is_ok_and(|incus| incus.base_image) {
        return ok(CHECK, "it is in Incus");
    }
    if machine.base_cached {
        return ok(CHECK, "it is in the cache; `up` hands it to Incus");
    }
    if !machine.programs_missing.is_empty() {
        let programs = machine.programs_missing.join(" ");
        return missing(CHECK, format!("not installed: {programs}"), WHY, format!("apt-get install {programs}"));
    }
    if !machine.is_root {
        let found = "debootstrap needs root, and you are not".to_owned();
        return missing(CHECK, found, WHY, "sudo --preserve-env bascule up (once)".to_owned());
    }
    match machine.cache_free_bytes {
        Some(free) if free < BUILD_BYTES => {
            let found = format!("{} are free where it is built, {} are wanted", gib(free), gib(BUILD_BYTES));
            missing(CHECK, found, WHY, "make room there, or set XDG_CACHE_HOME to a folder with more".to_owned())
        }
        _ => ok(CHECK, "`up` can make it"),
    }
}
