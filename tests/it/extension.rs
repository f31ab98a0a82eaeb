//! The residual networks as Burn modules: their kernels against the same modules on Burn's own operations.

use burn::module::Module as _;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use tagcl::data::ImageShape;
use tagcl::model::head::task_loss;
use tagcl::model::{
    Dropout, Network, ReducedResNet, ReducedResNetConfig, ResNet18, ResNet18Config,
    SlimResNetConfig,
};
use tagcl::optim::{layout_of, read_gradients};
use tagcl::seed::Seeds;

const CLASSES: usize = 10;

/// The same network twice: on the kernels, on Burn's own operations.
fn pair(side: usize, width: usize) -> [ReducedResNet; 2] {
    let config = ReducedResNetConfig {
        image: ImageShape::new(3, side, side),
        width,
        classes: CLASSES,
    };
    [false, true].map(|stock| {
        let device = Device::flex().autodiff();
        let mut network = config.init(&mut Seeds::new(3).stream("init"), &device);
        network.stock = stock;
        network
    })
}

fn images(shape: [usize; 4], name: &str, device: &Device) -> Tensor<4> {
    let mut stream = Seeds::new(5).stream(name);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| stream.unit()).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn dropout(probability: f32) -> Dropout {
    Dropout::new(probability, Seeds::new(7).stream("dropout"))
}

fn loss<N: Network>(network: &N, images: Tensor<4>, dropout: &mut Dropout) -> Tensor<1> {
    let rows = images.dims()[0];
    let labels: Vec<usize> = (0..rows).map(|i| 5 + i % 5).collect();
    task_loss(
        network.forward(images, dropout),
        &labels,
        &vec![(5..10).into(); rows],
    )
}

fn gradient<N: Network>(network: &N, loss: &Tensor<1>) -> Vec<f32> {
    let gradients = GradientsParams::from_grads(loss.backward(), network);
    read_gradients(network, gradients)
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().try_into_vec().unwrap()
}

/// Both sides sum in single precision, in different orders: so far apart values may be, relative to the largest one. Found:
/// 4e-6 at most, at every level of instructions.
const VALUES: f32 = 1e-5;
/// And gradients, relative to the largest one of the same tensor, to which rounding is carried through all layers. Found:
/// 3e-5 at most.
const GRADIENTS: f32 = 1e-4;

fn close(a: &[f32], b: &[f32], tolerance: f32, what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let largest = b.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
    let pairs = a.iter().zip(b).map(|(x, y)| (x - y).abs());
    let apart = pairs.fold(0.0, f32::max);
    assert!(
        apart <= tolerance * largest && a.iter().all(|x| x.is_finite()),
        "{what}: {apart:e} apart, {:e} of the largest",
        apart / largest
    );
}

/// [`close`] for every tensor of the network by itself.
fn close_gradients<N: Network>(network: &N, a: &[f32], b: &[f32], what: &str) {
    let layout = layout_of(network);
    assert_eq!(a.len(), layout.len(), "{what}");
    for slot in layout.slots() {
        let (a, b) = (&a[slot.range.clone()], &b[slot.range.clone()]);
        close(a, b, GRADIENTS, &format!("{} of {what}", slot.name));
    }
}

fn running(network: &ReducedResNet) -> [Vec<f32>; 3] {
    let norm = &network.layer3[0].bn1;
    [
        values(network.bn1.running_mean.value_sync()),
        values(norm.running_mean.value_sync()),
        values(norm.running_var.value_sync()),
    ]
}

/// [`close`] for each of some statistics, which are not those that a norm begins with.
fn close_statistics(a: &[Vec<f32>; 3], b: &[Vec<f32>; 3], what: &str) {
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!(b.iter().any(|&v| v != 0.0 && v != 1.0), "{what} {i}: fresh");
        close(a, b, VALUES, &format!("statistics {i} of {what}"));
    }
}

