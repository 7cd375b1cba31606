use std::alloc::System;
use std::time::Instant;

use bascule_world::World;
use peakmem_alloc::{PeakMemAlloc, PeakMemAllocTrait as _};

/// Replicas of one component; a platform of N instances has N / 25 components.
const REPLICAS: usize = 25;
/// Each figure is the best of so many: the others tell what else the machine did.
const REPEATS: usize = 3;

#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) instances: usize,
    /// From the facts to a checked plan.
    pub(crate) plan_ms: f64,
    /// A whole `up` that finds nothing to do, the modelled agents' checks included.
    pub(crate) no_change_ms: f64,
    pub(crate) calls: usize,
    pub(crate) execs: usize,
    pub(crate) events: usize,
    /// The most memory that this `up` had at a time, beside what the world itself takes.
    pub(crate) peak_mib: f64,
}

/// Brings a platform of about this size up, releases to it, and measures what it costs from then on.
pub(crate) fn measure(size: usize, memory: &PeakMemAlloc<System>) -> Result<Measured, Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(async {
        let world = World::unwatched(&platform(size / REPLICAS));
        for ended in [world.up().await, world.deploy(&"a".repeat(40)).await] {
            if !ended.is_ok() {
                return Err(format!("the platform of {size} does not come up: {:?}", ended.error).into());
            }
        }
        let facts = world.facts().await?;
        let plan = || -> Result<f64, Box<dyn std::error::Error>> {
            let began = Instant::now();
            bascule_roles::up(&world.platform, &facts)?.check().map_err(|errors| format!("{errors:?}"))?;
            Ok(ms_since(began))
        };
        let mut plan_ms = plan()?;
        for _ in 1..REPEATS {
            plan_ms = plan_ms.min(plan()?);
        }
        let calls_before = world.incus.calls().len();
        memory.reset_peak_memory();
        let memory_before = memory.get_peak_memory();
        let mut no_change_ms = f64::INFINITY;
        let mut events = 0;
        for _ in 0..REPEATS {
            let began = Instant::now();
            let ended = world.up().await;
            no_change_ms = no_change_ms.min(ms_since(began));
            bascule_world::unchanged(&ended)?;
            events = ended.events.len();
        }
        let peak_mib = (memory.get_peak_memory() - memory_before) as f64 / f64::from(1 << 20);
        let calls = world.incus.calls().split_off(calls_before);
        let execs = calls.iter().filter(|call| call.verb == "exec").count() / REPEATS;
        let instances = world.platform.instances.len();
        Ok(Measured { instances, plan_ms, no_change_ms, calls: calls.len() / REPEATS, execs, events, peak_mib })
    })
}

fn ms_since(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1_000.0
}

fn platform(components: usize) -> String {
    let head = r#"name = "shop"

[network]
subnet = "10.1.0.0/16"

[ssh]
allow_from = ["10.1.0.0/16"]
authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH ada"]

[release]
artifacts = "artifacts"

[load_balancer]
topology = "multi-instance"
instances = 2
"#;
    let components = (0..components).map(|n| {
        let claim = if n == 0 { "default = true".to_owned() } else { format!("routes = [\"/{n}/\"]") };
        format!(
            "\n[component.app{n}]\nkind = \"binary\"\nreplicas = {REPLICAS}\nport = 8080\n{claim}\n\
             health = \"/health\"\nversion = \"/{n}/version\"\n"
        )
    });
    std::iter::once(head.to_owned()).chain(components).collect()
}
