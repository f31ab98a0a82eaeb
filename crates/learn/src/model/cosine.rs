//! A cosine head: how near an input's direction is to that of each class's weights.
//!
//! Source: Gidaris and Komodakis, CVPR 2018; with continual learning Hou et al., CVPR 2019 (LUCIR). Logits are
//! `s · x·w / (|x| |w|)`: classes whose weights are longer, because they were learned last, have no advantage. The scale
//! `s` is a setting, not a parameter.
//!
//! A gradient at a class's weights has a part along themselves beside that along inputs: methods that take subspaces of inputs
//! (GPM, SGP) leave that part, which changes a length that means nothing.

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Device, Tensor};

use super::layers::uniform;
use super::{Dropout, DropoutSetting, Head, ModelContext, ModelSpec, Network, Notes};
use crate::seed::SeedStream;

/// What is added to squared lengths: an input of zeros has the logits 0.
const SMALL: f64 = 1e-12;

/// The head.
#[derive(Module, Debug)]
pub struct CosineHead {
    /// `[classes, features]`; its rows' lengths mean nothing.
    pub weight: Param<Tensor<2>>,
    /// Largest logit.
    pub scale: f64,
}

/// The head on the input.
#[derive(Module, Debug)]
pub struct CosineNet {
    /// The head.
    pub fc: CosineHead,
}

impl CosineNet {
    /// A network for this many inputs; weights are uniform within `±1/√inputs`.
    #[must_use]
    pub fn new(
        (inputs, classes): (usize, usize),
        scale: f64,
        stream: &mut SeedStream,
        device: &Device,
    ) -> Self {
        Self {
            fc: CosineHead {
                weight: uniform([classes, inputs], inputs, stream, device),
                scale,
            },
        }
    }
}

/// Rows of length one.
fn unit(rows: Tensor<2>) -> Tensor<2> {
    let squares = rows.clone().powf_scalar(2.0).sum_dim(1);
    rows / (squares + SMALL).sqrt()
}

impl Head for CosineHead {
    fn outputs(&self) -> usize {
        self.weight.dims()[0]
    }

    fn weight(&self) -> ParamId {
        self.weight.id
    }

    fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        unit(features).matmul(unit(self.weight.val()).transpose()) * self.scale
    }
}

impl Network for CosineNet {
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
pub(super) static COSINE: ModelSpec = ModelSpec {
    name: "cosine",
    description: "The cosine between the input and each class's weights, times a scale: for features of a network that is \
                  not trained.",
    head: "fc",
    dropout: DropoutSetting::None,
    hidden: false,
    scale: Some(COSINE_SCALE),
    fresh_head: false,
    defaults: &[],
    norm_positions: CosineNet::norm_positions,
    vectors: true,
    check: |_| Ok(()),
    build: |context| {
        let (image, mut init) = (context.image, context.init());
        let inputs = image.channels * image.height * image.width;
        let device = ModelContext::device();
        let (sizes, scale) = (
            (inputs, context.classes),
            context.scale.unwrap_or(COSINE_SCALE),
        );
        let network = CosineNet::new(sizes, scale, &mut init, &device);
        Ok(ModelContext::learner(network, Dropout::off()))
    },
};

/// The scale unless told otherwise: LUCIR's learned one ends near it.
pub const COSINE_SCALE: f64 = 10.0;

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::optim::floats;
    use crate::seed::Seeds;

    #[test]
    fn logits_are_cosines_times_the_scale_whatever_the_lengths() {
        let device = ModelContext::device();
        let mut init = Seeds::new(1).stream("init");
        let mut net = CosineNet::new((2, 3), 8.0, &mut init, &device);
        let rows = |values: Vec<f32>, shape| {
            Tensor::<2>::from_data(TensorData::new(values, shape), &device)
        };
        let weight = rows(vec![1.0, 0.0, 0.0, 5.0, -3.0, -4.0], [3, 2]);
        net.fc.weight = Param::from_tensor(weight);
        let x = rows(vec![2.0, 0.0, 3.0, 4.0, 0.0, 0.0], [3, 2]);
        let logits = floats(net.fc.forward(x).into_data());
        let expected = [8.0, 0.0, -4.8, 4.8, 6.4, -8.0, 0.0, 0.0, 0.0];
        for (found, expected) in logits.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{logits:?}");
        }
    }
}
