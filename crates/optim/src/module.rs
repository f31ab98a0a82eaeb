//! Any [`Optimizer`] around any Burn module.
//!
//! Owns the passage between a module's tensors and the flat vectors: names and shapes ([`layout_of`]), values out
//! ([`read_parameters`], [`read_gradients`]) and in ([`write_parameters`]). The moments live in host memory, so that
//! TAG's knowledge base never competes with the network for a GPU's; on such a device every step copies the gradient
//! and the parameters once.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};

use super::{AlphaRecord, Layout, OptimError, Optimizer, State};

/// Names, shapes and order of a module's trainable float parameters. Buffers (running statistics) are left out.
#[must_use]
pub fn layout_of<M: Module>(module: &M) -> Layout {
    #[derive(Default)]
    struct Names {
        path: Vec<String>,
        tensors: Vec<(String, Vec<usize>)>,
    }
    impl ModuleVisitor for Names {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_string());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.is_require_grad() {
                self.tensors
                    .push((self.path.join("."), param.lazy_shape().to_vec()));
            }
        }
    }
    let mut names = Names::default();
    module.visit(&mut names);
    Layout::new(names.tensors)
}

/// The values of a float tensor's data, in single precision.
///
/// # Panics
/// Never: data converted to single precision is in single precision.
#[must_use]
#[expect(clippy::expect_used, reason = "data converted to f32 is f32")]
pub fn floats(data: TensorData) -> Vec<f32> {
    data.convert::<f32>()
        .try_into_vec()
        .expect("converted to f32 above")
}

/// The trainable parameters, flat, in the order of [`layout_of`].
#[must_use]
pub fn read_parameters<M: Module>(module: &M) -> Vec<f32> {
    struct Read(Vec<f32>);
    impl ModuleVisitor for Read {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.is_require_grad() {
                self.0.extend(floats(param.val().into_data()));
            }
        }
    }
    let mut read = Read(Vec::new());
    module.visit(&mut read);
    read.0
}

/// The gradients, flat, in the order of [`layout_of`]; zero for a parameter that the loss did not reach.
#[must_use]
pub fn read_gradients<M: Module>(module: &M, gradients: GradientsParams) -> Vec<f32> {
    struct Read {
        gradients: GradientsParams,
        values: Vec<f32>,
    }
    impl ModuleVisitor for Read {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if !param.is_require_grad() {
                return;
            }
            match self.gradients.remove::<D>(param.id) {
                Some(gradient) => self.values.extend(floats(gradient.into_data())),
                None => {
                    self.values
                        .resize(self.values.len() + param.lazy_shape().num_elements(), 0.0);
                }
            }
        }
    }
    let mut read = Read {
        gradients,
        values: Vec::new(),
    };
    module.visit(&mut read);
    read.values
}

/// The module with these trainable parameters (flat, in the order of [`layout_of`]).
///
/// # Errors
/// [`OptimError::Length`] if the vector is of another model.
pub fn write_parameters<M: Module>(module: M, parameters: &[f32]) -> Result<M, OptimError> {
    struct Write<'a> {
        rest: &'a [f32],
        short: bool,
    }
    impl ModuleMapper for Write<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if !param.is_require_grad() {
                return param;
            }
            let (id, old, mapper) = param.consume();
            let shape = old.shape();
            let Some((values, rest)) = self.rest.split_at_checked(shape.num_elements()) else {
                self.short = true;
                return Param::from_mapped_value(id, old, mapper);
            };
            self.rest = rest;
            let value = Tensor::from_data(TensorData::new(values.to_vec(), shape), &old.device());
            Param::from_mapped_value(id, value.require_grad(), mapper)
        }
    }
    let mut write = Write {
        rest: parameters,
        short: false,
    };
    let module = module.map(&mut write);
    if write.short || !write.rest.is_empty() {
        // Only a refusal needs the module's own count: the names are not collected anew in every step.
        let expected = layout_of(&module).len();
        super::check_length("the parameter vector", parameters.len(), expected)?;
    }
    Ok(module)
}

/// An optimizer that steps Burn modules.
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::optim::GradientsParams;
/// use burn::tensor::{Device, Distribution, Tensor};
/// use tagcl_optim::{ModuleOptimizer, Tag, TagConfig, layout_of};
///
/// let device = Device::flex().autodiff();
/// let mut model: Linear = LinearConfig::new(4, 2).init(&device);
/// let tag = Tag::new(TagConfig::default(), layout_of(&model))?;
/// let mut optimizer = ModuleOptimizer::new(Box::new(tag));
/// for _task in 0..2 {
///     optimizer.begin_task();
///     for _step in 0..3 {
///         let x = Tensor::<2>::random([8, 4], Distribution::Default, &device);
///         let loss = model.forward(x).powf_scalar(2.0).mean();
///         let gradients = GradientsParams::from_grads(loss.backward(), &model);
///         model = optimizer.step(1e-3, model, gradients)?;
///     }
///     optimizer.end_task();
/// }
/// let record = optimizer.state().to_bytes()?; // save it; `restore` takes it back
/// # assert!(!record.is_empty());
/// # Ok::<(), tagcl_optim::OptimError>(())
/// ```
pub struct ModuleOptimizer {
    inner: Box<dyn Optimizer>,
}