#[test]
fn training_agrees_with_the_stock_operations() {
    let device = Device::flex().autodiff();
    for (batch, side, width, drop) in [
        (4, 32, 20, 0.0),
        (3, 32, 20, 0.3),
        (1, 28, 8, 0.1),
        (2, 37, 4, 0.0),
    ] {
        let what = format!("{batch} images of side {side}, width {width}, dropout {drop}");
        let networks = pair(side, width);
        let found = networks.each_ref().map(|network| {
            let images = images([batch, 3, side, side], &what, &device);
            let loss = loss(network, images, &mut dropout(drop));
            (
                values(loss.clone()),
                gradient(network, &loss),
                running(network),
            )
        });
        let [kernels, stock] = &found;
        close(&kernels.0, &stock.0, VALUES, &format!("loss of {what}"));
        close_gradients(&networks[1], &kernels.1, &stock.1, &what);
        close_statistics(&kernels.2, &stock.2, &what);
    }
}

#[test]
fn several_passes_may_be_open_at_once() {
    let device = Device::flex().autodiff();
    let [network, _] = pair(32, 20);
    let batch = |name: &str| images([2, 3, 32, 32], name, &device);
    let alone = |name: &str| {
        let [network, _] = pair(32, 20);
        let loss = loss(&network, batch(name), &mut dropout(0.2));
        gradient(&network, &loss)
    };
    let first = loss(&network, batch("first"), &mut dropout(0.2));
    let second = loss(&network, batch("second"), &mut dropout(0.2));
    // A pass whose graph is dropped gives its buffers back.
    drop(loss(&network, batch("third"), &mut dropout(0.2)));
    assert_eq!(gradient(&network, &first), alone("first"));
    assert_eq!(gradient(&network, &second), alone("second"));
    // One loss over two passes: the gradients add up.
    let sum = loss(&network, batch("first"), &mut dropout(0.2))
        + loss(&network, batch("second"), &mut dropout(0.2));
    let added: Vec<f32> = alone("first")
        .iter()
        .zip(alone("second"))
        .map(|(a, b)| a + b)
        .collect();
    let both = gradient(&network, &sum);
    close_gradients(&network, &both, &added, "two passes");
}

#[test]
fn evaluation_agrees_with_the_stock_operations() {
    let device = Device::flex().autodiff();
    let found = pair(32, 20).map(|network| {
        let _ = network.forward(images([4, 3, 32, 32], "a", &device), &mut Dropout::off());
        let images = images([3, 3, 32, 32], "b", &Device::flex());
        values(network.valid().forward(images, &mut Dropout::off()))
    });
    close(&found[0], &found[1], VALUES, "logits");
}

#[test]
fn what_the_kernels_do_not_take_falls_back() {
    let device = Device::flex().autodiff();
    let [network, stock] = pair(32, 20);
    // 32x40 images have the features of 32x32 ones, so the same head fits.
    let wide = images([2, 3, 32, 40], "wide", &device);
    let [a, b] = [&network, &stock].map(|n| values(loss(n, wide.clone(), &mut dropout(0.1))));
    assert_eq!(a, b);
    // Images that want a gradient get it.
    let wanted = images([2, 3, 32, 32], "wanted", &device).require_grad();
    let [a, b] = [&network, &stock].map(|n| {
        let loss = loss(n, wanted.clone(), &mut Dropout::off());
        values(wanted.grad(&loss.backward()).unwrap())
    });
    assert_eq!(a, b);
}

#[test]
fn the_slim_resnet18_agrees_with_the_stock_operations() {
    let device = Device::flex().autodiff();
    for (batch, side, width) in [(4, 32, 20), (1, 28, 8), (2, 37, 4)] {
        let what = format!("{batch} images of side {side}, width {width}, two convolutions");
        let config = SlimResNetConfig {
            image: ImageShape::new(3, side, side),
            width,
            classes: CLASSES,
        };
        let found = [false, true].map(|stock| {
            let mut network = config.init(&mut Seeds::new(3).stream("init"), &device);
            network.stock = stock;
            let images = images([batch, 3, side, side], &what, &device);
            let loss = loss(&network, images.clone(), &mut Dropout::off());
            let gradients = gradient(&network, &loss);
            let shortcut = network.layer3[0].downsample.as_ref().unwrap();
            let statistics = [
                values(network.bn1.running_mean.value_sync()),
                values(shortcut.norm.running_mean.value_sync()),
                values(network.layer4[1].bn2.running_var.value_sync()),
            ];
            let logits = network.valid().forward(images.inner(), &mut Dropout::off());
            (network, statistics, values(loss), values(logits), gradients)
        });
        let [kernels, stock] = &found;
        close_statistics(&kernels.1, &stock.1, &what);
        close(&kernels.2, &stock.2, VALUES, &format!("loss of {what}"));
        close(&kernels.3, &stock.3, VALUES, &format!("logits of {what}"));
        close_gradients(&stock.0, &kernels.4, &stock.4, &what);
    }
}

