use crate::{Verb, World, outline};

/// Plays a scenario: a platform file, a line `---`, then verbs, one a line. Gives the verbs back, each with what came
/// of it.
///
/// Commits are letters: `deploy a` deploys `aaaa…`. Further verbs: `sick LETTER` (a release that never becomes healthy),
/// `rotate` (all secrets get other values), `stop INSTANCE` (it loses its power), `die INSTANCE UNIT` (a service dies and stays dead), `served` (what the front
/// door answers).
///
/// # Panics
/// When the scenario is not well formed.
pub async fn play(scenario: &str) -> String {
    let (platform, verbs) = scenario.split_once("---\n").expect("a platform, `---`, verbs");
    let world = World::new(platform);
    let mut text = String::new();
    for verb in verbs.lines().filter(|line| !line.trim().is_empty()) {
        text.push_str(&format!("> {verb}\n"));
        let words: Vec<&str> = verb.split_whitespace().collect();
        let ended = match words[..] {
            ["plan"] => world.plan().await,
            ["up"] => world.up().await,
            ["deploy", commit] => world.deploy(&commit.repeat(40)).await,
            ["rollback"] => world.rollback().await,
            ["down"] => world.run(&Verb::Down, None).await,
            ["host", "plan"] => world.run(&Verb::HostPlan, None).await,
            ["host", "up"] => world.host_up().await,
            ["sick", commit] => {
                world.make_sick(&commit.repeat(40));
                continue;
            }
            ["rotate"] => {
                world.rotate_secrets();
                continue;
            }
            ["stop", instance] => {
                world.stop(instance).await;
                continue;
            }
            ["die", instance, unit] => {
                world.die(instance, unit);
                continue;
            }
            ["served"] => {
                for (component, commit) in world.served() {
                    text.push_str(&format!("{component}: {}\n", commit.get(..8).unwrap_or("nothing")));
                }
                text.push('\n');
                continue;
            }
            _ => panic!("unknown verb: {verb}"),
        };
        text.push_str(&outline(&ended.events));
        if let Some(error) = &ended.error {
            text.push_str(&format!("error: {error}\n"));
        }
        text.push('\n');
    }
    text
}
