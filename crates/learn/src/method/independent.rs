//! Independent: a network of its own for every task, as in the rows "independent" of Lopez-Paz and Ranzato (`NeurIPS` 2017).
//!
//! Every task begins where the run began: with the initial weights and an optimizer that has seen nothing. Its network is kept as
//! it is when the task ends, and judges the task from then on. So nothing is forgotten and nothing is passed on: beside it,
//! backward transfer is what later tasks do to earlier ones, and a task learned better than here is forward transfer.
//!
//! Readings:
//! 1. Every network is as large as the one of other methods; GEM's have 1/T of the hidden units, so that all together are as large.
//! 2. All tasks begin with the same initial weights, and dropout begins anew with them.
//! 3. A task that has not come is judged by the initial weights.

use std::ops::Range;
use std::sync::Arc;

use super::{
    Method, MethodContext, MethodSpec, Passes, Step, TaskEnd, batch_gradient, invalid, list,
};
use crate::model::{Classifier, Counters, Learner, LearnerError, Wanted};
use crate::optim::{Layout, State};
use crate::settings::{NoSettings, SettingError, SettingsSpec};
use crate::stream::{Batch, Task};

/// A network for every task.
pub(super) static INDEPENDENT: MethodSpec = MethodSpec {
    name: "independent",
    paper_name: "Independent",
    description: "A network of its own for every task, from the initial weights: nothing is forgotten, nothing is passed on.",
    source: "as in Lopez-Paz and Ranzato, NeurIPS 2017",
    settings: SettingsSpec::inline::<NoSettings>(),
    remembers_tasks: true,
    closed_form: false,
    weights: &[],
    passes: |_| Passes::ONE,
    build: |_, context| Ok(Box::new(Independent::new(context)?)),
};

/// The method.
#[derive(Default)]
pub struct Independent {
    /// The network before the first task, and its counters; none before that task begins.
    initial: Option<(Kept, Counters)>,
    /// Every finished task's network.
    finished: Vec<Kept>,
    /// Classes of the tasks so far, the present one's last.
    classes: Vec<Range<usize>>,
}

/// A network as it was.
struct Kept {
    network: Arc<dyn Classifier>,
    /// Its tensors, one after another: for snapshots, and to begin anew.
    values: Vec<f32>,
}

impl Kept {
    /// The learner's network as it is.
    fn of(learner: &dyn Learner) -> Self {
        Self {
            network: Arc::from(learner.frozen()),
            values: learner.values().concat(),
        }
    }

    /// Out of a snapshot.
    fn restored(learner: &mut dyn Learner, values: Vec<f32>) -> Self {
        let tensors = split(learner, &values);
        Self {
            network: Arc::from(learner.frozen_with(tensors)),
            values,
        }
    }
}

/// The vectors of the learner's tensors out of one.
fn split(learner: &dyn Learner, values: &[f32]) -> Vec<Vec<f32>> {
    let mut rest = values.iter().copied();
    let tensors = learner.tensors().into_iter();
    tensors
        .map(|tensor| rest.by_ref().take(tensor.values.len()).collect())
        .collect()
}

impl Independent {
    /// Before any task.
    ///
    /// # Errors
    /// [`SettingError::Conflict`] where the task of an image is not known.
    pub fn new(context: &MethodContext) -> Result<Self, SettingError> {
        if context.scenario.knows_tasks() {
            return Ok(Self::default());
        }
        Err(SettingError::Conflict {
            key: "method",
            problem: "independent has a network for every task, and only with scenario = task is it known whose is to judge an \
                      image; choose that scenario, or schedule = cumulative or joint, which are references in every scenario"
                .to_string(),
        })
    }
}

impl Method for Independent {
    fn begin_task(
        &mut self,
        t: usize,
        tasks: &[Task],
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        if let Some((initial, counters)) = &self.initial {
            learner.set_tensors(split(learner, &initial.values));
            learner.set_counters(*counters);
        } else {
            self.initial = Some((Kept::of(learner), learner.counters()));
        }
        self.classes = tasks
            .iter()
            .take(t + 1)
            .map(|task| task.train.classes())
            .collect();
        Ok(())
    }

    fn forgets_updates(&self) -> bool {
        true
    }

    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError> {
        batch_gradient(learner, step.batch, gradient)
    }

    fn end_task(
        &mut self,
        _end: &TaskEnd<'_>,
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        self.finished.push(Kept::of(learner));
        Ok(())
    }

