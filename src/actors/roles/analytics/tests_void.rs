//! The tracker when the database goes back: a standby took over that had not got the last commits of another node.

use super::log_tracker::{LogTracker, Saved};
use super::tests::{BOUNDS, Model, read_one};
use super::verdict;
use crate::actors::protocol::fate::Fate;
use crate::db::CountOutcome;
use crate::domain::WriterId;

#[test]
fn a_log_that_went_back_is_counted_to_its_new_end() {
    let (other, own) = (WriterId(1), WriterId(2));
    let mut model = Model::default();
    model.append(own, 0);
    model.append(other, 4);
    let mut tracker = LogTracker::new(BOUNDS);
    model.load(&mut tracker, own);
    let lost = model.append(other, 6);
    assert!(tracker.take(lost));
    while read_one(&model, &mut tracker, 100) {}
    tracker.mark_due();
    assert_eq!(tracker.next_save().map(|increment| (increment.source, increment.after, increment.seq)), Some((other, 0, 10)));
    // What the store answers then.
    model.ends.insert(other, 4);
    assert!(!tracker.saved(verdict(&Fate::Stored(CountOutcome::Missing))), "what is stored must be loaded");
    model.load(&mut tracker, own);
    while read_one(&model, &mut tracker, 100) {}
    tracker.mark_due();
    let increment = tracker.next_save().unwrap();
    assert_eq!((increment.source, increment.after, increment.seq), (other, 0, 4), "what was heard of the old end is void");
    model.store(&increment);
    assert!(tracker.saved(Saved::Yes));
    assert!(tracker.is_complete());
    assert_eq!(model.confirmed, 3, "the third is a marker");
    // The log goes on from there.
    let next = model.append(other, 1);
    assert!(!tracker.take(next), "its position is loaded first");
    model.load(&mut tracker, own);
    while read_one(&model, &mut tracker, 100) {}
    tracker.mark_due();
    assert_eq!(tracker.next_save().map(|increment| (increment.after, increment.seq)), Some((4, 5)));
}

#[test]
fn a_log_that_is_gone_with_its_writer_is_not_waited_for() {
    let (other, own) = (WriterId(1), WriterId(2));
    for fate in [CountOutcome::Missing, CountOutcome::Repeated].map(Fate::Stored) {
        let mut model = Model::default();
        model.append(own, 3);
        model.append(other, 4);
        let mut tracker = LogTracker::new(BOUNDS);
        model.load(&mut tracker, own);
        while read_one(&model, &mut tracker, 100) {}
        tracker.mark_due();
        assert_eq!(tracker.next_save().map(|increment| increment.source), Some(other));
        model.ends.remove(&other);
        assert!(!tracker.saved(verdict(&fate)), "what is stored must be loaded");
        model.load(&mut tracker, own);
        while let Some(increment) = tracker.next_save() {
            assert_eq!(increment.source, own);
            model.store(&increment);
            assert!(tracker.saved(Saved::Yes));
        }
        assert!(tracker.is_complete(), "{fate:?}");
    }
}

#[test]
fn a_log_without_unsaved_numbers_goes_with_its_writer() {
    let (other, own) = (WriterId(1), WriterId(2));
    let mut model = Model::default();
    model.append(own, 0);
    model.append(other, 4);
    let mut tracker = LogTracker::new(BOUNDS);
    model.load(&mut tracker, own);
    while read_one(&model, &mut tracker, 100) {}
    model.ends.remove(&other);
    model.load(&mut tracker, own);
    tracker.mark_due();
    assert_eq!(tracker.next_save(), None);
    assert!(tracker.is_complete());
}
