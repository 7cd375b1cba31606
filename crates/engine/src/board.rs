//! Where lines meet: milestones and leases of one run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bascule_plan::{Lease, LineItem, Plan};
use tokio::sync::Notify;

/// The milestones that were reached and the leases that are held. One lock, never held over an await.
#[derive(Debug)]
pub(crate) struct Board {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    reached: BTreeSet<String>,
    /// Which line reaches a milestone.
    reachers: BTreeMap<String, BTreeSet<String>>,
    leases: BTreeMap<String, Held>,
    /// Lines that ended without getting to their end.
    failed: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Held {
    lease: Option<Lease>,
    /// Lines of this plan that take the lease, in the order in which they may.
    queue: Vec<String>,
    taken: BTreeSet<String>,
    holders: BTreeSet<String>,
}

/// A line cannot go on, because another one that it waits for failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldBack {
    pub(crate) by: String,
    pub(crate) what: String,
}

impl Board {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut state = State::default();
        for (name, lease) in &plan.leases {
            let takers: Vec<&str> = plan
                .lines
                .iter()
                .filter(|line| line.items.iter().any(|item| matches!(item, LineItem::Take(taken) if taken == name)))
                .map(|line| line.instance.as_str())
                .collect();
            let position = |instance: &str| lease.order.iter().position(|listed| listed == instance);
            let mut queue: Vec<String> = takers.into_iter().map(str::to_owned).collect();
            queue.sort_by_key(|instance| position(instance).unwrap_or(usize::MAX));
            state.leases.insert(name.clone(), Held { lease: Some(lease.clone()), queue, ..Held::default() });
        }
        for line in &plan.lines {
            for item in &line.items {
                if let LineItem::Reach(milestone) = item {
                    state.reachers.entry(milestone.clone()).or_default().insert(line.instance.clone());
                }
            }
        }
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn reach(&self, milestone: &str) {
        self.state().reached.insert(milestone.to_owned());
        self.changed.notify_waiters();
    }

    /// The line will go no further: whoever waits for it is held back, and what it held stays held, since the health
    /// gate was never passed.
    pub(crate) fn fail(&self, instance: &str) {
        self.state().failed.insert(instance.to_owned());
        self.changed.notify_waiters();
    }

    /// Waits until the milestone was reached; `waiting` is called once, if it was not yet.
    pub(crate) async fn reached(&self, milestone: &str, waiting: impl FnOnce(String)) -> Result<(), HeldBack> {
        let milestone_of = |state: &State| {
            if state.reached.contains(milestone) {
                return Some(Ok(()));
            }
            let reachers = state.reachers.get(milestone)?;
            let dead = reachers.iter().find(|line| state.failed.contains(*line))?;
            Some(Err(HeldBack { by: dead.clone(), what: milestone.to_owned() }))
        };
        self.until(milestone_of, || waiting(format!("waits for {milestone}"))).await
    }

    /// Takes the lease once it is this line's turn and fewer lines than its capacity hold it.
    pub(crate) async fn take(&self, name: &str, instance: &str, waiting: impl FnOnce(String)) -> Result<(), HeldBack> {
        let attempt = |state: &mut State| {
            let failed = state.failed.clone();
            let held = state.leases.entry(name.to_owned()).or_default();
            let ahead = held.queue.iter().take_while(|line| *line != instance);
            let dead = ahead.clone().chain(&held.holders).find(|line| failed.contains(*line));
            if let Some(dead) = dead {
                return Some(Err(HeldBack { by: dead.clone(), what: format!("lease {name}") }));
            }
            let capacity = held.lease.as_ref().map_or(1, |lease| lease.capacity);
            if held.holders.len() >= capacity || ahead.clone().any(|line| !held.taken.contains(line)) {
                return None;
            }
            held.taken.insert(instance.to_owned());
            held.holders.insert(instance.to_owned());
            Some(Ok(()))
        };
        let taken = self.until_mut(attempt, || waiting(format!("waits for its turn with the lease {name}"))).await;
        self.changed.notify_waiters();
        taken
    }

    pub(crate) fn release(&self, name: &str, instance: &str) {
        if let Some(held) = self.state().leases.get_mut(name) {
            held.holders.remove(instance);
        }
        self.changed.notify_waiters();
    }

