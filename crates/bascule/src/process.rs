//! A name for this process that no other one has, on any machine, and whether a process so named has ended.

use std::fs;

/// `BOOT:NAMESPACE:PID:START`: the boot of the machine, the pid namespace, the process in it, and when that began.
pub(crate) fn this() -> String {
    let pid = std::process::id();
    let (boot, namespace) = here();
    format!("{boot}:{namespace}:{pid}:{}", started(pid).unwrap_or_default())
}

/// True only for a process of this machine that is certainly no more; what ran elsewhere cannot be told from here.
pub(crate) fn has_ended(process: &str) -> bool {
    let (boot, namespace) = here();
    let mut parts = process.split(':');
    let same = parts.next() == Some(&boot) && parts.next() == Some(&namespace) && !boot.is_empty();
    let (Some(Ok(pid)), Some(start)) = (parts.next().map(str::parse), parts.next()) else { return false };
    same && started(pid).as_deref() != Some(start)
}

fn here() -> (String, String) {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let number: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    (boot.trim().to_owned(), number)
}

/// When a process began, in ticks since the boot; `None` for one that is gone or only waits for its parent (proc(5), `stat`).
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything: what follows it is counted from the last one. State is field 3.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let is_dead = matches!(fields.next(), Some("Z" | "X"));
    fields.nth(18).filter(|_| !is_dead).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a process to kill")]
    fn a_process_has_ended_once_it_is_killed_and_before_its_parent_took_note() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let (boot, namespace) = here();
        let name = format!("{boot}:{namespace}:{}:{}", child.id(), started(child.id()).unwrap());
        assert!(!has_ended(&name));
        child.kill().unwrap();
        for _ in 0..1000 {
            if has_ended(&name) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(has_ended(&name));
        child.wait().unwrap();
        assert!(has_ended(&name));
    }

    #[test]
    fn of_a_process_elsewhere_nothing_is_claimed() {
        assert!(!has_ended(&this()));
        assert!(!has_ended("another-boot:4026531836:1:5"));
        assert!(!has_ended("rubbish"));
        assert!(!has_ended(""));
    }
}
