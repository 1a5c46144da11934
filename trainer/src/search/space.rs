//! What may vary: keys of a recipe, each with the values it may have. [`read`] is how a file says so.

use std::collections::BTreeMap;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use serde_json::{Value as Json, json};

mod read;

/// A value of a list; none leaves the key out.
type Choice = Option<toml::Value>;

/// A key and its values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    /// Dotted key of the recipe.
    pub(crate) key: String,
    domain: Domain,
}

#[derive(Debug, Clone, PartialEq)]
enum Domain {
    Choices(Vec<Choice>),
    Integers { min: i64, max: i64, step: i64, log: bool },
    Reals { min: f64, max: f64, log: bool },
}

/// A place on an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Coordinate {
    /// Of a list or of integers: which one, from 0.
    Index(usize),
    /// Of a continuous range: the value.
    Real(f64),
}

/// A place on every axis, in the order of the space.
pub(crate) type Point = Vec<Coordinate>;

/// Axes in the order of their keys.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Space {
    pub(crate) axes: Vec<Axis>,
}

impl Axis {
    /// Values there are; none of a continuous range.
    pub(crate) fn count(&self) -> Option<usize> {
        match &self.domain {
            Domain::Choices(choices) => Some(choices.len()),
            Domain::Integers { min, max, step, .. } => {
                Some(usize::try_from((max - min) / step).expect("max is above min") + 1)
            }
            Domain::Reals { .. } => None,
        }
    }

    /// Whether its values have no order: names, of which there are more than two.
    fn is_unordered(&self) -> bool {
        let Domain::Choices(choices) = &self.domain else {
            return false;
        };
        let is_number = |c: &Choice| c.as_ref().is_some_and(|v| v.is_integer() || v.is_float());
        choices.len() > 2 && !choices.iter().all(is_number)
    }

    /// Columns it has in [`Space::encode`].
    fn width(&self) -> usize {
        if self.is_unordered() { self.count().expect("a list") } else { 1 }
    }

    /// Position in [0, 1]: of a list by place, of a range by value, or by its logarithm.
    pub(crate) fn position(&self, coordinate: Coordinate) -> f64 {
        match (&self.domain, coordinate) {
            (Domain::Choices(choices), Coordinate::Index(i)) => ratio(i, choices.len() - 1),
            (Domain::Integers { min, max, step, log }, Coordinate::Index(i)) => {
                let value = min + i64::try_from(i).expect("an index of the range") * step;
                scale(real(value), real(*min), real(*max), *log)
            }
            (Domain::Reals { min, max, log }, Coordinate::Real(value)) => scale(value, *min, *max, *log),
            _ => panic!("{coordinate:?} is no place on {}", self.key),
        }
    }

    /// The coordinate at a share of a continuous range, or at a share of the values there are.
    pub(crate) fn at(&self, share: f64) -> Coordinate {
        match (&self.domain, self.count()) {
            (Domain::Reals { min, max, log }, _) => {
                let value = if *log {
                    (min.ln() + share * (max.ln() - min.ln())).exp()
                } else {
                    min + share * (max - min)
                };
                Coordinate::Real(six_digits(value).clamp(*min, *max))
            }
            (_, Some(count)) => Coordinate::Index(at_share(share, count)),
            (_, None) => unreachable!("only a continuous range has no count"),
        }
    }

    /// Share of the values up to and with this one: what [`Self::at`] turns round.
    pub(crate) fn cumulative(&self, coordinate: Coordinate) -> f64 {
        match (coordinate, self.count()) {
            (Coordinate::Index(i), Some(count)) => ratio(i + 1, count),
            _ => self.position(coordinate),
        }
    }

    /// The value there as a recipe has it; none leaves the key out.
    pub(crate) fn value(&self, coordinate: Coordinate) -> Choice {
        match (&self.domain, coordinate) {
            (Domain::Choices(choices), Coordinate::Index(i)) => choices[i].clone(),
            (Domain::Integers { min, step, .. }, Coordinate::Index(i)) => {
                let i = i64::try_from(i).expect("an index of the range");
                Some(toml::Value::Integer(min + i * step))
            }
            (Domain::Reals { .. }, Coordinate::Real(value)) => Some(toml::Value::Float(value)),
            _ => panic!("{coordinate:?} is no place on {}", self.key),
        }
    }

