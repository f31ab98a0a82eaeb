//! The networks' kernels beside the same networks of Burn operations: losses, gradients and running statistics of random
//! shapes, tensor by tensor.

use std::ops::Range;

use burn::tensor::Device;
use proptest::prelude::*;

use super::{CLASSES, batch, descend, gradient, near, trained};
use crate::data::ImageShape;
use crate::kernels::Level;
use crate::model::*;
use crate::seed::Seeds;
use crate::stream::Batch;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    /// The gradient in evaluation mode on the kernels beside the Burn module's with frozen norms, tensor by tensor, after
    /// steps that moved the statistics; and the snapshot goes from one to the other.
    #[test]
    fn the_resnet_kernels_match_burn_in_evaluation(
        size in 1_usize..6, side in 25_usize..41, quarter in 1_usize..4, channels in 1_usize..4, mixed: bool,
    ) {
        let image = ImageShape::new(channels, side, side);
        let config = ReducedResNetConfig { image, width: 4 * quarter, classes: CLASSES };
        let device = Device::flex().autodiff();
        let mut network = config.init(&mut Seeds::new(3).stream("init"), &device);
        network.stock = true;
        let mut stock = NetworkLearner::new(network, Dropout::off(), &device);
        let dropout = Dropout::new(0.2, Seeds::new(3).stream("dropout"));
        let mut fast = KernelResNet::new(&config, &mut Seeds::new(3).stream("init"), dropout, 1).unwrap();
        trained(&mut fast, image);
        agree(&mut stock, &mut fast, &batch(size, image, mixed, 5), Mode::Evaluate)?;
    }

    /// The same for two convolutions a block, in training too, with the statistics that it leaves.
    #[test]
    fn the_slim_resnet_kernels_match_burn(
        size in 1_usize..6, side in 25_usize..41, quarter in 1_usize..4, channels in 1_usize..4, mixed: bool,
    ) {
        let image = ImageShape::new(channels, side, side);
        let config = SlimResNetConfig { image, width: 4 * quarter, classes: CLASSES };
        let device = Device::flex().autodiff();
        let init = || Seeds::new(3).stream("init");
        let mut network = config.init(&mut init(), &device);
        network.stock = true;
        let mut stock = NetworkLearner::new(network, Dropout::off(), &device);
        let mut fast = KernelResNet::new(&config, &mut init(), Dropout::off(), 1).unwrap();
        alike(&mut stock, &mut fast, &batch(size, image, mixed, 5), image)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3))]
    /// The full ResNet-18, whose planes end as few pixels where images are small.
    #[test]
    fn the_full_resnet_kernels_match_burn(
        size in 4_usize..7, side in 65_usize..90, channels in 1_usize..4, mixed: bool,
    ) {
        let image = ImageShape::new(channels, side, side);
        let config = ResNet18Config { image, classes: CLASSES };
        let device = Device::flex().autodiff();
        let init = || Seeds::new(3).stream("init");
        let mut network = config.init(&mut init(), &device);
        network.stock = true;
        let mut stock = NetworkLearner::new(network, Dropout::off(), &device);
        let mut fast = KernelResNet::new(&config, &mut init(), Dropout::off(), 2).unwrap();
        alike(&mut stock, &mut fast, &batch(size, image, mixed, 5), image)?;
    }
}

/// Two learners of one initialization: the same parameters, and after steps that moved the statistics the same losses,
/// gradients and weights, in evaluation and in training.
fn alike(
    stock: &mut dyn Learner,
    fast: &mut dyn Learner,
    batch: &Batch,
    image: ImageShape,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(stock.parameters(), fast.parameters());
    trained(fast, image);
    for mode in [Mode::Evaluate, Mode::Train] {
        agree(stock, fast, batch, mode)?;
    }
    let [a, b] =
        [stock.weights(), fast.weights()].map(|file| read_weights(&file.unwrap()).unwrap());
    prop_assert!(a.keys().eq(b.keys()));
    for (name, (_, values)) in &a {
        near(&b[name].1, values, 1e-4, name);
    }
    Ok(())
}