    async fn until<T>(&self, answer: impl Fn(&State) -> Option<T>, waiting: impl FnOnce()) -> T {
        self.until_mut(|state| answer(state), waiting).await
    }

    async fn until_mut<T>(&self, mut answer: impl FnMut(&mut State) -> Option<T>, waiting: impl FnOnce()) -> T {
        let mut waiting = Some(waiting);
        loop {
            let notified = self.changed.notified();
            tokio::pin!(notified);
            // Registered before the look, so that a change between the two is not missed.
            notified.as_mut().enable();
            if let Some(answer) = answer(&mut self.state()) {
                return answer;
            }
            if let Some(waiting) = waiting.take() {
                waiting();
            }
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use bascule_plan::{Line, Machine, MachineAction, World};

    use super::*;

    fn plan(lines: &[(&str, Vec<LineItem>)], order: &[&str]) -> Plan {
        let machine = Machine {
            action: MachineAction::Keep,
            reason: String::new(),
            address: Ipv4Addr::LOCALHOST,
            mac: String::new(),
            image_packages: BTreeSet::new(),
            config: BTreeMap::new(),
        };
        let line = |(instance, items): &(&str, Vec<LineItem>)| Line {
            instance: (*instance).to_owned(),
            roles: vec![],
            machine: machine.clone(),
            items: items.clone(),
            notes: vec![],
        };
        let order = order.iter().map(|name| (*name).to_owned()).collect();
        Plan {
            world: World {
                project: "p".into(),
                bridge: "b".into(),
                gateway: Ipv4Addr::LOCALHOST,
                prefix_len: 24,
                dynamic: (Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST),
                mtu: None,
                pool: "default".into(),
            },
            leases: [("roll".to_owned(), Lease { capacity: 1, order })].into(),
            lines: lines.iter().map(line).collect(),
        }
    }

    fn take() -> LineItem {
        LineItem::Take("roll".into())
    }

    #[tokio::test]
    async fn a_lease_is_taken_in_its_order_and_by_one_line_at_a_time() {
        let plan = plan(&[("a", vec![take()]), ("b", vec![take()]), ("c", vec![take()])], &["c", "a", "b"]);
        let board = Board::new(&plan);
        let order = Mutex::new(Vec::new());
        let line = async |name: &str| {
            board.take("roll", name, |_| ()).await.unwrap();
            order.lock().unwrap().push(format!("{name} takes"));
            tokio::task::yield_now().await;
            order.lock().unwrap().push(format!("{name} releases"));
            board.release("roll", name);
        };
        tokio::join!(line("a"), line("b"), line("c"));
        let expected = ["c takes", "c releases", "a takes", "a releases", "b takes", "b releases"];
        assert_eq!(*order.lock().unwrap(), expected);
    }

    #[tokio::test]
    async fn a_failed_holder_stops_those_behind_it() {
        let plan = plan(&[("a", vec![take()]), ("b", vec![take()])], &["a", "b"]);
        let board = Board::new(&plan);
        board.take("roll", "a", |_| ()).await.unwrap();
        let (held_back, ()) = tokio::join!(board.take("roll", "b", |_| ()), async { board.fail("a") });
        assert_eq!(held_back, Err(HeldBack { by: "a".into(), what: "lease roll".into() }));
    }

    #[tokio::test]
    async fn a_line_waits_for_a_milestone_and_says_so_once() {
        let plan = plan(&[("a", vec![LineItem::Reach("a: up".into())]), ("b", vec![])], &[]);
        let board = Board::new(&plan);
        let said = Mutex::new(0);
        let (waited, ()) = tokio::join!(board.reached("a: up", |_| *said.lock().unwrap() += 1), async {
            board.reach("something else");
            tokio::task::yield_now().await;
            board.reach("a: up");
        });
        assert_eq!(waited, Ok(()));
        assert_eq!(*said.lock().unwrap(), 1);
    }

    #[tokio::test]
    async fn a_line_that_waits_for_a_failed_one_is_held_back() {
        let plan = plan(&[("a", vec![LineItem::Reach("a: up".into())]), ("b", vec![])], &[]);
        let board = Board::new(&plan);
        board.fail("a");
        assert_eq!(board.reached("a: up", |_| ()).await, Err(HeldBack { by: "a".into(), what: "a: up".into() }));
    }
}