impl ModuleOptimizer {
    /// Puts this optimizer around modules whose [`layout_of`] is the one it was made for.
    #[must_use]
    pub fn new(inner: Box<dyn Optimizer>) -> Self {
        Self { inner }
    }

    /// A new task begins.
    pub fn begin_task(&mut self) {
        self.inner.begin_task();
    }

    /// A new epoch of the task begins.
    pub fn begin_epoch(&mut self) {
        self.inner.begin_epoch();
    }

    /// One update of the module.
    ///
    /// # Errors
    /// [`OptimError`] if the module is not the one the optimizer was made for or no task is under way.
    pub fn step<M: Module>(
        &mut self,
        learning_rate: f32,
        module: M,
        gradients: GradientsParams,
    ) -> Result<M, OptimError> {
        let mut parameters = read_parameters(&module);
        let gradient = read_gradients(&module, gradients);
        self.inner.step(&mut parameters, &gradient, learning_rate)?;
        write_parameters(module, &parameters)
    }

    /// The task ends.
    pub fn end_task(&mut self) {
        self.inner.end_task();
    }

    /// A snapshot to save.
    #[must_use]
    pub fn state(&self) -> State<'_> {
        self.inner.state()
    }

    /// Takes a snapshot back.
    ///
    /// # Errors
    /// [`OptimError`] if it is of another optimizer or model.
    pub fn restore(&mut self, state: State<'_>) -> Result<(), OptimError> {
        self.inner.restore(state)
    }

    /// The correlations α(t,τ), where the optimizer has any.
    #[must_use]
    pub fn alpha(&self) -> Option<&AlphaRecord> {
        self.inner.alpha()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Device;

    /// Every memory of TAG through a module has the bits that it has on flat vectors.
    #[test]
    fn a_module_is_stepped_as_its_flat_vector_is() {
        use crate::{Tag, TagConfig, TagMemory};
        use burn::tensor::{Distribution, Tensor};
        let device = Device::flex().autodiff();
        for memory in [TagMemory::Exact, TagMemory::Flat, TagMemory::Clusters] {
            let mut model: Linear = LinearConfig::new(3, 2).init(&device);
            let config = TagConfig {
                memory,
                ..TagConfig::default()
            };
            let tag = || Tag::new(config, layout_of(&model)).unwrap();
            let (mut flat, mut optimizer) = (tag(), ModuleOptimizer::new(Box::new(tag())));
            let mut theta = read_parameters(&model);
            for task in 0..5 {
                flat.begin_task();
                optimizer.begin_task();
                for _ in 0..6 {
                    let x = Tensor::<2>::random([4, 3], Distribution::Default, &device);
                    let gradients = || {
                        let off = model.forward(x.clone()) - f64::from(task);
                        let loss = off.powf_scalar(2.0).mean();
                        GradientsParams::from_grads(loss.backward(), &model)
                    };
                    let gradient = read_gradients(&model, gradients());
                    flat.step(&mut theta, &gradient, 0.01).unwrap();
                    model = optimizer.step(0.01, model.clone(), gradients()).unwrap();
                    assert_eq!(read_parameters(&model), theta, "{memory:?}");
                }
            }
            let found = optimizer.alpha().map(crate::AlphaRecord::tasks);
            assert_eq!(found, (memory != TagMemory::Flat).then_some(5));
            assert_eq!(flat.state(), optimizer.state());
        }
    }

    #[test]
    fn parameters_go_in_and_out_and_other_lengths_are_refused() {
        let model: Linear = LinearConfig::new(3, 2).init(&Device::flex().autodiff());
        let values: Vec<f32> = (0..8).map(|i| i as f32).collect();
        let model = write_parameters(model, &values).unwrap();
        assert_eq!(read_parameters(&model), values);
        for len in [0, 6, 7, 9, 100] {
            let error = write_parameters(model.clone(), &vec![0.0; len]).unwrap_err();
            assert!(
                matches!(error, OptimError::Length { expected: 8, found, .. } if found == len),
                "{error}"
            );
        }
    }
}
