use super::Machine;

impl Machine {
    /// The power goes and comes back: what was not synced is lost, as the seed decides, and the machine boots.
    pub fn power_loss(&self, seed: u64) {
        self.loses_power(seed);
        self.boots();
    }

    /// The power goes: what was not synced is lost, as the seed decides.
    pub fn loses_power(&self, seed: u64) {
        let mut state = seed;
        let mut kept = |changes: usize| {
            let survivors = splitmix64(&mut state) % (changes as u64 + 1);
            usize::try_from(survivors).unwrap_or(changes)
        };
        self.world().disk.lose_power(&mut kept);
    }

    /// Stops in order: everything is synced.
    pub fn shuts_down(&self) {
        self.world().disk.sync_all();
    }

    /// Nothing runs any more, then what is enabled starts with what is on the disk.
    pub fn boots(&self) {
        let mut world = self.world();
        let world = &mut *world;
        world.disk.forget_below("/run");
        world.locked_until_ms = 0;
        world.apt_locked_until_ms = 0;
        for (at_boot, now) in world.sysctls.values_mut() {
            now.clone_from(at_boot);
        }
        for name in world.disk.list("/etc/sysctl.d").unwrap_or_default() {
            let content = world.disk.read(&format!("/etc/sysctl.d/{name}")).unwrap_or_default();
            for (key, value) in String::from_utf8_lossy(&content).lines().filter_map(|line| line.split_once('=')) {
                if let Some((_, now)) = world.sysctls.get_mut(key.trim()) {
                    value.trim().clone_into(now);
                }
            }
        }
        for (name, service) in &mut world.services {
            service.boot(name, &world.disk, world.now_ms);
        }
    }
}

/// Sebastiano Vigna's generator: small, and the same everywhere.
fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
