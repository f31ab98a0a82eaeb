//! α(t,τ): how much task t's update is held back by what task τ learned.
//!
//! Owns the record of every α that was used: its mean over the steps of a task, per parameter tensor and past task
//! (TAG paper, p. 6: α(t,τ) = (1/N) `Σ_n` `α_n(t,τ)`), and the names of the rules: the paper's and its ablations
//! (Table 7).

use serde::{Deserialize, Serialize};

use super::{OptimError, State};

/// Over what the cosine between the first moments is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlphaScope {
    /// One α per parameter tensor, as the released code does (and thus the published numbers).
    #[default]
    Tensor,
    /// One α for the whole model, as eq. (2) is printed.
    Global,
}

/// How α(t,τ) is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlphaRule {
    /// Eq. (2): `exp(−b cos)` of the first moments; the present task weighs e^−b.
    #[default]
    Cosine,
    /// TAG-1 (p. 24): every task weighs 1.
    One,
    /// TAG-age (p. 24): a past task weighs `t − τ + 1`, so 2 for the newest; the present one weighs 1.
    Age,
    /// TAG-G (p. 24): `exp(−b cos)` of the means of the first B gradients of each task; the present one weighs e^−b.
    Gradients,
}

crate::choices!(AlphaScope { "tensor" => Tensor, "global" => Global });
crate::choices!(AlphaRule { "cosine" => Cosine, "one" => One, "age" => Age, "gradients" => Gradients });

impl AlphaRule {
    /// True where α is made of cosines, so that `b` and the scope matter.
    #[must_use]
    pub fn is_correlation(self) -> bool {
        matches!(self, Self::Cosine | Self::Gradients)
    }
}

/// Sums of α over the steps of each task. Tasks count from 0 here.
///
/// An optimizer that keeps clusters of past tasks has one α for all tasks of a cluster; [`Self::clusters`] says which.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlphaRecord {
    tensors: usize,
    tasks: Vec<TaskSums>,
}

/// The sums of one task.
#[derive(Clone, Debug, PartialEq)]
struct TaskSums {
    steps: usize,
    /// Sums `[row][tensor]`, a row for each past task or cluster of them, then the present task's.
    sums: Vec<f64>,
    /// The past tasks behind each row; `None` where row τ is task τ.
    clusters: Option<Vec<Vec<usize>>>,
}

impl AlphaRecord {
    pub(super) fn new(tensors: usize) -> Self {
        Self {
            tensors,
            tasks: Vec::new(),
        }
    }

    /// A task begins, with all past tasks by themselves or in these clusters.
    pub(super) fn begin_task(&mut self, clusters: Option<Vec<Vec<usize>>>) {
        let past = clusters.as_ref().map_or(self.tasks.len(), Vec::len);
        self.tasks.push(TaskSums {
            steps: 0,
            sums: vec![0.0; (past + 1) * self.tensors],
            clusters,
        });
    }

    /// Adds one step's weights of the task under way, `[row][tensor]`.
    pub(super) fn add_step(&mut self, alphas: &[f32]) {
        if let Some(task) = self.tasks.last_mut() {
            task.steps += 1;
            for (sum, alpha) in task.sums.iter_mut().zip(alphas) {
                *sum += f64::from(*alpha);
            }
        }
    }

