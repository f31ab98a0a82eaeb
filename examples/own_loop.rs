//! TAG in a training loop of one's own, over any Burn module: a stream of three toy tasks, with the optimizer's state
//! saved in the middle and taken up again.
//!
//! ```text
//! cargo run --release --example own_loop
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::optim::GradientsParams;
use burn::tensor::activation::tanh;
use burn::tensor::{Device, Distribution, Tensor};
use tagcl::optim::{ModuleOptimizer, OptimError, State, Tag, TagConfig, layout_of};

#[derive(Module, Debug)]
struct Regressor {
    hidden: Linear,
    out: Linear,
}

impl Regressor {
    fn new(device: &Device) -> Self {
        Self {
            hidden: LinearConfig::new(2, 32).init(device),
            out: LinearConfig::new(32, 1).init(device),
        }
    }

    fn loss(&self, x: Tensor<2>, y: Tensor<2>) -> Tensor<1> {
        (self.out.forward(tanh(self.hidden.forward(x))) - y)
            .powf_scalar(2.0)
            .mean()
    }
}

/// Task t: the sine of the first coordinate, moved by t; the second coordinate says which task it is.
fn batch(t: usize, device: &Device) -> (Tensor<2>, Tensor<2>) {
    let shift = t as f32;
    let x = Tensor::<2>::random([32, 1], Distribution::Uniform(-2.0, 2.0), device);
    let y = x.clone().add_scalar(shift).sin();
    let task = Tensor::<2>::zeros([32, 1], device).add_scalar(shift);
    (Tensor::cat(vec![x, task], 1), y)
}

fn optimizer(model: &Regressor) -> Result<ModuleOptimizer, OptimError> {
    let config = TagConfig {
        b: 3.0,
        ..TagConfig::default()
    };
    Ok(ModuleOptimizer::new(Box::new(Tag::new(
        config,
        layout_of(model),
    )?)))
}

fn main() -> Result<(), OptimError> {
    let device = Device::flex().autodiff();
    device.seed(1);
    let mut model = Regressor::new(&device);
    let mut tag = optimizer(&model)?;
    for t in 0..3 {
        tag.begin_task();
        for step in 0..400 {
            let (x, y) = batch(t, &device);
            let gradients = GradientsParams::from_grads(model.loss(x, y).backward(), &model);
            model = tag.step(2e-3, model, gradients)?;
            if t == 1 && step == 200 {
                // Save, lose, restore: the run goes on as if nothing had happened.
                let saved = tag.state().to_bytes()?;
                tag = optimizer(&model)?;
                tag.restore(State::from_bytes(&saved)?)?;
            }
        }
        tag.end_task();
        let losses: Vec<String> = (0..=t)
            .map(|past| {
                let (x, y) = batch(past, &device);
                format!("{:.4}", model.loss(x, y).into_scalar::<f32>())
            })
            .collect();
        println!(
            "after task {}: loss on tasks so far {}",
            t + 1,
            losses.join("  ")
        );
    }
    if let Some(alpha) = tag.alpha() {
        let row: Vec<String> = (0..3)
            .filter_map(|tau| alpha.mean(2, tau))
            .map(|a| format!("{a:.3}"))
            .collect();
        println!("mean α(3,τ) for τ = 1..3: {}", row.join("  "));
    }
    Ok(())
}
