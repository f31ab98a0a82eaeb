//! What a trunk computes: its sizes, and the shapes of its parameters in order.

use crate::layout::{Grid, Layout, Shape};
use std::fmt;

/// Stages from this one on lie channels-last: their rows are shorter than two vectors.
const FIRST_LAST: usize = 2;

/// Side of the pooling windows.
pub(crate) const POOL: usize = 4;

/// The sizes of a trunk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TrunkSpec {
    /// Images per forward pass, at least 1.
    pub batch: usize,
    /// Channels of the images, at least 1.
    pub in_channels: usize,
    /// Height and width of the images, at least 8.
    pub size: usize,
    /// Channels of the four stages: multiples of 4.
    pub widths: [usize; 4],
}

/// A [`TrunkSpec`] that cannot be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpecError {
    /// No images.
    Batch,
    /// No input channels.
    InChannels,
    /// Images smaller than 8x8.
    Size(usize),
    /// A width that is 0 or not a multiple of 4.
    Width(usize),
    /// Buffers of 2^32 floats or more.
    TooLarge,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch => write!(f, "batch is 0; it must be at least 1"),
            Self::InChannels => write!(f, "in_channels is 0; it must be at least 1"),
            Self::Size(size) => write!(f, "image size is {size}; it must be at least 8"),
            Self::Width(width) => write!(f, "width {width} is not a positive multiple of 4"),
            Self::TooLarge => write!(
                f,
                "activations would need 2^32 floats or more; use smaller batches"
            ),
        }
    }
}

impl std::error::Error for SpecError {}

/// A block's place in the network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockSpec {
    pub stage: usize,
    pub cin: usize,
    pub cout: usize,
    pub stride: usize,
    /// Index of its first parameter and whether a shortcut convolution is among them.
    pub parameter: usize,
    pub projected: bool,
}

impl TrunkSpec {
    /// The network of the continual-learning literature, three input channels and widths 20, 40, 80, 160.
    #[must_use]
    pub fn reduced(batch: usize, size: usize) -> Self {
        Self {
            batch,
            in_channels: 3,
            size,
            widths: [20, 40, 80, 160],
        }
    }

    /// Checks the sizes.
    ///
    /// # Errors
    /// Says which size is out of its range.
    pub fn validate(&self) -> Result<(), SpecError> {
        if self.batch == 0 {
            return Err(SpecError::Batch);
        }
        if self.in_channels == 0 {
            return Err(SpecError::InChannels);
        }
        if self.size < 8 {
            return Err(SpecError::Size(self.size));
        }
        if let Some(&width) = self
            .widths
            .iter()
            .find(|w| **w == 0 || !w.is_multiple_of(4))
        {
            return Err(SpecError::Width(width));
        }
        // Generously: four phases of a plane with its borders, for the widest stage at the largest size.
        let widest = self
            .widths
            .iter()
            .fold(self.in_channels, |a, &w| a.max(w))
            .saturating_add(16);
        let side = self.size.checked_add(32).ok_or(SpecError::TooLarge)?;
        let floats = side
            .checked_mul(side)
            .and_then(|n| n.checked_mul(widest))
            .and_then(|n| n.checked_mul(self.batch));
        match floats {
            Some(n) if u32::try_from(n).is_ok() => Ok(()),
            _ => Err(SpecError::TooLarge),
        }
    }

    /// Shapes of the parameters in order, convolutions as `[out, in, height, width]`: stem convolution, norm weight,
    /// norm bias; then per block: convolution, shortcut convolution if there is one, weight and bias of norm 1,
    /// weight and bias of norm 2.
    #[must_use]
    pub fn parameters(&self) -> Vec<Vec<usize>> {
        let w = self.widths[0];
        let mut shapes = vec![vec![w, self.in_channels, 3, 3], vec![w], vec![w]];
        for block in self.blocks() {
            shapes.push(vec![block.cout, block.cin, 3, 3]);
            if block.projected {
                shapes.push(vec![block.cout, block.cin, 1, 1]);
            }
            shapes.extend(vec![vec![block.cout]; 4]);
        }
        shapes
    }

    /// Channels of every batch norm in order: the stem's, then norm 1 and norm 2 of every block.
    #[must_use]
    pub fn norms(&self) -> Vec<usize> {
        std::iter::once(self.widths[0])
            .chain(self.blocks().flat_map(|b| [b.cout; 2]))
            .collect()
    }

    /// Shapes `[batch, channels, height, width]` of the places for dropout, in the order of the masks: the outputs of
    /// norm 1 and norm 2 of every block.
    #[must_use]
    pub fn dropout_shapes(&self) -> Vec<[usize; 4]> {
        self.blocks()
            .flat_map(|b| {
                let side = self.grid(b.stage).h;
                [[self.batch, b.cout, side, side]; 2]
            })
            .collect()
    }

    /// Features per image: channels of the last stage times pooling windows.
    #[must_use]
    pub fn features(&self) -> usize {
        let (windows, _) = self.windows();
        self.widths[3] * windows * windows
    }

    /// Pooling windows per side, and the side of a window.
    pub(crate) fn windows(&self) -> (usize, usize) {
        let side = self.grid(3).h;
        let window = side.min(POOL);
        (side / window, window)
    }

    pub(crate) fn grid(&self, stage: usize) -> Grid {
        (0..stage).fold(Grid::new(self.size, self.size), |g, _| g.halved())
    }

    /// Shape of the activations of a stage.
    pub(crate) fn shape(&self, stage: usize) -> Shape {
        let layout = if stage < FIRST_LAST {
            Layout::Planes
        } else {
            Layout::Last
        };
        Shape::new(self.grid(stage), layout, self.widths[stage])
    }

    pub(crate) fn blocks(&self) -> impl Iterator<Item = BlockSpec> + '_ {
        let mut parameter = 3;
        (0..8).map(move |i| {
            let stage = i / 2;
            let first = i % 2 == 0 && stage > 0;
            let cin = self.widths[if first { stage - 1 } else { stage }];
            let block = BlockSpec {
                stage,
                cin,
                cout: self.widths[stage],
                stride: if first { 2 } else { 1 },
                parameter,
                projected: first,
            };
            parameter += if first { 6 } else { 5 };
            block
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{SpecError, TrunkSpec};

    #[test]
    fn shapes_of_the_reduced_network() {
        let spec = TrunkSpec::reduced(10, 32);
        let shapes = spec.parameters();
        assert_eq!(shapes.len(), 46);
        assert_eq!(
            shapes
                .iter()
                .map(|s| s.iter().product::<usize>())
                .sum::<usize>(),
            480_580
        );
        assert_eq!(spec.features(), 160);
        assert_eq!(TrunkSpec::reduced(10, 84).features(), 640);
        assert_eq!(spec.norms().len(), 17);
        assert_eq!(spec.dropout_shapes().len(), 16);
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let good = TrunkSpec::reduced(1, 8);
        assert_eq!(good.validate(), Ok(()));
        assert_eq!(
            TrunkSpec {
                batch: 0,
                ..good.clone()
            }
            .validate(),
            Err(SpecError::Batch)
        );
        assert_eq!(
            TrunkSpec {
                size: 7,
                ..good.clone()
            }
            .validate(),
            Err(SpecError::Size(7))
        );
        assert_eq!(
            TrunkSpec {
                widths: [20, 40, 81, 160],
                ..good.clone()
            }
            .validate(),
            Err(SpecError::Width(81))
        );
        assert_eq!(
            TrunkSpec {
                batch: usize::MAX / 2,
                ..good
            }
            .validate(),
            Err(SpecError::TooLarge)
        );
    }
}
