//! What every layer of a network sees of a batch: one row for each product with the layer's weight.
//!
//! Owns the rows that methods take subspaces of, and how a Burn network notes them on its way. A linear layer has a row an
//! example; a convolution one for each position of each image, with the values under the filter in the order of its weight, so
//! that a weight of any layer is `[outputs, width]` and the layer is a product of the two.

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

use super::{BiasConv, Conv, Head, Linear};
use crate::optim::floats;

/// What a layer saw of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerInputs {
    /// Name of the layer's weight in the learner's layout.
    pub weight: String,
    /// Values of a row: the weight's, divided by its outputs.
    pub width: usize,
    /// `[rows, width]`.
    pub values: Vec<f32>,
}

/// Which of `total` rows are taken where at most `most` are: evenly spaced ones, the first among them.
pub(super) fn taken(total: usize, most: usize) -> impl Iterator<Item = usize> {
    let rows = total.min(most);
    (0..rows).map(move |row| row * total / rows)
}

/// The rows of a linear layer.
pub(super) fn of_linear(values: &[f32], width: usize, most: usize) -> Vec<f32> {
    let width = width.max(1);
    let rows = taken(values.len() / width, most);
    let rows = rows.filter_map(|row| values.get(row * width..(row + 1) * width));
    rows.flatten().copied().collect()
}

/// A convolution's square window.
#[derive(Clone, Copy, Debug)]
struct Window {
    size: usize,
    stride: usize,
    padding: usize,
}

impl Window {
    /// Places of the window along a side.
    fn places(self, side: usize) -> usize {
        (side + 2 * self.padding)
            .checked_sub(self.size)
            .map_or(0, |room| room / self.stride.max(1) + 1)
    }

    /// The rows of a convolution: image by image, line by line.
    ///
    /// # Shapes
    /// - `values`: `[batch, channels, height, width]`
    /// - output: `[rows, channels · size · size]`
    fn rows(self, values: &[f32], dims: [usize; 4], most: usize) -> Vec<f32> {
        let [batch, channels, height, width] = dims;
        let (down, across) = (self.places(height), self.places(width));
        let mut rows = Vec::new();
        for row in taken(batch * down * across, most) {
            let (image, place) = (row / (down * across), row % (down * across));
            let (top, left) = (place / across * self.stride, place % across * self.stride);
            for channel in 0..channels {
                let plane = (image * channels + channel) * height * width;
                for y in top..top + self.size {
                    for x in left..left + self.size {
                        // Outside of the image the padding's zeros.
                        let inside = y
                            .checked_sub(self.padding)
                            .zip(x.checked_sub(self.padding))
                            .filter(|(y, x)| *y < height && *x < width)
                            .and_then(|(y, x)| values.get(plane + y * width + x));
                        rows.push(inside.copied().unwrap_or(0.0));
                    }
                }
            }
        }
        rows
    }
}

/// Takes notes of what layers see, where somebody wants them.
#[derive(Debug)]
pub struct Notes {
    most: usize,
    layers: Option<Vec<Noted>>,
}

#[derive(Debug)]
struct Noted {
    weight: ParamId,
    width: usize,
    values: Vec<f32>,
}

impl Notes {
    /// Nobody wants any.
    #[must_use]
    pub fn off() -> Self {
        Self {
            most: 0,
            layers: None,
        }
    }

    /// At most this many rows of every layer.
    #[must_use]
    pub fn rows(most: usize) -> Self {
        Self {
            most,
            layers: Some(Vec::new()),
        }
    }

    /// Whether somebody wants them.
    #[must_use]
    pub fn wanted(&self) -> bool {
        self.layers.is_some()
    }

    /// `x` goes into this layer: `[batch, inputs]`.
    pub fn linear(&mut self, layer: &Linear, x: &Tensor<2>) {
        self.head(layer, x);
    }

    /// As [`Self::linear`].
    pub fn head(&mut self, layer: &dyn Head, x: &Tensor<2>) {
        let most = self.most;
        self.note(layer.weight(), x.dims()[1], || {
            of_linear(&floats(x.clone().into_data()), x.dims()[1], most)
        });
    }

    /// `x` goes into this layer: `[batch, channels, height, width]`.
    pub fn conv(&mut self, layer: &Conv, x: &Tensor<4>) {
        let size = layer.weight.dims()[2];
        let window = Window {
            size,
            stride: layer.stride,
            padding: size / 2,
        };
        self.window(layer.weight.id, window, x);
    }

    /// As [`Self::conv`].
    pub fn bias_conv(&mut self, layer: &BiasConv, x: &Tensor<4>) {
        let window = Window {
            size: layer.weight.dims()[2],
            stride: 1,
            padding: layer.padding,
        };
        self.window(layer.weight.id, window, x);
    }

    fn window(&mut self, weight: ParamId, window: Window, x: &Tensor<4>) {
        let (most, width) = (self.most, x.dims()[1] * window.size * window.size);
        self.note(weight, width, || {
            window.rows(&floats(x.clone().into_data()), x.dims(), most)
        });
    }

    fn note(&mut self, weight: ParamId, width: usize, values: impl FnOnce() -> Vec<f32>) {
        if let Some(layers) = &mut self.layers {
            layers.push(Noted {
                weight,
                width,
                values: values(),
            });
        }
    }

    /// The notes under the names that the module's parameters have.
    pub(super) fn named<M: Module>(
        self,
        module: &M,
        rename: fn(&str) -> String,
    ) -> Vec<LayerInputs> {
        let mut names = Names::default();
        module.visit(&mut names);
        let layers = self.layers.unwrap_or_default().into_iter();
        let named = layers.filter_map(|layer| {
            let name = names.found.iter().find(|(id, _)| *id == layer.weight);
            name.map(|(_, path)| LayerInputs {
                weight: rename(path),
                width: layer.width,
                values: layer.values,
            })
        });
        named.collect()
    }
}

/// Path of every float parameter.
#[derive(Default)]
struct Names {
    path: Vec<String>,
    found: Vec<(ParamId, String)>,
}

impl ModuleVisitor for Names {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.found.push((param.id, self.path.join(".")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_spread_evenly() {
        assert_eq!(taken(10, 4).collect::<Vec<_>>(), [0, 2, 5, 7]);
        assert_eq!(taken(3, 4).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(taken(0, 4).count() + taken(4, 0).count(), 0);
        assert_eq!(
            of_linear(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 2),
            [1.0, 2.0, 3.0, 4.0]
        );
    }
}
