//! Death watch: how an arbiter learns that one of its actors died, and of what.
//!
//! actix runs `stopped()` also while a panic unwinds, so every actor reports its end from there; the report goes to the arbiter supervisor,
//! a plain task that outlives all actors of its arbiter and starts them again.

use crate::actors::protocol::kind::ActorKind;
use crate::domain::OrderId;
use std::cell::{Cell, RefCell};
use std::panic::PanicHookInfo;
use std::sync::Once;

thread_local! {
    static CAUSE: RefCell<String> = const { RefCell::new(String::new()) };
    static IS_WATCHED: Cell<bool> = const { Cell::new(false) };
}

/// Keeps the message of each panic for the death watch of the same thread; without it, a cause is only "panicked". On threads without
/// a death watch a panic is reported as before.
pub fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            let payload = info.payload();
            let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            let text = text.unwrap_or("panicked");
            let cause = match info.location() {
                Some(at) => format!("{text} ({}:{})", at.file(), at.line()),
                None => text.to_owned(),
            };
            // A thread that is ending has no slot for it any more, and nobody asks.
            let _kept = CAUSE.try_with(|slot| *slot.borrow_mut() = cause);
            if !IS_WATCHED.try_with(Cell::get).unwrap_or(false) {
                usual(info);
            }
        }));
    });
}

/// From now on the death watch of this thread logs its panics.
pub(crate) fn watch_this_thread() {
    IS_WATCHED.set(true);
}

/// The message of the last panic on this thread.
pub(crate) fn take_cause() -> String {
    let cause = CAUSE.with(RefCell::take);
    if cause.is_empty() { "panicked".to_owned() } else { cause }
}

/// An actor has died of a panic.
#[derive(Debug)]
pub(crate) struct Death {
    pub(crate) kind: ActorKind,
    /// Whose actor, for order actors, and which of its lives.
    pub(crate) order: Option<(OrderId, u64)>,
    pub(crate) cause: String,
}