/// The first learner gets the other's snapshot; then losses and gradients of a batch are the same, tensor by tensor. A
/// gradient jumps where an activation crosses zero or two of a pooling window tie, and two orders of summation may land on
/// either side: such a batch is tried again with other pixels, and a true difference shows on every one.
fn agree(
    stock: &mut dyn Learner,
    fast: &mut dyn Learner,
    batch: &Batch,
    mode: Mode,
) -> Result<(), TestCaseError> {
    let mut worst = (0.0, String::new());
    for salt in 0..16 {
        stock.restore(fast.state()).unwrap();
        let batch = nudged(batch, salt);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        let loss = [
            gradient(stock, &batch, mode, &mut a).unwrap(),
            gradient(fast, &batch, mode, &mut b).unwrap(),
        ];
        prop_assert!(
            (loss[0] - loss[1]).abs() < 1e-5 * loss[0].abs().max(1.0),
            "{loss:?}"
        );
        let whole = a.iter().fold(1e-3_f32, |m, x| m.max(x.abs()));
        let of = |name: &str, range: Range<usize>| {
            let (a, b) = (&a[range.clone()], &b[range]);
            // A norm takes the bias before it out again: its gradient is zero, and rounding in sums that do not know it.
            let cancels = name.strip_suffix(".bias").is_some() && b.iter().all(|x| *x == 0.0);
            let apart = apart(b, a);
            let scale = if cancels { 1e-3 / whole } else { 1.0 };
            (apart * scale, name.to_owned())
        };
        let layout = fast.layout();
        let slots = layout
            .slots()
            .iter()
            .map(|slot| of(&slot.name, slot.range.clone()));
        worst = slots.max_by(|x, y| x.0.total_cmp(&y.0)).unwrap_or_default();
        if worst.0 < 5e-5 {
            return Ok(());
        }
    }
    Err(TestCaseError::fail(format!("{mode:?}: {worst:?}")))
}

/// The batch itself, then others whose pixels differ by up to a hundredth: by much more than rounding, so that an activation
/// at zero in one is not in the next.
fn nudged(batch: &Batch, salt: usize) -> Batch {
    let mut batch = batch.clone();
    if salt > 0 {
        let mut noise = Seeds::new(salt as u64).stream("nudges");
        let pixels = batch.pixels.iter_mut();
        pixels.for_each(|x| *x *= 1.0 + 2e-2 * (noise.unit() - 0.5));
    }
    batch
}

