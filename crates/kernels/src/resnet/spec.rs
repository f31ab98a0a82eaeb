//! What a trunk computes: its sizes, and the shapes of its parameters in order.

use crate::layout::{Grid, Layout, Shape};
use std::fmt;

/// Side of the pooling windows of [`Ends::Small`].
pub(crate) const POOL: usize = 4;

/// What stands before the blocks and after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ends {
    /// Of networks for small images. Stem: 3x3 convolution, norm, `ReLU`. At the end, means over windows of 4x4.
    Small,
    /// Of the full `ResNet-18`. Stem: 7x7 convolution of stride 2 and padding 3, norm, `ReLU`, the largest of windows of 3x3
    /// of stride 2 and padding 1. At the end, means over the whole plane.
    Large,
}

impl Ends {
    /// Stages from this one on lie channels-last: of [`Ends::Small`] those whose rows are shorter than two vectors, of
    /// [`Ends::Large`] all, which have many channels.
    fn first_last(self) -> usize {
        match self {
            Self::Small => 2,
            Self::Large => 0,
        }
    }

    /// Side of the stem's kernel.
    fn kernel(self) -> usize {
        match self {
            Self::Small => 3,
            Self::Large => 7,
        }
    }

    /// Least side of an image.
    fn least_side(self) -> usize {
        match self {
            Self::Small => 8,
            Self::Large => 32,
        }
    }
}

/// What a block computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockKind {
    /// One 3x3 convolution: convolution, `ReLU`, norm 1, plus the shortcut, `ReLU`, norm 2. The shortcut is a 1x1
    /// convolution without a norm where the shape changes, else the input. Dropout may follow each norm.
    One,
    /// Two 3x3 convolutions: convolution, norm 1, `ReLU`, convolution, norm 2, plus the shortcut, `ReLU`. The shortcut is
    /// a 1x1 convolution with a norm where the shape changes, else the input. Without dropout.
    Two,
}

/// The sizes of a trunk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TrunkSpec {
    /// Images per forward pass, at least 1.
    pub batch: usize,
    /// Channels of the images, at least 1.
    pub in_channels: usize,
    /// Height and width of the images, at least 8, with [`Ends::Large`] 32.
    pub size: usize,
    /// Channels of the four stages: multiples of 4.
    pub widths: [usize; 4],
    /// What its blocks compute.
    pub kind: BlockKind,
    /// What stands around them; [`Ends::Large`] with blocks of two convolutions only.
    pub ends: Ends,
}

/// A [`TrunkSpec`] that cannot be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpecError {
    /// No images.
    Batch,
    /// No input channels.
    InChannels,
    /// Images smaller than this.
    Size {
        /// Their side.
        size: usize,
        /// The least side of the network's images.
        least: usize,
    },
    /// [`Ends::Large`] around blocks of one convolution.
    Ends,
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
            Self::Size { size, least } => {
                write!(f, "image size is {size}; it must be at least {least}")
            }
            Self::Ends => write!(f, "large ends need blocks of two convolutions"),
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
    pub kind: BlockKind,
    pub stage: usize,
    pub cin: usize,
    pub cout: usize,
    pub stride: usize,
    /// Index of norm 1 among the trunk's norms; norm 2 and, of two convolutions, the shortcut's norm follow.
    pub norm: usize,
    /// Indices among the trunk's parameters: of the first convolution, of the weights of norms 1 and 2, which their
    /// biases follow, of the second convolution if the block has one, and of the shortcut's convolution if it has one.
    pub conv: usize,
    pub norms: [usize; 2],
    pub second: Option<usize>,
    pub shortcut: Option<usize>,
    /// Of the weight of the shortcut's norm.
    pub shortcut_norm: Option<usize>,
}

impl BlockSpec {
    /// Whether the shortcut is a convolution.
    pub(crate) fn projected(&self) -> bool {
        self.shortcut.is_some()
    }

    /// Parameters of the block.
    fn parameters(&self) -> usize {
        let shortcut = usize::from(self.projected());
        match self.kind {
            BlockKind::One => 5 + shortcut,
            BlockKind::Two => 6 + 3 * shortcut,
        }
    }

    /// Norms of the block.
    fn norms(&self) -> usize {
        2 + usize::from(self.shortcut_norm.is_some())
    }
}