    /// The value there as a person reads it.
    pub(crate) fn text(&self, coordinate: Coordinate) -> String {
        match self.value(coordinate) {
            None => "absent".to_owned(),
            Some(toml::Value::String(text)) => text,
            Some(value) => value.to_string(),
        }
    }

    fn coordinate(&self, json: &Json) -> Option<Coordinate> {
        match (&self.domain, self.count()) {
            (Domain::Reals { min, max, .. }, _) => {
                let value = json.as_f64()?;
                (*min..=*max).contains(&value).then_some(Coordinate::Real(value))
            }
            (_, Some(count)) => (0..count)
                .map(Coordinate::Index)
                .find(|coordinate| as_json(self.value(*coordinate).as_ref()) == *json),
            (_, None) => unreachable!("only a continuous range has no count"),
        }
    }

    fn describe(&self) -> Json {
        match &self.domain {
            Domain::Choices(choices) => choices.iter().map(|choice| as_json(choice.as_ref())).collect(),
            Domain::Integers { min, max, step, log } => {
                json!({"min": min, "max": max, "step": step, "log": log})
            }
            Domain::Reals { min, max, log } => json!({"min": min, "max": max, "log": log}),
        }
    }
}

impl Space {
    /// Points of a space without continuous axes, if they can be counted.
    pub(crate) fn size(&self) -> Option<usize> {
        self.axes.iter().try_fold(1usize, |size, axis| size.checked_mul(axis.count()?))
    }

    /// Point `place` of [`Self::size`], the last axis varying fastest.
    pub(crate) fn grid_point(&self, mut place: usize) -> Point {
        let mut point: Point = Vec::with_capacity(self.axes.len());
        for axis in self.axes.iter().rev() {
            let count = axis.count().expect("a grid has no continuous axis");
            point.push(Coordinate::Index(place % count));
            place /= count;
        }
        point.reverse();
        point
    }

    /// Which of [`Self::grid_point`] a point of a grid is.
    pub(crate) fn grid_place(&self, point: &Point) -> usize {
        self.axes.iter().zip(point).fold(0, |place, (axis, coordinate)| match (coordinate, axis.count()) {
            (Coordinate::Index(i), Some(count)) => place * count + i,
            _ => panic!("{} is continuous: there is no grid", axis.key),
        })
    }

    /// A point drawn evenly; on a continuous axis evenly over its scale.
    pub(crate) fn random(&self, rng: &mut ChaCha8Rng) -> Point {
        self.axes.iter().map(|axis| axis.at(rng.random::<f64>())).collect()
    }

    /// The first value of every list, the least of every range.
    pub(crate) fn first(&self) -> Point {
        self.axes.iter().map(|axis| axis.at(0.0)).collect()
    }

    /// For each axis all the values of its list, or the ends of its range, the others at their first.
    pub(crate) fn ends(&self) -> Vec<Point> {
        let first = self.first();
        let mut points = Vec::new();
        for (place, axis) in self.axes.iter().enumerate() {
            let coordinates = match (&axis.domain, axis.count()) {
                (Domain::Choices(choices), _) => (0..choices.len()).map(Coordinate::Index).collect(),
                _ => vec![axis.at(0.0), axis.at(1.0)],
            };
            for coordinate in coordinates {
                let mut point = first.clone();
                point[place] = coordinate;
                points.push(point);
            }
        }
        points
    }

    /// The point as a surrogate sees it: a position in [0, 1] an axis, or, of an unordered list, a column a value.
    pub(crate) fn encode(&self, point: &Point) -> Vec<f64> {
        let mut row = Vec::new();
        for (axis, coordinate) in self.axes.iter().zip(point) {
            match coordinate {
                Coordinate::Index(i) if axis.is_unordered() => {
                    row.extend((0..axis.width()).map(|column| f64::from(u8::from(column == *i))));
                }
                _ => row.push(axis.position(*coordinate)),
            }
        }
        row
    }

    /// Columns of [`Self::encode`].
    pub(crate) fn width(&self) -> usize {
        self.axes.iter().map(Axis::width).sum()
    }

    /// The values of a point as overrides of a recipe.
    pub(crate) fn overrides(&self, point: &Point) -> Vec<String> {
        let value = |(axis, coordinate): (&Axis, &Coordinate)| {
            let value = axis.value(*coordinate).map_or_else(String::new, |value| value.to_string());
            format!("{}={value}", axis.key)
        };
        self.axes.iter().zip(point).map(value).collect()
    }