    fn classifier(&self, learner: &dyn Learner) -> Box<dyn Classifier> {
        let Some((initial, _)) = &self.initial else {
            return learner.frozen();
        };
        let mut networks: Vec<_> = self
            .finished
            .iter()
            .map(|kept| Arc::clone(&kept.network))
            .collect();
        if networks.len() < self.classes.len() {
            networks.push(Arc::from(learner.frozen()));
        }
        Box::new(OfTasks {
            networks: self.classes.iter().cloned().zip(networks).collect(),
            initial: Arc::clone(&initial.network),
        })
    }

    fn state(&self) -> State<'_> {
        let mut state = State::new("independent").with_counter("finished", self.finished.len());
        state.put_list("begun", vec![self.classes.len() as u64]);
        if let Some((initial, counters)) = &self.initial {
            let batches = u64::try_from(counters.batches).unwrap_or(0);
            state.put_list("counters", vec![batches, counters.dropout]);
            state.put("initial", &*initial.values);
        }
        for (t, kept) in self.finished.iter().enumerate() {
            state.put(&format!("network.{t}"), &*kept.values);
        }
        state
    }

    fn restore(
        &mut self,
        mut state: State<'_>,
        tasks: &[Task],
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        state.expect_kind("independent")?;
        let finished = state.counter("finished")?;
        let [begun] = list(&mut state, "begun")?;
        let begun = usize::try_from(begun).map_err(|_| invalid("begun"))?;
        if begun > tasks.len() {
            return Err(invalid("begun"));
        }
        if finished > begun || finished + 1 < begun {
            return Err(invalid("finished"));
        }
        let len = learner.values().iter().map(Vec::len).sum();
        let mut initial = None;
        if begun > 0 {
            let [batches, dropout] = list(&mut state, "counters")?;
            let batches = i64::try_from(batches).map_err(|_| invalid("counters"))?;
            initial = Some((state.take("initial", len)?, Counters { batches, dropout }));
        }
        let networks: Result<Vec<_>, _> = (0..finished)
            .map(|t| state.take(&format!("network.{t}"), len))
            .collect();
        let networks = networks?.into_iter();
        self.finished = networks
            .map(|values| Kept::restored(learner, values))
            .collect();
        self.initial =
            initial.map(|(values, counters)| (Kept::restored(learner, values), counters));
        self.classes = tasks
            .iter()
            .take(begun)
            .map(|task| task.train.classes())
            .collect();
        Ok(())
    }

    /// The networks, the initial one among them, and their tensors once more for snapshots.
    fn memory_bytes(&self) -> usize {
        let initial = self.initial.iter().map(|(initial, _)| initial);
        let floats = initial
            .chain(&self.finished)
            .map(|kept| kept.values.len() + kept.values.capacity());
        floats.sum::<usize>() * size_of::<f32>()
    }

    /// Batch norm's statistics are not in the layout, and fewer than its parameters.
    fn growing_bytes(&self, layout: &Layout, tasks: usize) -> u64 {
        let network = 2 * layout.len() * size_of::<f32>();
        (network as u64).saturating_mul(tasks as u64 + 1)
    }
}

/// Judges every image by its task's network.
struct OfTasks {
    /// Of every task that has begun: its classes and its network.
    networks: Vec<(Range<usize>, Arc<dyn Classifier>)>,
    /// For tasks that have not.
    initial: Arc<dyn Classifier>,
}

impl OfTasks {
    /// The number of the network for images of which these classes compete: the last is the initial one's.
    fn number(&self, batch: &Batch, image: usize) -> usize {
        let classes = batch.competing.get(image);
        let first = classes.and_then(|classes| classes.iter().next());
        let mut networks = self.networks.iter();
        let own = networks.position(|(own, _)| first.is_some_and(|class| own.contains(&class)));
        own.unwrap_or(self.networks.len())
    }

    /// Rows that the images' own networks give.
    fn rows(
        &self,
        batch: &Batch,
        ask: impl Fn(&dyn Classifier) -> Result<Vec<f32>, LearnerError>,
    ) -> Result<Vec<f32>, LearnerError> {
        let of_images: Vec<usize> = (0..batch.len()).map(|i| self.number(batch, i)).collect();
        let mut asked = of_images.clone();
        asked.sort_unstable();
        asked.dedup();
        let mut all = Vec::new();
        for number in asked {
            let network = self.networks.get(number).map(|(_, network)| network);
            let found = ask(&**network.unwrap_or(&self.initial))?;
            if all.is_empty() {
                all = found;
                continue;
            }
            let width = (found.len() / batch.len().max(1)).max(1);
            let rows = all.chunks_exact_mut(width).zip(found.chunks_exact(width));
            for ((row, found), _) in rows.zip(&of_images).filter(|(_, of)| **of == number) {
                row.copy_from_slice(found);
            }
        }
        Ok(all)
    }
}

