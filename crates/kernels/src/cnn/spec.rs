//! What the convolutional part of a plain network computes: its sizes.

use std::fmt;

/// A convolution of stride 1 with bias, then batch norm if there is one, `ReLU`, dropout, and the largest of every two by two
/// values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StageSpec {
    /// Channels after it, at least 1.
    pub channels: usize,
    /// Side of the kernel, at least 1.
    pub size: usize,
    /// Zeros around the image, fewer than `size`.
    pub padding: usize,
    /// Probability with which training drops a value, in `[0, 1)`.
    pub dropout: f32,
}

/// Sizes of the convolutional part.
#[derive(Clone, Debug, PartialEq)]
pub struct CnnSpec {
    /// Channels of the images, at least 1.
    pub in_channels: usize,
    /// Rows of the images.
    pub height: usize,
    /// Columns of the images.
    pub width: usize,
    /// One after another, at least one.
    pub stages: Vec<StageSpec>,
    /// Whether batch norm follows every convolution; there is no dropout then.
    pub norms: bool,
}

/// A [`CnnSpec`] that cannot be built.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CnnError {
    /// No stages.
    Empty,
    /// The number of the stage (from 0) of which a size is out of range.
    Stage(usize, StageSpec),
    /// The number of the stage that leaves nothing of the image.
    Nothing(usize),
    /// An image of a stage, or its weights, would have 2^28 numbers or more.
    TooLarge(usize),
}

impl fmt::Display for CnnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "there is no stage; at least one is needed"),
            Self::Stage(number, spec) => write!(
                f,
                "stage {number} is {spec:?}: channels and size must be at least 1, padding below the size, dropout in [0, 1), with \
                 norms 0"
            ),
            Self::Nothing(number) => write!(
                f,
                "stage {number} leaves nothing of the image: use larger images or smaller kernels"
            ),
            Self::TooLarge(number) => write!(
                f,
                "stage {number} would need 2^28 numbers or more for an image or its weights: use smaller ones"
            ),
        }
    }
}

impl std::error::Error for CnnError {}

/// Sizes of a stage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sizes {
    pub spec: StageSpec,
    /// Channels before it.
    pub inputs: usize,
    /// Rows and columns before it, after the convolution, and after pooling.
    pub before: (usize, usize),
    pub after: (usize, usize),
    pub pooled: (usize, usize),
}

impl Sizes {
    /// Values of an image after the convolution, each of which dropout may drop.
    pub(super) fn values(&self) -> usize {
        self.spec.channels * self.positions()
    }

    /// Pixels after the convolution.
    pub(super) fn positions(&self) -> usize {
        self.after.0 * self.after.1
    }

    /// Numbers of the weight `[channels, inputs, size, size]`.
    pub(super) fn weights(&self) -> usize {
        self.spec.channels * self.inputs * self.taps()
    }

    pub(super) fn taps(&self) -> usize {
        self.spec.size * self.spec.size
    }
}

