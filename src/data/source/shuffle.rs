//! `NumPy`'s shuffle of a list, for the test sets that released code draws with it.

use rand_mt::Mt;

/// `numpy.random.seed(0); numpy.random.shuffle(order)` for a list of this length.
pub(super) fn numpy_shuffle(count: usize) -> Vec<usize> {
    let mut generator = Mt::new(0);
    let mut order: Vec<usize> = (0..count).collect();
    for i in (1..count).rev() {
        let most = u32::try_from(i).unwrap_or(u32::MAX);
        let mask = u32::MAX >> most.leading_zeros();
        let j = loop {
            let value = generator.next_u32() & mask;
            if value <= most {
                break value as usize;
            }
        };
        order.swap(i, j);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `numpy.random.seed(0); x = list(range(n)); numpy.random.shuffle(x)`, NumPy 2.4.6.
    #[test]
    fn the_shuffle_is_numpys() {
        assert_eq!(numpy_shuffle(10), [2, 8, 4, 9, 1, 6, 7, 3, 0, 5]);
        let long = numpy_shuffle(18_724);
        assert_eq!(
            long[..8],
            [14_921, 4794, 2188, 16_898, 6409, 13_556, 14_532, 593]
        );
    }
}
