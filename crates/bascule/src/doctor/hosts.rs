//! The ways to the hosts that `host up` sets up.

use bascule_plan::event::Finding;

use super::{Machine, missing, ok};

/// What `host up` and `host pin` call, both of Debian's package openssh-client.
pub(super) const PROGRAMS: [&str; 2] = ["ssh", "ssh-keyscan"];

/// Nothing, where no host is reached by SSH.
pub(super) fn ways(machine: &Machine) -> Vec<Finding> {
    const CHECK: &str = "way to the hosts";
    const WHY: &str = "`bascule host up` reaches them by SSH, and only those whose key was compared";
    if machine.pinned.is_empty() {
        return Vec::new();
    }
    if !machine.ssh_missing.is_empty() {
        let found = format!("not installed: {}", machine.ssh_missing.join(" "));
        return vec![missing(CHECK, found, WHY, "apt-get install openssh-client".to_owned())];
    }
    let judge = |(host, pinned): (&String, &bool)| match pinned {
        true => ok(CHECK, format!("the key of {host} is pinned")),
        false => missing(CHECK, format!("no key of {host} is pinned"), WHY, format!("bascule host pin {host}")),
    };
    machine.pinned.iter().map(judge).collect()
}
