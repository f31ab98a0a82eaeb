//! Convolutional parts of one network for passes at the same time.
//!
//! Owns the parts that wait for the next pass; each has buffers of its own, all share threads.

use std::sync::{Arc, Mutex};

use super::{Cnn, CnnError, CnnSpec};
use crate::simd::Level;
use crate::workers::{Workers, lock};

/// Hands out convolutional parts of one network, so that passes at the same time have buffers of their own. All of a pool share
/// its threads.
pub struct CnnPool {
    spec: CnnSpec,
    level: Level,
    workers: Arc<Workers>,
    idle: Mutex<Vec<Cnn>>,
}

impl CnnPool {
    /// A pool with one part.
    ///
    /// # Errors
    /// As [`Cnn::new`].
    pub fn new(spec: CnnSpec, level: Level, workers: Arc<Workers>) -> Result<Arc<Self>, CnnError> {
        let first = Cnn::new(spec.clone(), level, Arc::clone(&workers))?;
        Ok(Arc::new(Self {
            spec,
            level,
            workers,
            idle: Mutex::new(vec![first]),
        }))
    }

    /// The same network's pool with other instructions.
    #[must_use]
    pub fn at(&self, level: Level) -> Arc<Self> {
        Arc::new(Self {
            spec: self.spec.clone(),
            level,
            workers: Arc::clone(&self.workers),
            idle: Mutex::default(),
        })
    }

    /// A part to keep: one that waits, or a new one.
    #[must_use]
    pub fn take(&self) -> Cnn {
        let waiting = lock(&self.idle).pop();
        waiting.unwrap_or_else(|| {
            let (spec, workers) = (self.spec.clone(), Arc::clone(&self.workers));
            match Cnn::new(spec, self.level, workers) {
                Ok(cnn) => cnn,
                Err(error) => unreachable!("the first one had these sizes: {error}"),
            }
        })
    }

    /// Lends a part.
    pub fn with<R>(&self, work: impl FnOnce(&mut Cnn) -> R) -> R {
        let mut cnn = self.take();
        let result = work(&mut cnn);
        lock(&self.idle).push(cnn);
        result
    }
}
