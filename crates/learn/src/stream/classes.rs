//! Sets of classes of the head: which of them compete for an example.
//!
//! Owns the one form in which a softmax is restricted. A task-incremental stream has one range a task; a set of several
//! ranges is what scenarios without task identity need (the classes seen so far, the old ones beside the new). Runs
//! of neighbours are kept together, so that whoever walks a set walks contiguous logits.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A set of classes of the head.
///
/// ```
/// use tagcl_learn::stream::Classes;
///
/// let task = Classes::from(5..10);
/// let both = Classes::from_iter([9, 5, 6, 7, 8, 1]);
/// assert_eq!(both.runs(), [1..2, 5..10]);
/// assert_eq!(both.to_string(), "1..2, 5..10");
/// assert!(task.contains(7) && !task.contains(1));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Classes(Runs);

/// Neither has an empty range.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Runs {
    One(Range<usize>),
    /// None, or two and more: ascending, with a gap between neighbours.
    Several(Arc<[Range<usize>]>),
}

impl Classes {
    /// The set as ranges: ascending, none empty, with a gap between neighbours.
    #[must_use]
    pub fn runs(&self) -> &[Range<usize>] {
        match &self.0 {
            Runs::One(run) => std::slice::from_ref(run),
            Runs::Several(runs) => runs,
        }
    }

    /// The classes in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.runs().iter().flat_map(Range::clone)
    }

    /// Number of classes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.runs().iter().map(Range::len).sum()
    }

    /// True without classes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs().is_empty()
    }

    /// Whether a class is in the set.
    #[must_use]
    pub fn contains(&self, class: usize) -> bool {
        self.runs().iter().any(|run| run.contains(&class))
    }

    /// One more than the highest class; 0 without classes.
    #[must_use]
    pub fn end(&self) -> usize {
        self.runs().last().map_or(0, |run| run.end)
    }
}

impl From<Range<usize>> for Classes {
    fn from(range: Range<usize>) -> Self {
        if range.is_empty() {
            return Self(Runs::Several(Arc::new([])));
        }
        Self(Runs::One(range))
    }
}

impl FromIterator<usize> for Classes {
    fn from_iter<I: IntoIterator<Item = usize>>(classes: I) -> Self {
        let mut classes: Vec<usize> = classes.into_iter().collect();
        classes.sort_unstable();
        classes.dedup();
        let mut runs: Vec<Range<usize>> = Vec::new();
        for class in classes {
            match runs.last_mut() {
                Some(run) if run.end == class => run.end += 1,
                _ => runs.push(class..class + 1),
            }
        }
        match runs.as_slice() {
            [run] => Self(Runs::One(run.clone())),
            _ => Self(Runs::Several(runs.into())),
        }
    }
}

/// The ranges with commas: `0..5, 9..10`.
impl fmt::Display for Classes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (i, run) in self.runs().iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{}..{}", run.start, run.end)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_is_what_it_was_made_of(listed in prop::collection::vec(0_usize..30, 0..40)) {
            let classes: Classes = listed.iter().copied().collect();
            let mut sorted = listed.clone();
            sorted.sort_unstable();
            sorted.dedup();
            prop_assert_eq!(classes.iter().collect::<Vec<_>>(), sorted.clone());
            prop_assert_eq!((classes.len(), classes.is_empty()), (sorted.len(), sorted.is_empty()));
            prop_assert_eq!(classes.end(), sorted.last().map_or(0, |last| last + 1));
            for class in 0..31 {
                prop_assert_eq!(classes.contains(class), sorted.contains(&class));
            }
            for pair in classes.runs().windows(2) {
                prop_assert!(pair[0].end < pair[1].start);
            }
            prop_assert!(classes.runs().iter().all(|run| !run.is_empty()));
        }

        #[test]
        fn a_range_is_the_set_of_its_classes(start in 0_usize..20, len in 0_usize..20) {
            let range = start..start + len;
            prop_assert_eq!(Classes::from(range.clone()), range.collect::<Classes>());
        }
    }
}