impl Classifier for OfTasks {
    fn scores(&self, batch: &Batch, wanted: Wanted) -> Result<Vec<f32>, LearnerError> {
        self.rows(batch, |network| network.scores(batch, wanted))
    }

    fn features(&self, batch: &Batch) -> Result<Vec<f32>, LearnerError> {
        self.rows(batch, |network| network.features(batch))
    }

    fn classes(&self) -> usize {
        self.initial.classes()
    }

    fn has_threads(&self) -> bool {
        self.initial.has_threads()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::testing::{
        closed_form_context, damaged_snapshots_are_refused, learner, tasks, walk,
    };
    use crate::stream::Scenario;

    fn fresh() -> Independent {
        Independent::new(&closed_form_context()).unwrap()
    }

    #[test]
    fn without_a_known_task_it_is_refused() {
        for scenario in [Scenario::Domain, Scenario::Class] {
            let context = MethodContext {
                scenario,
                ..closed_form_context()
            };
            let error = Independent::new(&context).err().unwrap().to_string();
            assert!(error.contains("scenario = task"), "{error}");
        }
    }

    /// One walk over three tasks, and by hand: every task from the initial weights.
    #[test]
    fn every_task_begins_where_the_run_began() {
        let (tasks, mut learner) = (tasks(), learner());
        let mut method = fresh();
        let (gradients, end) = walk(&mut method, 3, 4);
        let initial = learner.parameters().to_vec();
        for t in 0..3 {
            learner
                .update(&mut |theta| {
                    theta.copy_from_slice(&initial);
                    Ok(())
                })
                .unwrap();
            for number in 0..4 {
                let positions: Vec<usize> = (4 * number..4 * number + 4).collect();
                let batch = tasks[t].train.batch(&positions);
                let mut gradient = Vec::new();
                batch_gradient(&mut learner, &batch, &mut gradient).unwrap();
                assert_eq!(gradients[4 * t + number], gradient, "{t} {number}");
                learner
                    .update(&mut |theta| {
                        theta
                            .iter_mut()
                            .zip(&gradient)
                            .for_each(|(p, g)| *p -= 0.5 * g);
                        Ok(())
                    })
                    .unwrap();
            }
            assert_eq!(method.finished[t].values, learner.parameters());
        }
        assert_eq!(learner.parameters(), end);
        assert_eq!(method.memory_bytes(), 4 * 2 * 4 * end.len());
    }

    #[test]
    fn every_image_is_judged_by_its_tasks_network() {
        let (tasks, mut learner) = (tasks(), learner());
        let initial = learner.frozen();
        let mut method = fresh();
        walk(&mut method, 2, 4);
        // The third begins: its network is the learner's, which is away from the initial one here.
        method.begin_task(2, &tasks[..3], &mut learner).unwrap();
        learner
            .update(&mut |theta| {
                for x in theta.iter_mut() {
                    *x *= 1.5;
                }
                Ok(())
            })
            .unwrap();
        let present = learner.frozen();
        let of_tasks: [&dyn Classifier; 4] = [
            &*method.finished[0].network,
            &*method.finished[1].network,
            &*present,
            &*initial,
        ];
        let judge = method.classifier(&learner);
        let mut all: Option<Batch> = None;
        let mut rows = Vec::new();
        for (network, task) in of_tasks.iter().zip(&tasks) {
            let batch = task.test.batch(&[0, 1, 2]);
            let expected = network.scores(&batch, Wanted::Competing).unwrap();
            assert_eq!(judge.scores(&batch, Wanted::Competing).unwrap(), expected);
            rows.extend(network.features(&batch).unwrap());
            match &mut all {
                Some(all) => all.append(batch),
                None => all = Some(batch),
            }
        }
        // Tasks beside each other in one batch.
        assert_eq!(judge.features(&all.unwrap()).unwrap(), rows);
        let batch = tasks[0].test.batch(&[0, 1]);
        let [a, b] = [of_tasks[0], of_tasks[1]].map(|n| n.features(&batch).unwrap());
        assert_ne!(a, b);
    }

    #[test]
    fn damaged_snapshots() {
        let mut method = fresh();
        walk(&mut method, 2, 3);
        damaged_snapshots_are_refused(&method, &mut || Box::new(fresh()));
        let mut before = fresh();
        let state = State::from_bytes(&before.state().to_bytes().unwrap()).unwrap();
        before.restore(state, &[], &mut learner()).unwrap();
        assert!(before.initial.is_none() && before.finished.is_empty());
    }
}