impl TrunkSpec {
    /// Stable SGD's reduced `ResNet-18`: blocks of one convolution, three input channels and widths 20, 40, 80, 160.
    #[must_use]
    pub fn reduced(batch: usize, size: usize) -> Self {
        Self {
            batch,
            in_channels: 3,
            size,
            widths: [20, 40, 80, 160],
            kind: BlockKind::One,
            ends: Ends::Small,
        }
    }

    /// GEM's slim `ResNet-18`: as [`Self::reduced`], but with blocks of two convolutions.
    #[must_use]
    pub fn slim(batch: usize, size: usize) -> Self {
        Self {
            kind: BlockKind::Two,
            ..Self::reduced(batch, size)
        }
    }

    /// The full `ResNet-18`: blocks of two convolutions, three input channels and widths 64, 128, 256, 512.
    #[must_use]
    pub fn full(batch: usize, size: usize) -> Self {
        Self {
            batch,
            in_channels: 3,
            size,
            widths: [64, 128, 256, 512],
            kind: BlockKind::Two,
            ends: Ends::Large,
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
        let least = self.ends.least_side();
        if self.size < least {
            let size = self.size;
            return Err(SpecError::Size { size, least });
        }
        if self.ends == Ends::Large && self.kind == BlockKind::One {
            return Err(SpecError::Ends);
        }
        if let Some(&width) = self
            .widths
            .iter()
            .find(|w| **w == 0 || !w.is_multiple_of(4))
        {
            return Err(SpecError::Width(width));
        }
        // Generously: of small ends, four phases of a plane with its borders, for the widest stage at the largest size.
        let widest = self.widths.iter().fold(self.in_channels, |a, &w| a.max(w));
        let buffers = match self.ends {
            Ends::Small => [(1, widest), (1, 0)],
            Ends::Large => [(2, self.widths[0].max(self.in_channels)), (4, widest)],
        };
        let fits = |(halved, channels): (usize, usize)| {
            let side = self.size.div_ceil(halved).checked_add(32)?;
            let floats = side
                .checked_mul(side)?
                .checked_mul(channels.checked_add(16)?)?;
            u32::try_from(floats.checked_mul(self.batch)?).ok()
        };
        if buffers.into_iter().all(|b| fits(b).is_some()) {
            Ok(())
        } else {
            Err(SpecError::TooLarge)
        }
    }

    /// Shapes of the parameters in order, convolutions as `[out, in, height, width]`: stem convolution, norm weight,
    /// norm bias; then per block, of one convolution: convolution, shortcut convolution if there is one, weight and bias
    /// of norm 1, weight and bias of norm 2; of two: convolution 1, weight and bias of norm 1, convolution 2, weight and
    /// bias of norm 2, and if there is one the shortcut's convolution, weight and bias of its norm.
    #[must_use]
    pub fn parameters(&self) -> Vec<Vec<usize>> {
        let w = self.widths[0];
        let side = self.ends.kernel();
        let mut shapes = vec![vec![w, self.in_channels, side, side], vec![w], vec![w]];
        for b in self.blocks() {
            let mut of_block = vec![vec![b.cout]; b.parameters()];
            let mut set = |at: usize, cin: usize, side: usize| {
                of_block[at - b.conv] = vec![b.cout, cin, side, side];
            };
            set(b.conv, b.cin, 3);
            if let Some(second) = b.second {
                set(second, b.cout, 3);
            }
            if let Some(shortcut) = b.shortcut {
                set(shortcut, b.cin, 1);
            }
            shapes.extend(of_block);
        }
        shapes
    }

    /// Channels of every batch norm in order: the stem's, then per block norm 1, norm 2 and, of two convolutions, the
    /// shortcut's if it has one.
    #[must_use]
    pub fn norms(&self) -> Vec<usize> {
        let of_blocks = self.blocks().flat_map(|b| vec![b.cout; b.norms()]);
        std::iter::once(self.widths[0]).chain(of_blocks).collect()
    }

    /// Shapes `[batch, channels, height, width]` of the places for dropout, in the order of the masks: the outputs of
    /// norm 1 and norm 2 of every block of one convolution.
    #[must_use]
    pub fn dropout_shapes(&self) -> Vec<[usize; 4]> {
        self.blocks()
            .filter(|b| b.kind == BlockKind::One)
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
        let window = match self.ends {
            Ends::Small => side.min(POOL),
            Ends::Large => side,
        };
        (side / window, window)
    }

    pub(crate) fn grid(&self, stage: usize) -> Grid {
        let halvings = match self.ends {
            Ends::Small => stage,
            Ends::Large => stage + 2,
        };
        (0..halvings).fold(Grid::new(self.size, self.size), |g, _| g.halved())
    }

    /// Shape of the activations of a stage.
    pub(crate) fn shape(&self, stage: usize) -> Shape {
        let layout = if stage < self.ends.first_last() {
            Layout::Planes
        } else {
            Layout::Last
        };
        Shape::new(self.grid(stage), layout, self.widths[stage])
    }

    pub(crate) fn blocks(&self) -> impl Iterator<Item = BlockSpec> + '_ {
        let (mut conv, mut norm) = (3, 1);
        (0..8).map(move |i| {
            let stage = i / 2;
            let projected = i % 2 == 0 && stage > 0;
            let two = self.kind == BlockKind::Two;
            let (norms, shortcut) = if two {
                ([conv + 1, conv + 4], conv + 6)
            } else {
                let first = conv + 1 + usize::from(projected);
                ([first, first + 2], conv + 1)
            };
            let block = BlockSpec {
                kind: self.kind,
                stage,
                cin: self.widths[if projected { stage - 1 } else { stage }],
                cout: self.widths[stage],
                stride: if projected { 2 } else { 1 },
                norm,
                conv,
                norms,
                second: two.then_some(conv + 3),
                shortcut: projected.then_some(shortcut),
                shortcut_norm: (two && projected).then_some(conv + 7),
            };
            conv += block.parameters();
            norm += block.norms();
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
    fn shapes_of_the_slim_network() {
        let spec = TrunkSpec::slim(10, 32);
        let shapes = spec.parameters();
        // In the release's order; with a head of 100 classes there are 1,109,240.
        assert_eq!(shapes.len(), 60);
        let count: usize = shapes.iter().map(|s| s.iter().product::<usize>()).sum();
        assert_eq!(count + 100 * (spec.features() + 1), 1_109_240);
        let third: Vec<_> = spec.blocks().skip(2).take(1).collect();
        let first = third[0].conv;
        assert_eq!(shapes[first], [40, 20, 3, 3]);
        assert_eq!(shapes[first + 3], [40, 40, 3, 3]);
        assert_eq!(shapes[first + 6], [40, 20, 1, 1]);
        assert_eq!(shapes[first + 8], [40]);
        assert_eq!(spec.norms().len(), 20);
        assert!(spec.dropout_shapes().is_empty());
    }

    #[test]
    fn shapes_of_the_full_network() {
        let spec = TrunkSpec::full(10, 224);
        let shapes = spec.parameters();
        let count: usize = shapes.iter().map(|s| s.iter().product::<usize>()).sum();
        // torchvision's 11,689,512 parameters less its head of 1,000 classes.
        assert_eq!(count, 11_689_512 - 1000 * 513);
        assert_eq!((shapes.len(), spec.norms().len()), (60, 20));
        assert_eq!(shapes[0], [64, 3, 7, 7]);
        assert_eq!((spec.features(), spec.windows()), (512, (1, 7)));
        assert_eq!((spec.grid(0).h, spec.grid(3).h), (56, 7));
        assert_eq!(TrunkSpec::full(256, 224).validate(), Ok(()));
        for (wrong, error) in [
            (
                TrunkSpec::full(1, 31),
                SpecError::Size {
                    size: 31,
                    least: 32,
                },
            ),
            (TrunkSpec::full(2000, 224), SpecError::TooLarge),
            (TrunkSpec::full(1, usize::MAX), SpecError::TooLarge),
        ] {
            assert_eq!(wrong.validate(), Err(error));
        }
        let one = TrunkSpec {
            kind: super::BlockKind::One,
            ..spec
        };
        assert_eq!(one.validate(), Err(SpecError::Ends));
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
            Err(SpecError::Size { size: 7, least: 8 })
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
