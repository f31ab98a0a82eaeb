//! The four grids of the released code (`--hyp-gs`, the functions `hyp_*` at 187d4df).

use std::fmt;

/// A grid of the released code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleasedGrid {
    /// Learning rates, for all optimizers but TAG's.
    Lr,
    /// TAG's b and learning rate.
    Tag,
    /// EWC's learning rate and λ.
    Ewc,
    /// Stable SGD's dropout, learning rate and decay.
    Stable,
}

impl fmt::Display for ReleasedGrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl ReleasedGrid {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Lr, Self::Tag, Self::Ewc, Self::Stable];

    /// The argument of `--hyp-gs`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lr => "lr",
            Self::Tag => "tag",
            Self::Ewc => "ewc",
            Self::Stable => "stable",
        }
    }

    /// The grid of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grid| grid.name() == name)
    }

    /// Keys and values, the slowest first, as the released code goes through them. Values are decimals as text.
    ///
    /// The grids do not contain every learning rate that the scripts then use: TAG's 0.00025 (Split-CIFAR100) and
    /// 0.000025 (Split-CUB), RMSProp's 0.005 and 0.0001, and others are in none of them.
    #[must_use]
    pub const fn axes(self) -> &'static [(&'static str, &'static [&'static str])] {
        const RATES: &[&str] = &["0.1", "0.05", "0.01", "0.001"];
        match self {
            Self::Lr => &[("lr", RATES)],
            Self::Tag => &[
                ("b", &["5", "1", "7", "3"]),
                (
                    "lr",
                    &["0.005", "0.001", "0.0005", "0.0001", "0.00005", "0.00001"],
                ),
            ],
            Self::Ewc => &[("lr", RATES), ("lambda", &["1", "10", "100"])],
            Self::Stable => &[
                ("dropout", &["0.0", "0.1", "0.25", "0.5"]),
                ("lr", &["0.1", "0.05", "0.01", "0.005", "0.001"]),
                ("gamma", &["0.9", "0.8", "0.7"]),
            ],
        }
    }

    /// The axes that do something on this benchmark: the released network for Split-CUB takes a dropout and ignores it, so
    /// that there the four values are one.
    pub fn axes_on(
        self,
        benchmark: &str,
    ) -> impl Iterator<Item = &'static (&'static str, &'static [&'static str])> {
        let ignored = benchmark == "split-cub";
        let all = self.axes().iter();
        all.filter(move |(key, _)| !(ignored && *key == "dropout"))
    }
}
