//! One linear layer: a head on inputs that are features already.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Dropout, DropoutSetting, Head, Linear, ModelContext, ModelSpec, Network, Notes};
use crate::seed::SeedStream;

/// `x Wᵀ + b` of the input.
#[derive(Module, Debug)]
pub struct LinearNet {
    /// The head.
    pub fc: Linear,
}

impl LinearNet {
    /// A network for this many inputs with PyTorch's default initial values.
    #[must_use]
    pub fn new(inputs: usize, classes: usize, stream: &mut SeedStream, device: &Device) -> Self {
        Self {
            fc: Linear::new(inputs, classes, stream, device),
        }
    }
}

impl Network for LinearNet {
    fn pass(&self, images: Tensor<4>, _dropout: &mut Dropout, _notes: &mut Notes) -> Tensor<2> {
        images.flatten(1, 3)
    }

    fn head(&self) -> &dyn Head {
        &self.fc
    }

    fn released_name(path: &str) -> String {
        path.to_string()
    }
}

/// The network as the program knows it.
pub static LINEAR: ModelSpec = ModelSpec {
    name: "linear",
    description: "One linear layer on the input: for features of a network that is not trained.",
    head: "fc",
    dropout: DropoutSetting::None,
    hidden: false,
    scale: None,
    fresh_head: false,
    defaults: &[],
    norm_positions: LinearNet::norm_positions,
    vectors: true,
    check: |_| Ok(()),
    build: |context| {
        let (image, mut init) = (context.image, context.init());
        let inputs = image.channels * image.height * image.width;
        let device = ModelContext::device();
        let network = LinearNet::new(inputs, context.classes, &mut init, &device);
        Ok(ModelContext::learner(network, Dropout::off()))
    },
};