impl CnnSpec {
    /// Sizes of the stages.
    ///
    /// # Errors
    /// If one is out of range.
    pub(super) fn sizes(&self) -> Result<Vec<Sizes>, CnnError> {
        const MOST: usize = 1 << 28;
        let mut sizes = Vec::with_capacity(self.stages.len());
        let (mut inputs, mut before) = (self.in_channels, (self.height, self.width));
        for (number, &spec) in self.stages.iter().enumerate() {
            let whole = spec.channels > 0 && spec.padding < spec.size && inputs > 0;
            let dropout = if self.norms {
                0.0..=0.0
            } else {
                0.0..=1.0_f32.next_down()
            };
            if !whole || !dropout.contains(&spec.dropout) {
                return Err(CnnError::Stage(number, spec));
            }
            let left = |side: usize| {
                let padded = side.checked_add(2 * spec.padding)?;
                let after = padded.checked_add(1)?.checked_sub(spec.size)?;
                (after >= 2).then_some(after)
            };
            let after = left(before.0).zip(left(before.1));
            let after = after.ok_or(CnnError::Nothing(number))?;
            // Channels are stored in multiples of 16, borders are at most a kernel wide, and the first stage's images hold
            // every pixel once a tap.
            let product = |numbers: [usize; 4]| {
                let all = numbers.iter().try_fold(1_usize, |p, &n| p.checked_mul(n));
                all.is_some_and(|all| all < MOST)
            };
            let around = |side: usize| side.saturating_add(2 * spec.size);
            let channels = inputs.max(spec.channels).saturating_add(15);
            let taps = spec.size.saturating_mul(spec.size);
            let columns = inputs.saturating_mul(taps).saturating_add(15);
            let rooms = [
                [channels, around(before.0), around(before.1), 1],
                [if number == 0 { columns } else { 1 }, after.0, after.1, 1],
                [
                    inputs.saturating_add(15),
                    spec.channels.saturating_add(15),
                    taps,
                    1,
                ],
            ];
            if !rooms.into_iter().all(product) {
                return Err(CnnError::TooLarge(number));
            }
            let pooled = (after.0 / 2, after.1 / 2);
            sizes.push(Sizes {
                spec,
                inputs,
                before,
                after,
                pooled,
            });
            (inputs, before) = (spec.channels, pooled);
        }
        if sizes.is_empty() {
            return Err(CnnError::Empty);
        }
        Ok(sizes)
    }

    /// Checks that all sizes are in range.
    ///
    /// # Errors
    /// Which one is not.
    pub fn validate(&self) -> Result<(), CnnError> {
        self.sizes().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(channels: usize, size: usize, padding: usize) -> StageSpec {
        StageSpec {
            channels,
            size,
            padding,
            dropout: 0.0,
        }
    }

    #[test]
    fn sizes_follow_or_are_refused() {
        let spec = |side: usize, stages: &[StageSpec]| CnnSpec {
            in_channels: 3,
            height: side,
            width: side + 1,
            stages: stages.to_vec(),
            norms: false,
        };
        let sizes = spec(32, &[stage(64, 4, 0), stage(128, 5, 2)])
            .sizes()
            .unwrap();
        assert_eq!((sizes[0].after, sizes[0].pooled), ((29, 30), (14, 15)));
        assert_eq!((sizes[1].after, sizes[1].pooled), ((14, 15), (7, 7)));
        assert_eq!(sizes[1].weights(), 128 * 64 * 25);
        let error = |side, stages: &[StageSpec]| spec(side, stages).sizes().unwrap_err();
        assert_eq!(error(8, &[]), CnnError::Empty);
        assert_eq!(error(3, &[stage(4, 3, 0)]), CnnError::Nothing(0));
        assert_eq!(
            error(8, &[stage(4, 3, 0), stage(4, 3, 0)]),
            CnnError::Nothing(1)
        );
        for wrong in [stage(0, 3, 0), stage(4, 0, 0), stage(4, 3, 3)] {
            assert_eq!(error(8, &[wrong]), CnnError::Stage(0, wrong));
        }
        let dropped = StageSpec {
            dropout: 1.0,
            ..stage(4, 3, 0)
        };
        assert_eq!(error(8, &[dropped]), CnnError::Stage(0, dropped));
        let light = StageSpec {
            dropout: 0.1,
            ..stage(4, 3, 0)
        };
        assert!(spec(8, &[light]).sizes().is_ok());
        let normed = CnnSpec {
            norms: true,
            ..spec(8, &[light])
        };
        assert_eq!(normed.validate(), Err(CnnError::Stage(0, light)));
        assert_eq!(error(8, &[stage(1 << 28, 3, 0)]), CnnError::TooLarge(0));
        assert_eq!(error(1 << 20, &[stage(4, 3, 0)]), CnnError::TooLarge(0));
        let endless = stage(usize::MAX, usize::MAX, 0);
        assert_eq!(error(8, &[endless]), CnnError::Nothing(0));
        assert_eq!(
            error(usize::MAX - 1, &[stage(4, 3, 0)]),
            CnnError::Nothing(0)
        );
    }
}
