use std::sync::Arc;

use bascule_incus::fake::{Call, Fault, Faults, Travel};

use crate::chaos::Chaos;
use crate::watch::Watch;

/// Between the tool and Incus: lets chaos have its way with calls, and looks at the world after each.
#[derive(Debug)]
pub(crate) struct Between {
    pub(crate) chaos: Arc<Chaos>,
    pub(crate) watch: Arc<Watch>,
    /// Whose calls they are.
    pub(crate) process: String,
}

impl Faults for Between {
    fn before(&self, call: &Call) -> Fault {
        self.chaos.before(call)
    }

    fn after(&self, call: &Call) {
        if call.verb != "exec" {
            self.watch.changed(&self.process, call);
        }
        self.watch.look();
    }

    fn unreadable(&self, _: &Call) -> Option<String> {
        self.chaos.unreadable()
    }

    fn travel(&self, _: &Call) -> Travel {
        self.chaos.travel()
    }
}
