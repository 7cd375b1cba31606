//! Where lines meet: milestones and leases of one run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bascule_plan::{Lease, LineItem, Plan};
use tokio::sync::Notify;

/// The milestones that were reached and the leases that are held. One lock, never held over an await.
#[derive(Debug)]
pub(crate) struct Board {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    reached: BTreeSet<String>,
    /// Which line reaches a milestone.
    reachers: BTreeMap<String, BTreeSet<String>>,
    leases: BTreeMap<String, Held>,
    /// Lines that ended without getting to their end.
    failed: BTreeSet<String>,
    /// Who waits for what, by the name of the milestone or lease: only those are woken, or a large plan would spend its
    /// time with waking everybody for everything.
    waiting: BTreeMap<String, Arc<Notify>>,
}

impl State {
    fn woken_by(&mut self, what: &str) -> Arc<Notify> {
        self.waiting.entry(what.to_owned()).or_default().clone()
    }

    fn wake(&self, what: &str) {
        if let Some(waiting) = self.waiting.get(what) {
            waiting.notify_waiters();
        }
    }
}

#[derive(Debug, Default)]
struct Held {
    lease: Option<Lease>,
    /// Lines of this plan that take the lease, in the order in which they may.
    queue: Vec<String>,
    taken: BTreeSet<String>,
    holders: BTreeSet<String>,
    /// How many at the head of the queue have taken it or do not need it: the next one's turn it is.
    passed: usize,
}

impl Held {
    fn take(&mut self, instance: &str) {
        self.taken.insert(instance.to_owned());
        while self.queue.get(self.passed).is_some_and(|line| self.taken.contains(line)) {
            self.passed += 1;
        }
    }
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
        let mut takers: BTreeMap<&String, Vec<&str>> = BTreeMap::new();
        for line in &plan.lines {
            for item in &line.items {
                if let LineItem::Take(lease) = item {
                    takers.entry(lease).or_default().push(&line.instance);
                }
            }
        }
        for (name, lease) in &plan.leases {
            let position: BTreeMap<&str, usize> =
                lease.order.iter().enumerate().map(|(n, instance)| (instance.as_str(), n)).collect();
            let held = Held { lease: Some(lease.clone()), ..Held::default() };
            let queue = &mut state.leases.entry(name.clone()).or_insert(held).queue;
            queue.extend(takers.get(name).into_iter().flatten().map(|instance| (*instance).to_owned()));
            queue.sort_by_key(|instance| position.get(instance.as_str()).copied().unwrap_or(usize::MAX));
        }
        for line in &plan.lines {
            for item in &line.items {
                if let LineItem::Reach(milestone) = item {
                    state.reachers.entry(milestone.clone()).or_default().insert(line.instance.clone());
                }
            }
        }
        Self { state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn reach(&self, milestone: &str) {
        let mut state = self.state();
        state.reached.insert(milestone.to_owned());
        state.wake(milestone);
    }

    /// The line will go no further: whoever waits for it is held back, and what it held stays held, since the health
    /// gate was never passed.
    pub(crate) fn fail(&self, instance: &str) {
        let mut state = self.state();
        state.failed.insert(instance.to_owned());
        state.waiting.values().for_each(|waiting| waiting.notify_waiters());
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
        self.until(milestone, milestone_of, || waiting(format!("waits for {milestone}"))).await
    }

    /// Takes the lease once it is this line's turn and fewer lines than its capacity hold it.
    pub(crate) async fn take(&self, name: &str, instance: &str, waiting: impl FnOnce(String)) -> Result<(), HeldBack> {
        let attempt = |state: &mut State| {
            let State { leases, failed, .. } = state;
            let held = leases.entry(name.to_owned()).or_default();
            if !failed.is_empty() {
                let ahead = held.queue.iter().take_while(|line| *line != instance);
                if let Some(dead) = ahead.chain(&held.holders).find(|line| failed.contains(*line)) {
                    return Some(Err(HeldBack { by: dead.clone(), what: format!("lease {name}") }));
                }
            }
            let capacity = held.lease.as_ref().map_or(1, |lease| lease.capacity);
            let is_next = held.queue.get(held.passed).is_none_or(|next| next == instance);
            if held.holders.len() >= capacity || !is_next {
                return None;
            }
            held.take(instance);
            held.holders.insert(instance.to_owned());
            Some(Ok(()))
        };
        let taken =
            self.until_mut(name, attempt, || waiting(format!("waits for its turn with the lease {name}"))).await;
        self.state().wake(name);
        taken
    }

    /// The line has nothing to do while it holds the lease: whoever comes after it need not wait for its turn.
    pub(crate) fn pass(&self, name: &str, instance: &str) {
        let mut state = self.state();
        state.leases.entry(name.to_owned()).or_default().take(instance);
        state.wake(name);
    }

    pub(crate) fn release(&self, name: &str, instance: &str) {
        let mut state = self.state();
        if let Some(held) = state.leases.get_mut(name) {
            held.holders.remove(instance);
        }
        state.wake(name);
    }

    async fn until<T>(&self, what: &str, answer: impl Fn(&State) -> Option<T>, waiting: impl FnOnce()) -> T {
        self.until_mut(what, |state| answer(state), waiting).await
    }

    async fn until_mut<T>(
        &self,
        what: &str,
        mut answer: impl FnMut(&mut State) -> Option<T>,
        waiting: impl FnOnce(),
    ) -> T {
        let changed = self.state().woken_by(what);
        let mut waiting = Some(waiting);
        loop {
            let notified = changed.notified();
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
    use super::*;
    use crate::nothing::plan;

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
    async fn a_line_that_does_not_take_its_lease_lets_those_behind_it_go_on() {
        let plan = plan(&[("a", vec![take()]), ("b", vec![take()])], &["a", "b"]);
        let board = Board::new(&plan);
        let (taken, ()) = tokio::join!(board.take("roll", "b", |_| ()), async { board.pass("roll", "a") });
        assert_eq!(taken, Ok(()));
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
