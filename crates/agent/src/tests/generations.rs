use bascule_plan::agent::{GENERATION_DIR, Mode, Outcome, Request};

use super::{ends, file, outcomes, request};
use crate::fake::Machine;

fn apply_in(machine: &Machine, generation: u64, resources: &[bascule_plan::Resource]) -> Vec<super::Said> {
    let run = machine.agent(&Request { generation: Some(generation), ..request(Mode::Apply, resources) });
    ends(&run.reports)
}

#[test]
fn a_machine_that_has_heard_of_a_newer_holder_applies_nothing_for_an_older_one() {
    let machine = Machine::default();
    let both = |generation| apply_in(&machine, generation, &[file("/etc/a", "one"), file("/etc/b", "two")]);
    assert_eq!(outcomes(&both(7)), [Outcome::Changed, Outcome::Changed]);
    let refused = apply_in(&machine, 6, &[file("/etc/a", "three"), file("/etc/b", "four")]);
    assert_eq!(outcomes(&refused), [Outcome::Failed]);
    assert!(refused[0].reason.contains("generation 7"), "{refused:?}");
    assert_eq!(outcomes(&both(7)), [Outcome::Unchanged, Outcome::Unchanged]);
    assert_eq!(outcomes(&both(8)), [Outcome::Unchanged, Outcome::Unchanged]);
}

#[test]
fn an_agent_that_is_overtaken_at_work_leaves_the_steps_after_this_one() {
    let machine = Machine::default();
    let newer = format!("{GENERATION_DIR}/9");
    let said = apply_in(&machine, 8, &[file(&newer, ""), file("/etc/a", "late")]);
    assert_eq!(outcomes(&said), [Outcome::Changed, Outcome::Failed]);
    assert_eq!(machine.content("/etc/a"), None);
}
