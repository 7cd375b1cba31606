//! A call on its way to the world and back.

use std::time::Duration;

use super::{Call, FakeIncus, Fault};
use crate::{Error, Result};

/// Lets so much time pass; without any, other tasks get their turn.
pub(super) async fn pass(time: Duration) {
    if time.is_zero() {
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep(time).await;
    }
}

impl FakeIncus {
    /// Makes a change. `act` takes the world's lock itself, and gives it back before it calls the handler.
    pub(super) async fn change<T>(&self, call: Call, act: impl Fn(&str) -> Result<T>) -> Result<T> {
        let doing = call.to_string();
        let travel = self.faults.travel(&call);
        let mut request = Request { incus: self, call: &call, doing: &doing, act, arrives_alone: travel.arrives_alone };
        pass(travel.there).await;
        request.arrives_alone = false;
        let fault = self.faults.before(&call);
        if let Fault::Error(message) = fault {
            return Err(Error::Refused { doing: doing.clone(), status: 500, message });
        }
        let before = (fault == Fault::Forgotten).then(|| self.world().clone());
        let mut result = request.arrive();
        if fault == Fault::Twice {
            result = request.arrive();
        }
        if let Some(before) = before {
            *self.world() = before;
        }
        drop(request);
        pass(travel.back).await;
        if result.is_ok() && matches!(fault, Fault::Lost | Fault::Cut(_)) {
            return Err(lost(&doing));
        }
        result
    }
}

pub(super) fn lost(doing: &str) -> Error {
    Error::interrupted(doing, "the answer was lost, by a planned fault")
}

/// A request that was sent. Who sent it may be gone before it arrives.
struct Request<'a, T, F: Fn(&str) -> Result<T>> {
    incus: &'a FakeIncus,
    call: &'a Call,
    doing: &'a str,
    act: F,
    arrives_alone: bool,
}

impl<T, F: Fn(&str) -> Result<T>> Request<'_, T, F> {
    fn arrive(&self) -> Result<T> {
        let result = (self.act)(self.doing);
        self.incus.faults.after(self.call);
        result
    }
}

impl<T, F: Fn(&str) -> Result<T>> Drop for Request<'_, T, F> {
    fn drop(&mut self) {
        if self.arrives_alone {
            // Nobody is there to hear how it went.
            drop(self.arrive());
        }
    }
}
