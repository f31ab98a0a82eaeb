//! The two-layer perceptron of the rotated and permuted MNIST streams (784-256-256-head in the released code).

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::{
    Dropout, DropoutSetting, Head, InitialValues, KernelFeedForward, Learner, LearnerError, Linear,
    ModelContext, ModelSpec, Network, Notes, stock_kernels,
};
use crate::seed::SeedStream;

/// Sizes of an [`Mlp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MlpConfig {
    /// Values of an image.
    pub inputs: usize,
    /// Width of both hidden layers (256 in the paper).
    pub hidden: usize,
    /// Classes over all tasks.
    pub classes: usize,
}

/// Linear → ReLU → dropout, twice, then the head.
#[derive(Module, Debug)]
pub struct Mlp {
    /// First hidden layer.
    pub w1: Linear,
    /// Second hidden layer.
    pub w2: Linear,
    /// Head.
    pub w3: Linear,
}

impl MlpConfig {
    /// A network with PyTorch's default initial values.
    #[must_use]
    pub fn init(&self, stream: &mut SeedStream, device: &Device) -> Mlp {
        Mlp {
            w1: Linear::new(self.inputs, self.hidden, stream, device),
            w2: Linear::new(self.hidden, self.hidden, stream, device),
            w3: Linear::new(self.hidden, self.classes, stream, device),
        }
    }
}

impl Network for Mlp {
    fn pass(&self, images: Tensor<4>, dropout: &mut Dropout, notes: &mut Notes) -> Tensor<2> {
        let mut x = images.flatten(1, 3);
        for layer in [&self.w1, &self.w2] {
            notes.linear(layer, &x);
            x = dropout.apply(relu(layer.forward(x)));
        }
        x
    }

    fn head(&self) -> &dyn Head {
        &self.w3
    }

    fn released_name(path: &str) -> String {
        path.replacen('w', "W", 1)
    }
}

/// The network as the program knows it.
pub static MLP: ModelSpec = ModelSpec {
    name: "mlp",
    description: "Two hidden layers with ReLU and dropout (256 wide in the paper).",
    head: "W3",
    dropout: DropoutSetting::Set,
    hidden: true,
    scale: None,
    fresh_head: false,
    defaults: &[],
    norm_positions: Mlp::norm_positions,
    vectors: true,
    check: |_| Ok(()),
    build: |context| {
        let image = context.image;
        let mlp = MlpConfig {
            inputs: image.channels * image.height * image.width,
            hidden: context.hidden.unwrap_or(256),
            classes: context.classes,
        };
        let (mut init, dropout) = (context.init(), context.dropout());
        let mut learner: Box<dyn Learner> = if stock_kernels() {
            let network = mlp.init(&mut init, &ModelContext::device());
            ModelContext::learner(network, dropout)
        } else {
            Box::new(KernelFeedForward::mlp(&mlp, &mut init, dropout))
        };
        if context.initial == InitialValues::Xavier {
            widen(learner.as_mut())?;
        }
        Ok(learner)
    },
};

/// Makes Xavier's initial values of PyTorch's: the same draws over another width, and biases 0.
fn widen(learner: &mut dyn Learner) -> Result<(), LearnerError> {
    let layout = learner.layout().clone();
    learner.update(&mut |theta| {
        for slot in layout.slots() {
            let values = theta.get_mut(slot.range.clone()).unwrap_or_default();
            match *slot.shape.as_slice() {
                [outputs, inputs] => {
                    let (inputs, outputs) = (inputs as f32, outputs as f32);
                    let factor = (6.0 / (inputs + outputs)).sqrt() * inputs.sqrt();
                    for x in values {
                        *x *= factor;
                    }
                }
                _ => values.fill(0.0),
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;
    use crate::seed::Seeds;

    #[test]
    fn xavier_fills_its_width_and_leaves_biases_at_zero() {
        let context = |initial| ModelContext {
            image: ImageShape::new(1, 28, 28),
            classes: 10,
            hidden: Some(100),
            scale: None,
            initial,
            dropout: 0.0,
            init: Seeds::new(1),
            seeds: Seeds::new(1),
            threads: 1,
        };
        let learner = (MLP.build)(&context(InitialValues::Xavier)).unwrap();
        for slot in learner.layout().slots() {
            let values = &learner.parameters()[slot.range.clone()];
            let largest = values.iter().fold(0.0_f32, |a, x| a.max(x.abs()));
            match *slot.shape.as_slice() {
                [outputs, inputs] => {
                    let bound = (6.0_f32 / (inputs + outputs) as f32).sqrt();
                    assert!(largest <= bound && largest > 0.98 * bound, "{}", slot.name);
                }
                _ => assert!(largest == 0.0, "{}", slot.name),
            }
        }
    }
}
