//! What the tests of methods share: a small stream, a small network, a walk over both, and damage to snapshots.

use super::{Method, MethodContext, Step, TaskEnd};
use crate::model::{Dropout, KernelFeedForward, Learner as _, MlpConfig};
use crate::optim::{Block, State};
use crate::seed::Seeds;
use crate::stream::{
    ClassOrder, Protocol, Scaling, Scenario, StreamKind, StreamSpec, Task, TaskStream,
};

/// What a method without gradients is built from for [`learner`]'s network in [`stream`].
pub(super) fn closed_form_context() -> MethodContext {
    MethodContext {
        batch_size: 4,
        classes: 10,
        head_classes: 10,
        features: 6,
        tasks: 5,
        all_classes: 10,
        scenario: Scenario::Task,
        seeds: Seeds::new(1),
    }
}

/// Five tasks of two digits each.
pub(super) fn stream_of(scenario: Scenario) -> TaskStream {
    let spec = StreamSpec {
        kind: StreamKind::Split(ClassOrder::Fixed),
        tasks: 5,
        sizes: None,
        first_tasks: None,
        validation: 0.0,
        fraction: 0.01,
        samples_per_task: None,
        scaling: Scaling::Unit,
        protocol: Protocol {
            scenario,
            ..Protocol::default()
        },
    };
    let data = crate::data::embedded::mnist_sample().unwrap();
    let (train, test) = (data.train.into(), data.test.into());
    TaskStream::from_sets(&spec, &train, &test, Seeds::new(1)).unwrap()
}

/// [`stream_of`] known tasks.
pub(super) fn stream() -> TaskStream {
    stream_of(Scenario::Task)
}

/// Its tasks.
pub(super) fn tasks() -> Vec<Task> {
    stream().tasks().to_vec()
}

/// A network for them.
pub(super) fn learner() -> KernelFeedForward {
    let config = MlpConfig {
        inputs: 784,
        hidden: 6,
        classes: 10,
    };
    KernelFeedForward::mlp(&config, &mut Seeds::new(1).stream("init"), Dropout::off())
}

/// Trains on the first tasks, `steps` batches of four each, with steps of 0.5; all gradients, and the parameters in the end.
pub(super) fn walk(
    method: &mut dyn Method,
    tasks: usize,
    steps: usize,
) -> (Vec<Vec<f32>>, Vec<f32>) {
    walk_in(stream(), method, tasks, steps)
}

/// [`walk`] in this stream.
pub(super) fn walk_in(
    mut stream: TaskStream,
    method: &mut dyn Method,
    tasks: usize,
    steps: usize,
) -> (Vec<Vec<f32>>, Vec<f32>) {
    let mut learner = learner();
    let mut gradients = Vec::new();
    for t in 0..tasks {
        stream.arrive(Some(t), t + 1);
        let tasks = &stream.tasks()[..=t];
        method.begin_task(t, tasks, &mut learner).unwrap();
        for number in 0..steps {
            let positions: Vec<usize> = (4 * number..4 * number + 4).collect();
            let batch = tasks[t].train.batch(&positions);
            let step = Step {
                tasks,
                t,
                positions: &positions,
                batch: &batch,
                learning_rate: 0.5,
            };
            let mut gradient = Vec::new();
            method.gradient(&mut learner, &step, &mut gradient).unwrap();
            let mut descend = |theta: &mut [f32]| {
                theta
                    .iter_mut()
                    .zip(&gradient)
                    .for_each(|(p, g)| *p -= 0.5 * g);
                Ok(())
            };
            learner.update(&mut descend).unwrap();
            method.after_update(&mut learner, &step).unwrap();
            gradients.push(gradient);
        }
        let next = stream.tasks().get(t + 1);
        let end = TaskEnd {
            tasks,
            t,
            next_classes: next.map(|next| next.train.classes().into()),
        };
        method.end_task(&end, &mut learner).unwrap();
    }
    (gradients, learner.parameters().to_vec())
}

/// A snapshot's copy, through bytes, so that it borrows nothing.
fn copy(state: &State<'_>) -> State<'static> {
    State::from_bytes(&state.to_bytes().unwrap()).unwrap()
}

/// A snapshot without one of its arrays.
fn without(state: &State<'_>, name: &str) -> State<'static> {
    let whole = copy(state);
    let mut rest = State::new(whole.kind());
    rest.set_counters(whole.counters().clone());
    for (other, block) in whole.blocks().filter(|(other, _)| *other != name) {
        rest.put_block(
            other,
            match block {
                Block::F32(values) => Block::F32(values.to_vec().into()),
                Block::F64(values) => Block::F64(values.to_vec().into()),
                Block::U64(values) => Block::U64(values.to_vec().into()),
            },
        );
    }
    rest
}

/// A method's snapshot goes into a fresh one and comes out equal; damaged in any single place it is refused, and then nothing
/// has changed; counters of any size are an error or a state, never a panic.
pub(super) fn damaged_snapshots_are_refused(
    method: &dyn Method,
    fresh: &mut dyn FnMut() -> Box<dyn Method>,
) {
    let (tasks, mut learner) = (tasks(), learner());
    let state = method.state();
    let mut other = fresh();
    other.restore(copy(&state), &tasks, &mut learner).unwrap();
    assert_eq!(other.state(), state);

    let mut refused = |damaged: State<'static>, what: &str| {
        let mut other = fresh();
        let before = copy(&other.state());
        let result = other.restore(damaged, &tasks, &mut learner);
        assert!(result.is_err(), "{what}");
        assert_eq!(other.state(), before, "{what}");
    };
    let names: Vec<String> = state.blocks().map(|(name, _)| name.to_string()).collect();
    assert!(!names.is_empty());
    for name in &names {
        refused(without(&state, name), name);
        for len in [0_usize, 1, 7] {
            let mut other = without(&state, name);
            other.put(name, vec![0.5; len]);
            refused(other, name);
        }
    }
    let mut kind = State::new("another");
    kind.set_counters(state.counters().clone());
    refused(kind, "kind");
    for name in state.counters().keys() {
        let mut counters = state.counters().clone();
        counters.remove(name);
        let mut other = copy(&state);
        other.set_counters(counters);
        refused(other, name);
    }
    for name in state.counters().keys() {
        for value in [0, 1, 5, 1 << 40, u64::MAX] {
            let mut counters = state.counters().clone();
            counters.insert(name.clone(), value);
            let mut other = copy(&state);
            other.set_counters(counters);
            let mut method = fresh();
            let before = copy(&method.state());
            if method.restore(other, &tasks, &mut learner).is_err() {
                assert_eq!(method.state(), before, "{name} = {value}");
            }
        }
    }
}