    /// The values of a point, as the journal has them.
    pub(crate) fn values(&self, point: &Point) -> BTreeMap<String, Json> {
        let value = |(axis, coordinate): (&Axis, &Coordinate)| {
            (axis.key.clone(), as_json(axis.value(*coordinate).as_ref()))
        };
        self.axes.iter().zip(point).map(value).collect()
    }

    /// The point with these values, if it is of this space.
    pub(crate) fn point(&self, values: &BTreeMap<String, Json>) -> Option<Point> {
        if values.len() != self.axes.len() {
            return None;
        }
        self.axes.iter().map(|axis| axis.coordinate(values.get(&axis.key)?)).collect()
    }

    /// A point for a line of a log.
    pub(crate) fn text(&self, point: &Point) -> String {
        let part =
            |(axis, coordinate): (&Axis, &Coordinate)| format!("{}={}", axis.key, axis.text(*coordinate));
        self.axes.iter().zip(point).map(part).collect::<Vec<_>>().join(" ")
    }

    /// The space as the journal's first line has it.
    pub(crate) fn describe(&self) -> BTreeMap<String, Json> {
        self.axes.iter().map(|axis| (axis.key.clone(), axis.describe())).collect()
    }
}

fn as_json(choice: Option<&toml::Value>) -> Json {
    choice.map_or(Json::Null, |value| serde_json::to_value(value).expect("a TOML value is a JSON value"))
}

/// Six digits are as many as a person would write, and read back the same from any file.
fn six_digits(value: f64) -> f64 {
    format!("{value:.5e}").parse().expect("a number's own text")
}

fn scale(value: f64, min: f64, max: f64, log: bool) -> f64 {
    if log { (value / min).ln() / (max / min).ln() } else { (value - min) / (max - min) }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of a recipe are far below 2^52")]
fn real(value: i64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts of values are far below 2^52")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

/// The smallest `i` of `count` with `share <= (i + 1) / count`.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a count is rounded to a place below it"
)]
fn at_share(share: f64, count: usize) -> usize {
    ((share * count as f64).ceil() as usize).clamp(1, count) - 1
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn read(text: &str) -> crate::error::Result<Space> {
        read::tests::read(text)
    }

    #[test]
    fn a_point_survives_the_journal() {
        let space = read(
            "adapter.1.init_text = [\"Finish this clinical note:\", { absent = true }]\n\
             adapter.1.dropout = [0.0, 0.1, 0.2]\nadapter.1.target_modules = [[\"q_proj\"], [\"q_proj\", \"v_proj\"]]\n\
             training.learning_rate = { min = 0.001, max = 0.02 }",
        )
        .unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        for _ in 0..50 {
            let point = space.random(&mut rng);
            let line = serde_json::to_string(&space.values(&point)).unwrap();
            assert_eq!(space.point(&serde_json::from_str(&line).unwrap()), Some(point));
        }
        let point = space.point(
            &serde_json::from_str(
                r#"{"adapter.1.init_text":null,"adapter.1.dropout":0.2,"adapter.1.target_modules":["q_proj"],
                "training.learning_rate":0.0025}"#,
            )
            .unwrap(),
        );
        assert_eq!(
            space.overrides(&point.unwrap()),
            [
                "adapter.1.dropout=0.2",
                "adapter.1.init_text=",
                "adapter.1.target_modules=[\"q_proj\"]",
                "training.learning_rate=0.0025"
            ]
        );
    }

    #[test]
    fn the_points_of_a_grid_are_all_there_is() {
        let space = read("adapter.1.r = [2, 4, 8, 16]\nadapter.1.alpha = [1, 2, 3]").unwrap();
        let points: Vec<Point> = (0..space.size().unwrap()).map(|i| space.grid_point(i)).collect();
        assert_eq!(points.len(), 12);
        for (i, point) in points.iter().enumerate() {
            assert!(!points[..i].contains(point), "{point:?}");
            assert_eq!(space.grid_place(point), i);
        }
    }

    #[test]
    fn names_have_a_column_each_and_numbers_one_in_all() {
        let space = read(
            "training.schedule = [\"linear\", \"constant\", \"author_compat\"]\nadapter.1.r = [1, 2, 9]",
        );
        let space = space.unwrap();
        assert_eq!(space.width(), 4);
        assert_eq!(space.encode(&vec![Coordinate::Index(1), Coordinate::Index(2)]), [0.5, 0.0, 0.0, 1.0]);
    }
}