/// Of the full ResNet-18 on the kernels and on Burn's operations, for these images: loss and logits, statistics, gradients.
type Found = ([Vec<f32>; 2], [Vec<f32>; 3], Vec<f32>);

fn full_resnet([batch, side]: [usize; 2], salt: &str) -> (ResNet18, [Found; 2]) {
    let device = Device::flex().autodiff();
    let config = ResNet18Config {
        image: ImageShape::new(3, side, side),
        classes: CLASSES,
    };
    let images = images([batch, 3, side, side], salt, &device);
    let [kernels, stock] = [false, true].map(|stock| {
        let mut network = config.init(&mut Seeds::new(3).stream("init"), &device);
        network.stock = stock;
        let loss = loss(&network, images.clone(), &mut Dropout::off());
        let graph = loss.backward();
        let down = network.layer2[0].downsample.as_ref().unwrap();
        let statistics = [
            values(network.bn1.running_mean.value_sync()),
            values(network.layer4[1].bn2.running_var.value_sync()),
            values(down.norm.running_var.value_sync()),
        ];
        let gradients = read_gradients(&network, GradientsParams::from_grads(graph, &network));
        let test = images.clone().inner();
        let logits = values(network.valid().forward(test, &mut Dropout::off()));
        (network, ([values(loss), logits], statistics, gradients))
    });
    (stock.0, [kernels.1, stock.1])
}

/// A gradient jumps where an activation crosses zero, or two places of a pooling window change their order, and two orders of
/// summation may land on either side: such images are replaced by others, and a true difference shows on all of them.
#[test]
fn the_full_resnet18_agrees_with_the_stock_operations() {
    for (batch, side) in [(3, 64), (5, 47), (1, 112)] {
        let mut tried = Vec::new();
        let agreed = (0..8).any(|salt| {
            let what = format!("{batch} images of {side}x{side}, {salt}");
            let (network, [kernels, stock]) = full_resnet([batch, side], &what);
            close_statistics(&kernels.1, &stock.1, &what);
            for ((a, b), name) in kernels.0.iter().zip(&stock.0).zip(["loss", "logits"]) {
                close(a, b, VALUES, &format!("{name} of {what}"));
            }
            let layout = layout_of(&network);
            let slots = layout.slots().iter();
            let worst = slots.map(|slot| {
                let (a, b) = (&kernels.2[slot.range.clone()], &stock.2[slot.range.clone()]);
                let largest = b.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
                let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs());
                (apart.fold(0.0, f32::max) / largest, slot.name.clone())
            });
            tried.push(worst.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap());
            tried.last().unwrap().0 <= GRADIENTS
        });
        assert!(agreed, "{batch} images of {side}x{side}: {tried:?}");
    }
}

#[test]
fn frozen_norms_of_the_full_resnet18_take_the_stock_operations() {
    let device = Device::flex().autodiff();
    let config = ResNet18Config {
        image: ImageShape::new(3, 32, 32),
        classes: CLASSES,
    };
    let [kernels, stock] = [false, true].map(|stock| {
        let mut network = config.init(&mut Seeds::new(3).stream("init"), &device);
        network.stock = stock;
        let network = network.with_frozen_norms(true);
        let loss = loss(
            &network,
            images([2, 3, 32, 32], "frozen", &device),
            &mut Dropout::off(),
        );
        let before = values(network.bn1.running_mean.value_sync());
        assert!(before.iter().all(|&m| m == 0.0));
        let gradient = gradient(&network, &loss);
        (network, gradient)
    });
    close_gradients(&stock.0, &kernels.1, &stock.1, "frozen norms");
}
