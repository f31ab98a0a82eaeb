//! Directions in a few numbers a tensor, whose scalar products estimate those of the whole tensors.
//!
//! A tensor of at most d numbers stands as it is. A longer one is cut into blocks of d numbers (the last filled up with
//! zeros), and its sketch is the sum over the blocks of
//!
//! ```text
//! s(x) = Σ_j  B_j H A_j x_j / √d
//! ```
//!
//! with H the Walsh-Hadamard matrix and `A_j`, `B_j` diagonals of random signs: every block is rotated by a rotation of its
//! own. It is linear, reads the tensor once from front to back, and takes log₂ d + 1 additions a number instead of
//! scattered writes. With blocks `a_j` and `b_j` of two tensors, ⟨s(a), s(b)⟩ is ⟨a, b⟩ in the mean over the signs; what is
//! added are products of different blocks, of variance `Σ_{j≠k} (‖a_j‖²‖b_k‖² + ⟨a_j,b_j⟩⟨a_k,b_k⟩)/d`, up to
//! [`Sketch::spread`] ‖a‖²‖b‖² where energy is spread evenly and the tensors are not alike.
//!
//! The signs come from a generator with a fixed start, by tensor and block, so that a sketch is the same on any machine
//! and in any run. Everything is added in one order: the bits do not depend on the processor's vectors either.

use crate::Layout;

/// Where the generator of signs starts.
const SEED: u64 = 0x7461_675f_736b_6574;
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Signs of eight numbers, by byte: minus where the bit is set, the lowest first.
static SIGNS: [[f32; 8]; 256] = {
    let mut signs = [[1.0; 8]; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut i = 0;
        while i < 8 {
            if byte >> i & 1 == 1 {
                signs[byte][i] = -1.0;
            }
            i += 1;
        }
        byte += 1;
    }
    signs
};

/// `SplitMix64`'s mixing of 64 bits (Steele, Lea, Flood, OOPSLA 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The generator: 64 signs at a time.
struct Bits(u64);

impl Bits {
    fn of(tensor: usize, block: usize) -> Self {
        let tensor = mix(SEED.wrapping_add((tensor as u64 + 1).wrapping_mul(GOLDEN)));
        Self(mix(
            tensor.wrapping_add((block as u64 + 1).wrapping_mul(GOLDEN))
        ))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// Flips signs, 64 numbers a word; the rest of the last word is not used.
    fn flip(&mut self, values: &mut [f32]) {
        for values in values.chunks_mut(64) {
            let bytes = self.next().to_le_bytes();
            for (values, byte) in values.chunks_mut(8).zip(bytes) {
                for (x, sign) in values.iter_mut().zip(&SIGNS[usize::from(byte)]) {
                    *x *= sign;
                }
            }
        }
    }
}

/// The Walsh-Hadamard transform of a power of two of numbers, in the order of Hadamard's matrix, not divided by anything.
fn hadamard(values: &mut [f32]) {
    let mut half = values.len() / 2;
    while half > 0 {
        for pair in values.chunks_exact_mut(2 * half) {
            let (a, b) = pair.split_at_mut(half);
            for (a, b) in a.iter_mut().zip(b) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half /= 2;
    }
}

/// How a model's vectors are sketched.
#[derive(Clone, Debug)]
pub(super) struct Sketch {
    /// d, a power of two; `None` for directions as they are.
    size: Option<usize>,
    layout: Layout,
    /// Where each tensor's numbers lie in a sketch.
    places: Vec<std::ops::Range<usize>>,
}

impl Sketch {
    /// Of vectors of this layout, with so many numbers a tensor at most.
    pub(super) fn new(layout: &Layout, size: Option<usize>) -> Self {
        let mut end = 0;
        let slots = layout.slots().iter();
        let places = slots.map(|slot| {
            let len = slot.range.len().min(size.unwrap_or(usize::MAX));
            end += len;
            end - len..end
        });
        Self {
            size,
            places: places.collect(),
            layout: layout.clone(),
        }
    }

    /// Numbers of a sketch.
    pub(super) fn len(&self) -> usize {
        self.places.last().map_or(0, |last| last.end)
    }

    /// Where each tensor's numbers lie.
    pub(super) fn places(&self) -> &[std::ops::Range<usize>] {
        &self.places
    }

    /// Variance of the estimated cosine of two directions that are not alike, with energy spread evenly; 0 where the
    /// tensor stands as it is.
    pub(super) fn spread(&self, tensor: usize) -> f64 {
        let len = self.layout.slots()[tensor].range.len();
        match self.size {
            Some(size) if len > size => {
                let share = |numbers: usize| (numbers as f64 / len as f64).powi(2);
                let within = (len / size) as f64 * share(size) + share(len % size);
                (1.0 - within) / size as f64
            }
            _ => 0.0,
        }
    }

    /// The sketch of a vector of the layout's length.
    pub(super) fn of(&self, values: &[f32]) -> Vec<f32> {
        let mut sketch = vec![0.0; self.len()];
        let slots = self.layout.slots().iter().zip(&self.places);
        for (tensor, (slot, place)) in slots.enumerate() {
            let (values, out) = (&values[slot.range.clone()], &mut sketch[place.clone()]);
            if values.len() == out.len() {
                out.copy_from_slice(values);
            } else {
                sum_of_rotations(tensor, values, out);
            }
        }
        sketch
    }
}

fn sum_of_rotations(tensor: usize, values: &[f32], out: &mut [f32]) {
    let size = out.len();
    let mut rotated = vec![0.0; size];
    for (block, values) in values.chunks(size).enumerate() {
        let mut bits = Bits::of(tensor, block);
        let (numbers, rest) = rotated.split_at_mut(values.len());
        numbers.copy_from_slice(values);
        rest.fill(0.0);
        bits.flip(&mut rotated);
        hadamard(&mut rotated);
        bits.flip(&mut rotated);
        for (sum, x) in out.iter_mut().zip(&rotated) {
            *sum += x;
        }
    }
    let scale = (1.0 / (size as f64).sqrt()) as f32;
    for sum in out {
        *sum *= scale;
    }
}

#[cfg(test)]
mod tests;
