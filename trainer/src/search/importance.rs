//! How much each axis matters, by the surrogate: functional ANOVA of its mean (Hutter, Hoos and Leyton-Brown 2014).
//!
//! Of an axis it is the variance of its main effect, the mean over all other axes at each of its values, as a share of the
//! variance over the whole space. What the shares leave to 1 is interaction. A small grid is taken whole, any other space by
//! seeded random points.

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use super::gp::Surrogate;
use super::space::{Axis, Coordinate, Point, Space};

/// Grids up to this size are taken whole.
const WHOLE: usize = 1024;
/// Points drawn of a larger space, and values looked at on an axis that has more.
const DRAWN: usize = 512;
const VALUES: u32 = 16;
/// The sample is always the same.
const SEED: u64 = 0;

/// Share of each axis; none where the surrogate is flat.
pub(crate) fn main_effects(space: &Space, surrogate: &Surrogate) -> Option<Vec<f64>> {
    let points: Vec<Point> = match space.size().filter(|size| *size <= WHOLE) {
        Some(size) => (0..size).map(|place| space.grid_point(place)).collect(),
        None => {
            let mut rng = ChaCha8Rng::seed_from_u64(SEED);
            (0..DRAWN).map(|_| space.random(&mut rng)).collect()
        }
    };
    let means = |points: &[Point]| {
        surrogate.predict(&points.iter().map(|point| space.encode(point)).collect::<Vec<_>>()).means
    };
    let total = variance(&means(&points));
    if total <= 0.0 {
        return None;
    }
    let effect = |(place, axis): (usize, &Axis)| {
        let at = |coordinate: &Coordinate| {
            let mut points = points.clone();
            points.iter_mut().for_each(|point| point[place] = *coordinate);
            mean(&means(&points))
        };
        variance(&values(axis).iter().map(at).collect::<Vec<_>>()) / total
    };
    Some(space.axes.iter().enumerate().map(effect).collect())
}

fn values(axis: &Axis) -> Vec<Coordinate> {
    match axis.count().filter(|count| *count <= VALUES as usize) {
        Some(count) => (0..count).map(Coordinate::Index).collect(),
        None => (0..VALUES).map(|i| axis.at((f64::from(i) + 0.5) / f64::from(VALUES))).collect(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of points")]
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn variance(values: &[f64]) -> f64 {
    let centre = mean(values);
    mean(&values.iter().map(|value| (value - centre).powi(2)).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_axis_that_decides_has_the_largest_share_and_one_without_effect_none() {
        let text = "a = [1, 2, 3, 4]\nb = [1, 2, 3, 4]\nc = [0.0, 0.1, 0.2]";
        let space = Space::read(Path::new("space.toml"), text, &[]).unwrap();
        let points: Vec<Point> = (0..48).map(|place| space.grid_point(place)).collect();
        let rows: Vec<Vec<f64>> = points.iter().map(|point| space.encode(point)).collect();
        // Variances over the grid: of 2a it is 4 times that of b, and c does nothing.
        let costs: Vec<f64> = rows.iter().map(|row| 2.0 * row[0] - row[1]).collect();
        let shares = main_effects(&space, &Surrogate::fit(&rows, &costs).unwrap()).unwrap();
        for (share, expected) in shares.iter().zip([0.8, 0.2, 0.0]) {
            assert!((share - expected).abs() < 0.02, "{shares:?}");
        }
    }
}
