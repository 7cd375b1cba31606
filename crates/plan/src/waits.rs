//! Who waits for whom in a plan, and whether that comes to an end.

use std::collections::BTreeMap;

use crate::{LineItem, Milestone, Plan};

/// A line's index, and an item's on it.
type Place = (usize, usize);

/// Which places have to be passed before another one can be.
pub(crate) struct Waits<'a> {
    plan: &'a Plan,
    across: BTreeMap<Place, Vec<Place>>,
}

impl<'a> Waits<'a> {
    pub(crate) fn new(plan: &'a Plan) -> Self {
        let reached: BTreeMap<_, _> = plan.reached().collect();
        let mut across: BTreeMap<Place, Vec<Place>> = BTreeMap::new();
        for (l, line) in plan.lines.iter().enumerate() {
            for (i, item) in line.items.iter().enumerate() {
                if let Some(milestone) = item.awaited() {
                    across.entry((l, i)).or_default().extend(reached.get(milestone));
                }
            }
        }
        let lines: BTreeMap<&str, usize> =
            plan.lines.iter().enumerate().map(|(l, line)| (line.instance.as_str(), l)).collect();
        let takers = plan.all_takers();
        for (name, lease) in &plan.leases {
            // Taken strictly in order: the next taker waits until the one before it has taken the lease, and until
            // there is room, which there is at the latest when the taker `capacity` places before it has released it.
            let takers = takers.get(name.as_str()).map_or(&[][..], Vec::as_slice);
            let place = |taker: &str, wanted: &LineItem| {
                let l = *lines.get(taker)?;
                Some((l, plan.lines[l].items.iter().position(|item| item == wanted)?))
            };
            let (take, release) = (LineItem::Take(name.clone()), LineItem::Release(name.clone()));
            for (n, taker) in takers.iter().enumerate() {
                let before = n.checked_sub(1).and_then(|before| place(takers[before], &take));
                let room = n.checked_sub(lease.capacity).and_then(|before| place(takers[before], &release));
                if let Some(own) = place(taker, &take) {
                    across.entry(own).or_default().extend(before.into_iter().chain(room));
                }
            }
        }
        Self { plan, across }
    }

    /// A way from a place back to itself, told by the items where lines meet.
    pub(crate) fn cycle(&self) -> Option<Vec<String>> {
        let mut states = States::new(self.plan);
        let mut path: Vec<(Place, Vec<Place>)> = Vec::new();
        for (l, line) in self.plan.lines.iter().enumerate() {
            let mut next = line.items.len().checked_sub(1).map(|last| (l, last));
            // Depth first without recursion: a line may be long.
            while let Some(place) = next {
                match states.of(place) {
                    State::OnPath => {
                        let circle = path.iter().map(|(place, _)| *place).skip_while(|earlier| *earlier != place);
                        return Some(self.tell(circle));
                    }
                    state @ State::New => {
                        *state = State::OnPath;
                        path.push((place, self.before(place)));
                    }
                    State::Passed => {}
                }
                next = loop {
                    let Some((place, left)) = path.last_mut() else {
                        break None;
                    };
                    if let Some(before) = left.pop() {
                        break Some(before);
                    }
                    *states.of(*place) = State::Passed;
                    path.pop();
                };
            }
        }
        None
    }

    fn before(&self, (l, i): Place) -> Vec<Place> {
        let above = i.checked_sub(1).map(|above| (l, above));
        above.into_iter().chain(self.across.get(&(l, i)).into_iter().flatten().copied()).collect()
    }

    fn tell(&self, places: impl Iterator<Item = Place>) -> Vec<String> {
        let mut told: Vec<String> = places
            .filter_map(|(l, i)| {
                let line = &self.plan.lines[l];
                let item = line.items[i].to_string();
                (!matches!(line.items[i], LineItem::Step(_))).then(|| format!("{}: {item}", line.instance))
            })
            .collect();
        told.extend(told.first().cloned());
        told
    }
}

#[derive(Clone, Copy)]
enum State {
    New,
    /// On the way that is looked at.
    OnPath,
    /// It can be passed.
    Passed,
}

/// The state of every place.
struct States {
    states: Vec<State>,
    /// Where each line begins among them.
    lines: Vec<usize>,
}

impl States {
    fn new(plan: &Plan) -> Self {
        let mut count = 0;
        let mut lines = Vec::with_capacity(plan.lines.len());
        for line in &plan.lines {
            lines.push(count);
            count += line.items.len();
        }
        Self { states: vec![State::New; count], lines }
    }

    fn of(&mut self, (l, i): Place) -> &mut State {
        &mut self.states[self.lines[l] + i]
    }
}

impl Plan {
    /// Every milestone with the place, as (line, item), that reaches it.
    pub(crate) fn reached(&self) -> impl Iterator<Item = (&Milestone, Place)> {
        self.lines.iter().enumerate().flat_map(|(l, line)| {
            line.items.iter().enumerate().filter_map(move |(i, item)| match item {
                LineItem::Reach(milestone) => Some((milestone, (l, i))),
                _ => None,
            })
        })
    }
}
