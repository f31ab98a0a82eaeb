//! Trunks waiting to be used again.

use super::{SpecError, Trunk, TrunkSpec};
use crate::simd::Level;
use crate::workers::{Workers, lock};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

/// Hands out trunks, so that passes that are open at the same time have buffers of their own and later ones reuse
/// them. All trunks of a pool share its threads.
pub struct TrunkPool {
    level: Level,
    workers: Arc<Workers>,
    idle: Mutex<Vec<Trunk>>,
}

impl TrunkPool {
    /// Trunks waiting at most; beyond that, the one that has waited longest is freed.
    const IDLE: usize = 8;

    /// An empty pool whose trunks use `threads` threads.
    #[must_use]
    pub fn new(threads: usize) -> Arc<Self> {
        Arc::new(Self {
            level: Level::detect(),
            workers: Arc::new(Workers::new(threads)),
            idle: Mutex::new(Vec::new()),
        })
    }

    /// A trunk for `spec`: one that waits, or a new one. It comes back when the value is dropped.
    ///
    /// # Errors
    /// If the spec's sizes are out of range.
    pub fn take(self: &Arc<Self>, spec: &TrunkSpec) -> Result<PooledTrunk, SpecError> {
        let waiting = {
            let mut idle = lock(&self.idle);
            let found = idle.iter().rposition(|t| t.spec() == spec);
            found.map(|i| idle.remove(i))
        };
        let trunk = match waiting {
            Some(trunk) => trunk,
            None => Trunk::with(spec.clone(), self.level, Arc::clone(&self.workers))?,
        };
        Ok(PooledTrunk {
            trunk,
            pool: Arc::clone(self),
        })
    }
}

/// A trunk on loan from a [`TrunkPool`].
pub struct PooledTrunk {
    trunk: Trunk,
    pool: Arc<TrunkPool>,
}

impl Deref for PooledTrunk {
    type Target = Trunk;

    fn deref(&self) -> &Trunk {
        &self.trunk
    }
}

impl DerefMut for PooledTrunk {
    fn deref_mut(&mut self) -> &mut Trunk {
        &mut self.trunk
    }
}

impl Drop for PooledTrunk {
    fn drop(&mut self) {
        let empty = Trunk {
            spec: self.trunk.spec.clone(),
            level: self.trunk.level,
            workers: Arc::clone(&self.trunk.workers),
            training: None,
            evaluation: None,
        };
        let trunk = std::mem::replace(&mut self.trunk, empty);
        let mut idle = lock(&self.pool.idle);
        if idle.len() == TrunkPool::IDLE {
            idle.remove(0);
        }
        idle.push(trunk);
    }
}