    /// Number of tasks begun.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.tasks.len()
    }

    /// The clusters of past tasks during task t, by their members; `None` where every task stands for itself.
    #[must_use]
    pub fn clusters(&self, t: usize) -> Option<&[Vec<usize>]> {
        self.tasks.get(t)?.clusters.as_deref()
    }

    /// Mean α(t,τ) of one tensor over the steps of task t, that of τ's cluster where there are clusters; `None` outside of
    /// what was seen.
    #[must_use]
    pub fn of_tensor(&self, t: usize, tau: usize, tensor: usize) -> Option<f64> {
        let task = self.tasks.get(t)?;
        if tensor >= self.tensors || task.steps == 0 || tau > t {
            return None;
        }
        let row = match &task.clusters {
            None => tau,
            Some(clusters) if tau == t => clusters.len(),
            Some(clusters) => clusters.iter().position(|c| c.contains(&tau))?,
        };
        Some(task.sums.get(row * self.tensors + tensor)? / task.steps as f64)
    }

    /// Mean α(t,τ) over the tensors, each tensor counting once as in the released code's logs.
    #[must_use]
    pub fn mean(&self, t: usize, tau: usize) -> Option<f64> {
        let sum = (0..self.tensors)
            .map(|n| self.of_tensor(t, tau, n))
            .sum::<Option<f64>>()?;
        Some(sum / self.tensors as f64)
    }

    /// Puts the record into a snapshot: per task the step count followed by the sums; and, where there are any, the
    /// clusters: per task their number, and of each its size and its members.
    pub(super) fn put(&self, state: &mut State<'_>) {
        let sums = self.tasks.iter();
        let sums = sums.flat_map(|t| std::iter::once(t.steps as f64).chain(t.sums.iter().copied()));
        state.put_sums("alpha", sums.collect());
        if self.tasks.iter().all(|task| task.clusters.is_none()) {
            return;
        }
        let mut list = Vec::new();
        for clusters in self.tasks.iter().map(|task| task.clusters.iter().flatten()) {
            list.push(clusters.clone().count() as u64);
            for members in clusters {
                list.push(members.len() as u64);
                list.extend(members.iter().map(|&task| task as u64));
            }
        }
        state.put_list("alpha.clusters", list);
    }

    /// Takes it out again, of so many tasks begun.
    ///
    /// # Errors
    /// [`OptimError::Field`] if it is not a record of so many tasks and tensors, with clusters exactly where they are
    /// asked for.
    pub(super) fn take(
        state: &mut State<'_>,
        tensors: usize,
        tasks: usize,
        clustered: bool,
    ) -> Result<Self, OptimError> {
        let mut record = Self::new(tensors);
        // Without tasks there were no clusters to write.
        let mut list = if clustered && tasks > 0 {
            state.take_list("alpha.clusters")?.into_iter()
        } else {
            Vec::new().into_iter()
        };
        for t in 0..tasks {
            let clusters = if clustered {
                let found = clusters_of(&mut list, t);
                Some(found.ok_or_else(|| OptimError::Field {
                    name: "alpha.clusters".to_string(),
                })?)
            } else {
                None
            };
            record.begin_task(clusters);
        }
        let len = record.tasks.iter().map(|task| 1 + task.sums.len()).sum();
        let mut sums = state.take_sums("alpha", len)?.into_iter();
        for task in &mut record.tasks {
            task.steps = sums.next().unwrap_or(0.0) as usize;
            for (slot, sum) in task.sums.iter_mut().zip(sums.by_ref()) {
                *slot = sum;
            }
        }
        Ok(record)
    }
}

/// The next clusters of a list, of tasks before t.
fn clusters_of(list: &mut impl Iterator<Item = u64>, t: usize) -> Option<Vec<Vec<usize>>> {
    let mut whole = |limit: usize| {
        let number = usize::try_from(list.next()?).ok()?;
        (number <= limit).then_some(number)
    };
    let count = whole(t)?;
    let mut clusters = Vec::new();
    for _ in 0..count {
        let members = whole(t)?;
        let members = (0..members).map(|_| whole(t.checked_sub(1)?));
        clusters.push(members.collect::<Option<Vec<usize>>>()?);
    }
    Some(clusters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_over_steps_then_tensors() {
        let mut record = AlphaRecord::new(2);
        record.begin_task(None);
        record.add_step(&[1.0, 1.0]);
        record.begin_task(None);
        record.add_step(&[2.0, 4.0, 0.5, 0.5]);
        record.add_step(&[4.0, 8.0, 0.5, 0.5]);
        assert_eq!(record.of_tensor(1, 0, 1), Some(6.0));
        assert_eq!(record.mean(1, 0), Some(4.5));
        assert_eq!(record.mean(1, 1), Some(0.5));
        assert_eq!((record.mean(1, 2), record.of_tensor(1, 0, 2)), (None, None));
        let mut state = State::new("record");
        record.put(&mut state);
        let back = AlphaRecord::take(&mut state.clone(), 2, 2, false).unwrap();
        assert_eq!(back, record);
        for (tensors, tasks, clustered) in [(1, 2, false), (2, 3, false), (2, 2, true)] {
            let other = AlphaRecord::take(&mut state.clone(), tensors, tasks, clustered);
            assert!(matches!(other, Err(OptimError::Field { .. })));
        }
    }

    #[test]
    fn tasks_of_a_cluster_have_its_alpha() {
        let mut record = AlphaRecord::new(1);
        for clusters in [vec![], vec![vec![0]], vec![vec![0], vec![1]]] {
            record.begin_task(Some(clusters));
        }
        record.begin_task(Some(vec![vec![0, 2], vec![1]]));
        record.add_step(&[3.0, 2.0, 0.5]);
        let row: Vec<Option<f64>> = (0..5).map(|tau| record.mean(3, tau)).collect();
        assert_eq!(row, [Some(3.0), Some(2.0), Some(3.0), Some(0.5), None]);
        assert_eq!(record.clusters(3).unwrap(), [vec![0, 2], vec![1]]);
        let mut state = State::new("record");
        record.put(&mut state);
        let back = AlphaRecord::take(&mut state.clone(), 1, 4, true).unwrap();
        assert_eq!(back, record);
        let mut broken = state.clone();
        broken.put_list("alpha.clusters", vec![0, 1, 1, 0, 2, 1, 0, 1, 1, 3]);
        assert!(AlphaRecord::take(&mut broken, 1, 4, true).is_err());
    }
}
