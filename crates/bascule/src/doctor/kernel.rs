//! What the kernel of the machine that Incus runs on allows.

use bascule_plan::event::Finding;

use super::{Machine, missing, ok, warning};

/// A limit that many instances share.
pub(super) struct Limit {
    pub(super) name: &'static str,
    /// What each instance takes of it.
    each: u64,
    /// What it is raised to: room for some hundred instances, as Incus's own notes for servers have it.
    raised: u64,
    /// How it is told when there is too little of it.
    told: fn(&str, String, &str, String) -> Finding,
    why: &'static str,
}

pub(super) const LIMITS: [Limit; 3] = [
    Limit {
        // Seen: of 25 instances under the kernel's 128 the twentieth and later booted "degraded".
        name: "fs.inotify.max_user_instances",
        each: 8,
        raised: 65_536,
        told: missing,
        why: "all instances share it; beyond it systemd fails in some of them with \"Too many open files\"",
    },
    Limit {
        // Counted in /proc/key-users: 20 for each instance that runs.
        name: "kernel.keys.maxkeys",
        each: 20,
        raised: 4_000,
        told: warning,
        why: "all instances share it; beyond it services run without a keyring of their own",
    },
    Limit {
        name: "user.max_user_namespaces",
        each: 1,
        raised: 65_536,
        told: missing,
        why: "every unprivileged instance is a user namespace",
    },
];

pub(super) const SUBORDINATE: [&str; 2] = ["/etc/subuid", "/etc/subgid"];
/// What one unprivileged instance takes.
const IDS_MIN: u64 = 65_536;

pub(super) fn all(machine: &Machine) -> Vec<Finding> {
    // Without a platform, as many as a small one has.
    let instances = machine.platform.as_ref().map_or(10, |platform| platform.instances.len() as u64);
    let read = LIMITS.iter().filter_map(|limit| Some((limit, *machine.limits.get(limit.name)?)));
    read.map(|(limit, is)| judge(limit, is, instances)).chain([subordinate_ids(machine)]).collect()
}

fn judge(limit: &Limit, is: u64, instances: u64) -> Finding {
    let Limit { name, each, raised, told, why } = limit;
    let wanted = instances * each;
    let found = format!("{name} is {is}");
    if is >= wanted {
        return ok("kernel limit", found);
    }
    let file = "/etc/sysctl.d/60-bascule.conf";
    let remedy = format!("echo '{name} = {}' >> {file} && sysctl --load {file}", raised.max(&wanted));
    told("kernel limit", format!("{found}, {instances} instances want {wanted}"), why, remedy)
}

/// Where there are no such files Incus takes a range of its own; where there are, root has to be in both.
fn subordinate_ids(machine: &Machine) -> Finding {
    const CHECK: &str = "subordinate ids";
    let files: Vec<(&str, &String)> =
        machine.subordinate_ids.iter().filter_map(|(path, text)| Some((*path, text.as_ref()?))).collect();
    let lacking = files.iter().find(|(_, text)| !text.lines().any(is_range_of_root));
    match lacking {
        Some((path, _)) => missing(
            CHECK,
            format!("{path} has no {IDS_MIN} ids for root"),
            "the users of an unprivileged instance are such ids outside of it",
            "usermod --add-subuids 1000000-1000999999 --add-subgids 1000000-1000999999 root && systemctl restart incus"
                .to_owned(),
        ),
        None => ok(CHECK, "root has a range for the users of instances"),
    }
}

fn is_range_of_root(line: &str) -> bool {
    let mut fields = line.split(':');
    matches!(fields.next(), Some("root" | "0"))
        && fields.nth(1).and_then(|count| count.trim().parse().ok()) >= Some(IDS_MIN)
}
