//! Where each parameter tensor lies in the one flat vector that optimizers and methods work on.
//!
//! Owns the naming and the ranges. A model's parameters are one `Vec<f32>`: an optimizer is then a loop over slices,
//! a method's projection is one dot product, a checkpoint is one block, and a CPU kernel sees contiguous memory. What
//! still needs the tensors (a correlation per tensor, a message that names one) finds them here.

use std::ops::Range;

/// One parameter tensor inside the flat vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSlot {
    /// Name, as the released PyTorch code calls it (`layer1.0.conv1.weight`).
    pub name: String,
    /// Shape in PyTorch's order (`[out, in, height, width]`, `[out, in]`, `[n]`).
    pub shape: Vec<usize>,
    /// Positions in the flat vector, row-major.
    pub range: Range<usize>,
}

/// All parameter tensors of a model, in order, without gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    slots: Vec<TensorSlot>,
    len: usize,
}

impl Layout {
    /// Lays tensors of these names and shapes out one after another.
    pub fn new(tensors: impl IntoIterator<Item = (String, Vec<usize>)>) -> Self {
        let mut layout = Self::default();
        for (name, shape) in tensors {
            let end = layout.len + shape.iter().product::<usize>();
            layout.slots.push(TensorSlot {
                name,
                shape,
                range: layout.len..end,
            });
            layout.len = end;
        }
        layout
    }

    /// Number of parameters: the length of the flat vector.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True for a model without parameters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The tensors in order.
    #[must_use]
    pub fn slots(&self) -> &[TensorSlot] {
        &self.slots
    }

    /// The first tensor of `values` (a flat vector) that holds a NaN or an infinity.
    #[must_use]
    pub fn first_non_finite(&self, values: &[f32]) -> Option<&TensorSlot> {
        // One pass without branches first. It is of whole numbers, whose order is free: a sum of floats would wait for every addition
        // and take as long as a small network's step.
        let odd = values.iter().map(|x| u32::from(!x.is_finite()));
        if odd.fold(0, |any, odd| any | odd) == 0 {
            return None;
        }
        self.slots.iter().find(|slot| {
            values
                .get(slot.range.clone())
                .is_some_and(|v| v.iter().any(|x| !x.is_finite()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_follow_each_other_and_the_bad_one_is_named() {
        let layout = Layout::new([("a".to_string(), vec![2, 3]), ("b".to_string(), vec![4])]);
        assert_eq!(layout.len(), 10);
        assert_eq!(layout.slots()[1].range, 6..10);
        let mut values = vec![1.0; 10];
        assert_eq!(layout.first_non_finite(&values), None);
        values[7] = f32::NEG_INFINITY;
        assert_eq!(
            layout.first_non_finite(&values).map(|s| s.name.as_str()),
            Some("b")
        );
    }

    #[test]
    fn every_place_is_looked_at_and_the_ends_of_the_range_are_finite() {
        for len in [1, 3, 4, 16, 37] {
            let layout = Layout::new([("a".to_string(), vec![len])]);
            for place in 0..len {
                for odd in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let mut values = vec![f32::MAX; len];
                    values[place] = odd;
                    assert!(
                        layout.first_non_finite(&values).is_some(),
                        "{len} {place} {odd}"
                    );
                    for finite in [f32::MIN, f32::MAX, -0.0, 1e-45] {
                        values[place] = finite;
                        assert_eq!(layout.first_non_finite(&values), None);
                    }
                }
            }
        }
    }
}
