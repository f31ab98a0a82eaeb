//! A task's examples, and batches of them as floats.
//!
//! Owns the passage from bytes to network input: pixel map, scaling (features are inputs as they are), labels as classes of the whole head, and for every
//! example the classes of the head that compete for it.

use std::ops::Range;
use std::sync::Arc;

use super::{Classes, PixelMap};
use crate::data::{ImageSet, ImageShape};

/// How a byte becomes a network input.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Scaling {
    /// `x / 255`, in `[0, 1]`: CIFAR, MNIST and the 5-dataset stream in the released code.
    #[default]
    Unit,
    /// `2 x / 255 − 1`, in `[−1, 1]`.
    Signed,
    /// `scale · x + shift` with numbers of its own for each channel (the last ones for channels beyond the third).
    Affine {
        /// Factors.
        scale: [f32; 3],
        /// Added afterwards.
        shift: [f32; 3],
    },
}

impl Scaling {
    /// The input of every byte in this channel.
    fn table(self, channel: usize) -> [f32; 256] {
        std::array::from_fn(|i| match self {
            Self::Unit => i as f32 / 255.0,
            Self::Signed => i as f32 / 255.0 * 2.0 - 1.0,
            Self::Affine { scale, shift } => {
                let [.., scale_last] = scale;
                let [.., shift_last] = shift;
                let scale = scale.get(channel).copied().unwrap_or(scale_last);
                scale * i as f32 + shift.get(channel).copied().unwrap_or(shift_last)
            }
        })
    }
}

/// Images that are copied from the set before they become floats: they lie anywhere in it, and memory brings several at a time.
const STAGED: usize = 8;

/// Examples of one task: indices into a shared image set, their labels in the head, and how to see them.
#[derive(Clone, Debug)]
pub struct Samples {
    pub(super) set: Arc<ImageSet>,
    pub(super) indices: Vec<u32>,
    /// Class in the head of each example, in the order of `indices`.
    pub(super) labels: Vec<u32>,
    pub(super) classes: Range<usize>,
    /// The classes that compete for each example at present.
    pub(super) competing: Classes,
    pub(super) map: Option<Arc<PixelMap>>,
    pub(super) scaling: Scaling,
}

/// Examples as a network takes them.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `[batch, channels, height, width]`, row-major.
    pub pixels: Vec<f32>,
    /// Shape of one image.
    pub shape: ImageShape,
    /// Class in the head, one an example.
    pub labels: Vec<usize>,
    /// The classes that compete for an example, its label among them: one set an example.
    pub competing: Vec<Classes>,
}

impl Batch {
    /// Number of examples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True without examples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// An empty batch of images of this shape.
    #[must_use]
    pub fn empty(shape: ImageShape) -> Self {
        Self {
            pixels: Vec::new(),
            shape,
            labels: Vec::new(),
            competing: Vec::new(),
        }
    }

    /// Adds another batch's examples, whose images have the same shape.
    pub fn append(&mut self, other: Self) {
        self.pixels.extend(other.pixels);
        self.labels.extend(other.labels);
        self.competing.extend(other.competing);
    }
}

impl Samples {
    /// Number of examples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// True without examples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// The classes of the head that compete for these examples at present: where the task is known its own, and so with one
    /// head for all tasks; in class-incremental learning what the scenario says, which changes when a task arrives
    /// ([`TaskStream::arrive`](super::TaskStream::arrive)).
    #[must_use]
    pub fn competing(&self) -> &Classes {
        &self.competing
    }

    /// Lets these classes of the head compete instead.
    pub fn set_competing(&mut self, classes: Classes) {
        self.competing = classes;
    }

    /// The classes of the head that this task has: of its own, or the one head's.
    #[must_use]
    pub fn classes(&self) -> Range<usize> {
        self.classes.clone()
    }