/// The largest difference, on the scale of the largest value.
fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let scale = b.iter().fold(1e-3_f32, |m, x| m.max(x.abs()));
    let pairs = a.iter().zip(b);
    pairs.fold(0.0_f32, |m, (a, b)| m.max((a - b).abs())) / scale
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Two steps with dropout, passes that only observe, and a gradient in evaluation mode beside the Burn module's.
    #[test]
    fn the_mlp_kernels_match_burn(
        size in 1_usize..13, side in 2_usize..7, hidden in 1_usize..40, mixed: bool, dropped: bool, level in 0_usize..3,
    ) {
        let config = MlpConfig { inputs: side * side, hidden, classes: CLASSES };
        let shape = ImageShape::new(1, side, side);
        let device = Device::flex().autodiff();
        let init = || Seeds::new(3).stream("init");
        let probability = if dropped { 0.4 } else { 0.0 };
        let dropout = || Dropout::new(probability, Seeds::new(3).stream("dropout"));
        let levels = Level::available_levels();
        let level = levels[level % levels.len()];
        let mut stock = NetworkLearner::new(config.init(&mut init(), &device), dropout(), &device);
        let mut fast = KernelFeedForward::mlp(&config, &mut init(), dropout()).at(level);
        prop_assert_eq!(stock.parameters(), fast.parameters());
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for salt in 0..2 {
            let batch = batch(size, shape, mixed, salt);
            for mode in [Mode::Evaluate, Mode::Train] {
                let loss = [
                    gradient(&mut stock, &batch, mode, &mut a).unwrap(),
                    gradient(&mut fast, &batch, mode, &mut b).unwrap(),
                ];
                prop_assert!((loss[0] - loss[1]).abs() < 1e-5 * loss[0].abs().max(1.0), "{:?}", loss);
                near(&b, &a, 2e-5, "gradient");
            }
            // The same step in both, so that rounding does not part them.
            descend(&mut stock, &a);
            descend(&mut fast, &a);
            stock.forward(&batch, Mode::Observe, Wanted::All).unwrap();
            fast.forward(&batch, Mode::Observe, Wanted::All).unwrap();
        }
        let mut other = KernelFeedForward::mlp(&config, &mut Seeds::new(4).stream("init"), Dropout::off());
        other.load(&stock.weights().unwrap()).unwrap();
        prop_assert_eq!(other.parameters(), fast.parameters());
        prop_assert_eq!(fast.weights().unwrap(), other.weights().unwrap());
        // A snapshot of one engine goes on in the other, dropout included.
        let mut resumed = KernelFeedForward::mlp(&config, &mut Seeds::new(4).stream("init"), dropout()).at(level);
        resumed.restore(stock.state()).unwrap();
        let next = batch(size, shape, mixed, 5);
        let loss = [
            gradient(&mut fast, &next, Mode::Train, &mut a).unwrap(),
            gradient(&mut resumed, &next, Mode::Train, &mut b).unwrap(),
        ];
        prop_assert_eq!((loss[0], &a), (loss[1], &b));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]
    /// In training with dropout, whose masks are the same, and in evaluation; sides whose convolutions leave odd planes too.
    #[test]
    fn the_alexnet_kernels_match_burn(
        size in 1_usize..6, side in 12_usize..40, channels in 1_usize..4, mixed: bool, level in 0_usize..3,
    ) {
        let image = ImageShape::new(channels, side, side);
        let config = AlexNetConfig { image, classes: CLASSES };
        let device = Device::flex().autodiff();
        let init = || Seeds::new(3).stream("init");
        let dropout = || Dropout::by_layer(Seeds::new(3).stream("dropout"));
        let levels = Level::available_levels();
        let level = levels[level % levels.len()];
        let network = config.init(&mut init(), &device).unwrap();
        let mut stock = NetworkLearner::new(network, dropout(), &device);
        let mut fast = KernelFeedForward::alexnet(&config, &mut init(), dropout(), 1).unwrap().at(level);
        prop_assert_eq!(stock.parameters(), fast.parameters());
        for (mode, salt) in [(Mode::Train, 1), (Mode::Evaluate, 2), (Mode::Train, 3)] {
            agree(&mut stock, &mut fast, &batch(size, image, mixed, salt), mode)?;
            stock.forward(&batch(size, image, mixed, salt), Mode::Observe, Wanted::Nothing).unwrap();
            fast.forward(&batch(size, image, mixed, salt), Mode::Observe, Wanted::Nothing).unwrap();
            prop_assert_eq!(stock.counters(), fast.counters());
        }
        prop_assert_eq!(stock.weights().unwrap(), fast.weights().unwrap());
        let batch = batch(size, image, mixed, 4);
        let [a, b] = [stock.frozen(), fast.frozen()].map(|c| c.scores(&batch, Wanted::Competing).unwrap());
        let there = |scores: &[f32]| -> Vec<f32> {
            let rows = scores.chunks(CLASSES).zip(&batch.competing);
            rows.flat_map(|(row, set)| set.iter().map(|c| row[c])).collect()
        };
        near(&there(&b), &there(&a), 2e-5, "scores");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    /// `LeNet`, with the statistics that training leaves; rows that no window covers are in them, too.
    #[test]
    fn the_lenet_kernels_match_burn(
        size in 1_usize..12, height in 4_usize..30, width in 4_usize..30, channels in 1_usize..4, mixed: bool, level in 0_usize..3,
    ) {
        let image = ImageShape::new(channels, height, width);
        let config = LeNetConfig { image, classes: CLASSES };
        let device = Device::flex().autodiff();
        let init = || Seeds::new(3).stream("init");
        let levels = Level::available_levels();
        let level = levels[level % levels.len()];
        let mut stock = NetworkLearner::new(config.init(&mut init(), &device), Dropout::off(), &device);
        let mut fast = KernelFeedForward::lenet(&config, &mut init(), 2).unwrap().at(level);
        let batch = batch(size, image, mixed, 5);
        alike(&mut stock, &mut fast, &batch, image)?;
        for learner in [&mut stock as &mut dyn Learner, &mut fast] {
            learner.forward(&batch, Mode::Observe, Wanted::Nothing).unwrap();
        }
        prop_assert_eq!(stock.counters(), fast.counters());
        let [a, b] = [stock.frozen(), fast.frozen()].map(|c| c.scores(&batch, Wanted::All).unwrap());
        near(&b, &a, 5e-5, "scores after another batch's statistics");
    }
}
