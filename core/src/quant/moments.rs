//! What packing knows of a layer's inputs.

use super::layout::GROUP;

/// The mean of `x·xᵀ` over inputs `x` of a layer, within each group of 32 columns: `32·d_in` numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    d_in: usize,
    /// Sums, `[groups, 32, 32]`.
    sums: Vec<f32>,
    rows: usize,
}

impl Moments {
    /// Of a layer with inputs of this width, none seen yet.
    #[must_use]
    pub fn new(d_in: usize) -> Self {
        Self { d_in, sums: vec![0.0; d_in.div_ceil(GROUP) * GROUP * GROUP], rows: 0 }
    }

    /// Adds inputs, `[rows, d_in]` row by row.
    ///
    /// # Panics
    /// If they are not whole rows.
    pub fn add(&mut self, inputs: &[f32]) {
        assert!(inputs.len().is_multiple_of(self.d_in), "rows of {} values", self.d_in);
        for input in inputs.chunks_exact(self.d_in) {
            for (group, sums) in input.chunks(GROUP).zip(self.sums.chunks_exact_mut(GROUP * GROUP)) {
                for (a, sums) in group.iter().zip(sums.chunks_exact_mut(GROUP)) {
                    for (b, sum) in group.iter().zip(sums) {
                        *sum += a * b;
                    }
                }
            }
            self.rows += 1;
        }
    }

    /// `[groups, 32, 32]`, a hundredth of the mean square on the diagonal added, so that directions no input had still count;
    /// none before any input was seen.
    #[must_use]
    pub(super) fn means(&self) -> Option<Vec<f32>> {
        if self.rows == 0 || !self.sums.iter().all(|sum| sum.is_finite()) {
            return None;
        }
        let mut means: Vec<f32> = self.sums.iter().map(|sum| sum / self.rows as f32).collect();
        let diagonal = |group: usize, i: usize| (group * GROUP + i) * GROUP + i;
        let groups = means.len() / (GROUP * GROUP);
        let places = || (0..groups).flat_map(|group| (0..GROUP).map(move |i| diagonal(group, i)));
        let damping = 0.01 * places().map(|place| means[place]).sum::<f32>() / self.d_in as f32;
        for place in places() {
            means[place] += damping.max(f32::MIN_POSITIVE);
        }
        Some(means)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_means_of_products_within_a_group() {
        let mut moments = Moments::new(33);
        assert_eq!(moments.means(), None);
        let mut inputs = vec![0.0; 66];
        (inputs[0], inputs[1], inputs[32]) = (2.0, 3.0, 5.0);
        inputs[33] = 4.0;
        moments.add(&inputs);
        let means = moments.means().expect("two rows");
        let damping = 0.01 * ((4.0 + 16.0) / 2.0 + 9.0 / 2.0 + 25.0 / 2.0) / 33.0;
        assert!((means[0] - (10.0 + damping)).abs() < 1e-5, "{}", means[0]);
        assert_eq!((means[1], means[GROUP]), (3.0, 3.0));
        assert!((means[GROUP * GROUP] - (12.5 + damping)).abs() < 1e-5, "{}", means[GROUP * GROUP]);
    }
}