    /// Labels as classes of the head.
    pub fn labels(&self) -> impl Iterator<Item = usize> + '_ {
        self.labels.iter().map(|&l| l as usize)
    }

    /// A share of the examples, in `(0, 1]`, for a quick look: of each class (as many as there are, times the share,
    /// rounded up) those that lie evenly apart in the order of the set. No seed has a part in it, so that all runs are
    /// measured on the same ones.
    #[must_use]
    pub fn share(&self, share: f64) -> Self {
        let all = |class: u32| {
            self.labels
                .iter()
                .filter(move |&&label| label == class)
                .count()
        };
        let counts: Vec<(usize, usize)> = self
            .classes
            .clone()
            .map(|class| {
                let n = all(class as u32);
                // A product that rounding alone lifts above a whole number is that number.
                (n, ((n as f64 * share - 1e-9).ceil() as usize).min(n))
            })
            .collect();
        let mut seen = vec![0_usize; counts.len()];
        let (mut indices, mut labels) = (Vec::new(), Vec::new());
        for (&index, &label) in self.indices.iter().zip(&self.labels) {
            let class = (label as usize).wrapping_sub(self.classes.start);
            let (Some(seen), Some(&(n, kept))) = (seen.get_mut(class), counts.get(class)) else {
                continue;
            };
            // The i-th of n is kept where i·kept/n passes a whole number.
            if (*seen * kept) / n.max(1) != ((*seen + 1) * kept) / n.max(1) {
                indices.push(index);
                labels.push(label);
            }
            *seen += 1;
        }
        Self {
            indices,
            labels,
            ..self.clone()
        }
    }

    /// The examples at these positions (`0..len()`); positions beyond the end are left out.
    #[must_use]
    pub fn batch(&self, positions: &[usize]) -> Batch {
        let shape = self.set.shape();
        let plane = shape.height * shape.width;
        let tables: Vec<_> = (0..shape.channels)
            .map(|channel| self.scaling.table(channel))
            .collect();
        let mut batch = Batch {
            pixels: Vec::with_capacity(positions.len() * shape.channels * plane),
            shape,
            labels: Vec::with_capacity(positions.len()),
            competing: vec![self.competing.clone(); positions.len()],
        };
        let examples = positions.iter().filter_map(|&position| {
            let example = self.indices.get(position).zip(self.labels.get(position));
            example.map(|(&index, &label)| (index as usize, label as usize))
        });
        if self.set.features().is_some() {
            self.features_of(examples, &mut batch);
        } else {
            self.images_of(examples, &tables, &mut batch);
        }
        batch.competing.truncate(batch.labels.len());
        batch
    }

    /// Adds examples, indices and labels, of a set of features.
    fn features_of(&self, examples: impl Iterator<Item = (usize, usize)>, batch: &mut Batch) {
        for (index, label) in examples {
            let Some(row) = self.set.feature_row(index) else {
                continue;
            };
            match &self.map {
                None => batch.pixels.extend_from_slice(row),
                Some(map) => batch.pixels.extend(map.of(row)),
            }
            batch.labels.push(label);
        }
    }

    /// Adds examples of a set of images, with the input of every byte in each channel.
    fn images_of(
        &self,
        mut examples: impl Iterator<Item = (usize, usize)>,
        tables: &[[f32; 256]],
        batch: &mut Batch,
    ) {
        let plane = batch.shape.height * batch.shape.width;
        let image = (plane * tables.len()).max(1);
        let mut staged = Vec::with_capacity(STAGED * image);
        loop {
            staged.clear();
            let mut some = false;
            for (index, label) in examples.by_ref().take(STAGED) {
                some = true;
                if let Some(image) = self.set.image(index) {
                    staged.extend_from_slice(image);
                    batch.labels.push(label);
                }
            }
            if !some {
                return;
            }
            let planes = staged.chunks_exact(plane.max(1));
            for (plane, table) in planes.zip(tables.iter().cycle()) {
                let input = |x: u8| table[usize::from(x)];
                match &self.map {
                    None => batch.pixels.extend(plane.iter().copied().map(input)),
                    Some(map) => batch.pixels.extend(map.of(plane).map(input)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalings_reach_both_ends() {
        assert_eq!(
            (Scaling::Unit.table(0)[0], Scaling::Unit.table(2)[255]),
            (0.0, 1.0)
        );
        assert_eq!(
            (Scaling::Signed.table(0)[0], Scaling::Signed.table(1)[255]),
            (-1.0, 1.0)
        );
    }

    #[test]
    fn features_are_inputs_as_they_are() {
        let set = ImageSet::of_features(2, vec![-3.0, 1e6, 0.25, 7.0], vec![0, 1], 2).unwrap();
        let samples = Samples {
            set: Arc::new(set),
            indices: vec![1, 0],
            labels: vec![1, 0],
            classes: 0..2,
            competing: Classes::from(0..2),
            map: None,
            scaling: Scaling::Unit,
        };
        let batch = samples.batch(&[0, 1]);
        assert_eq!(batch.pixels, [0.25, 7.0, -3.0, 1e6]);
        assert_eq!(batch.labels, [1, 0]);
    }

    #[test]
    fn channels_have_scalings_of_their_own() {
        let shape = ImageShape::new(3, 1, 2);
        let set = ImageSet::new(shape, vec![1, 2, 3, 4, 5, 6], vec![0], 1).unwrap();
        let samples = Samples {
            set: Arc::new(set),
            indices: vec![0],
            labels: vec![0],
            classes: 0..1,
            competing: Classes::from(0..1),
            map: None,
            scaling: Scaling::Affine {
                scale: [1.0, 2.0, 3.0],
                shift: [0.0, -1.0, 10.0],
            },
        };
        assert_eq!(samples.batch(&[0]).pixels, [1.0, 2.0, 5.0, 7.0, 25.0, 28.0]);
    }
}
