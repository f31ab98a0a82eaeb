//! Axes: from data to places on paper.
//!
//! Owns ranges, tick marks and the frame around a plot.

use super::colour::Paint;
use super::scene::{Anchor, Shape, Stroke, Text};

/// Size of tick labels and of axis titles.
pub(super) const TICK: f64 = 12.0;
pub(super) const LABEL: f64 = 13.0;

/// One axis: a range and its ticks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    log: bool,
    pub(super) ticks: Vec<(f64, String)>,
}

/// 1, 2 or 5 times a power of ten: the smallest that gives no more than 1.4 times `count` steps.
fn nice_step(span: f64, count: usize) -> f64 {
    let rough = span / count.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|factor| factor * power >= rough / 1.4)
        .unwrap_or(10.0);
    factor * power
}

/// A number as a tick label, with the decimals that its step needs.
pub(super) fn tick_label(x: f64, step: f64) -> String {
    let digits = (-step.log10().floor()).clamp(0.0, 8.0) as usize;
    let text = format!("{x:.digits$}");
    let zero = text
        .trim_start_matches('-')
        .bytes()
        .all(|b| b == b'0' || b == b'.');
    if zero {
        "0".to_string()
    } else {
        text.replace('-', "−")
    }
}

/// A number in few characters, for logarithmic axes and settings.
pub(super) fn short(x: f64) -> String {
    let size = x.abs();
    if size != 0.0 && !(1e-4..1e6).contains(&size) {
        format!("{x:e}").replace('-', "−")
    } else {
        format!("{}", (x * 1e9).round() / 1e9).replace('-', "−")
    }
}

impl Axis {
    /// A linear axis over finite values, widened to whole steps.
    pub(super) fn around(values: impl IntoIterator<Item = f64>, count: usize) -> Self {
        let (mut low, mut high) = bounds(values);
        if high - low < 1e-9 * high.abs().max(1e-3) {
            let margin = if low == 0.0 { 1.0 } else { 0.1 * low.abs() };
            (low, high) = (low - margin, high + margin);
        }
        let step = nice_step(high - low, count);
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        let ticks = (first as i64..=last as i64)
            .map(|i| i as f64 * step)
            .map(|x| (x, tick_label(x, step)))
            .collect();
        Self {
            low: first * step,
            high: last * step,
            log: false,
            ticks,
        }
    }

    /// The tasks 1 to `tasks`, with half a task of room at the ends.
    pub(super) fn tasks(first: usize, last: usize) -> Self {
        let (first, last) = (first.max(1), last.max(first.max(1)));
        let every = [1, 2, 5, 10, 20, 50, 100, 200]
            .into_iter()
            .find(|every| (last - first) / every < 20)
            .unwrap_or(500);
        Self {
            low: first as f64 - 0.5,
            high: last as f64 + 0.5,
            log: false,
            ticks: (first..=last)
                .filter(|t| every == 1 || t % every == 0)
                .map(|t| (t as f64, t.to_string()))
                .collect(),
        }
    }

    /// The same from the beginning of the first task on.
    pub(super) fn within_tasks(tasks: usize) -> Self {
        Self {
            low: 0.0,
            ..Self::tasks(1, tasks)
        }
    }

    /// A logarithmic axis over positive values with ticks at given places, or at 1, 2 and 5 times powers of ten.
    pub(super) fn log(values: &[f64], at: &[f64]) -> Self {
        let (low, high) = bounds(values.iter().copied());
        let (low, high) = (low.max(1e-300), high.max(low.max(1e-300)));
        let room = (high / low).powf(0.06).max(1.1);
        let (low, high) = (low / room, high * room);
        let ticks: Vec<f64> = if !at.is_empty() {
            at.to_vec()
        } else if high / low < 4.0 {
            // Even steps read better than two lonely powers.
            let even = Self::around([low, high], 6);
            let inside = even.ticks.iter().map(|(x, _)| *x);
            inside.filter(|x| (low..=high).contains(x)).collect()
        } else {
            let powers = low.log10().floor() as i32..=high.log10().ceil() as i32;
            let factors: &[f64] = if high / low > 500.0 {
                &[1.0]
            } else {
                &[1.0, 2.0, 5.0]
            };
            powers
                .flat_map(|p| factors.iter().map(move |f| f * 10f64.powi(p)))
                .filter(|x| (low..=high).contains(x))
                .collect()
        };
        Self {
            low,
            high,
            log: true,
            ticks: ticks.into_iter().map(|x| (x, short(x))).collect(),
        }
    }

    /// Where a value stands, from 0 to 1.
    pub(super) fn place(&self, x: f64) -> f64 {
        if self.log {
            (x.max(1e-300) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (x - self.low) / (self.high - self.low)
        }
    }

    /// The value at the low end.
    pub(super) fn low(&self) -> f64 {
        self.low
    }
}

/// Smallest and largest of the finite values; (0, 1) if there is none.
pub(super) fn bounds(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let finite = values.into_iter().filter(|x| x.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| {
        (a.min(x), b.max(x))
    });
    if low <= high { (low, high) } else { (0.0, 1.0) }
}

/// A rectangle with axes on its left and bottom sides.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) x: Axis,
    pub(super) y: Axis,
}

/// A line of the grid or of an axis.
pub(super) fn rule(from: (f64, f64), to: (f64, f64), paint: Paint) -> Shape {
    Shape::Line {
        points: vec![from, to],
        stroke: Stroke {
            paint,
            width: 1.0,
            dash: &[],
        },
    }
}

impl Frame {
    pub(super) fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(super) fn bottom(&self) -> f64 {
        self.top + self.height
    }

    /// Where a point of the data stands.
    pub(super) fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (
            self.left + self.x.place(x) * self.width,
            self.bottom() - self.y.place(y) * self.height,
        )
    }

    /// Grid, axes, ticks and their titles.
    pub(super) fn draw(&self, x_title: &str, y_title: &str, shapes: &mut Vec<Shape>) {
        let (left, right, top, bottom) = (self.left, self.right(), self.top, self.bottom());
        for (value, label) in &self.y.ticks {
            let y = self.at(self.x.low(), *value).1;
            shapes.push(rule((left, y), (right, y), Paint::Grid));
            let label = Text::new(left - 7.0, y + 0.35 * TICK, TICK, label.clone());
            shapes.push(label.anchor(Anchor::End).shape());
        }
        for (value, label) in &self.x.ticks {
            let x = self.at(*value, self.y.low()).0;
            shapes.push(rule((x, bottom), (x, bottom + 4.0), Paint::Ink));
            let label = Text::new(x, bottom + 6.0 + TICK, TICK, label.clone());
            shapes.push(label.anchor(Anchor::Middle).shape());
        }
        shapes.push(rule((left, top), (left, bottom), Paint::Ink));
        shapes.push(rule((left, bottom), (right, bottom), Paint::Ink));
        let x_title = Text::new(
            f64::midpoint(left, right),
            bottom + 26.0 + LABEL,
            LABEL,
            x_title,
        );
        shapes.push(x_title.anchor(Anchor::Middle).shape());
        let y_title = Text::new(left - 46.0, f64::midpoint(top, bottom), LABEL, y_title);
        shapes.push(y_title.anchor(Anchor::Middle).upwards().shape());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_enclose_the_data() {
        let axis = Axis::around([41.3, 68.9], 6);
        assert_eq!(labels(&axis), ["40", "45", "50", "55", "60", "65", "70"]);
        assert_eq!(axis.place(40.0), 0.0);
        assert_eq!(axis.place(70.0), 1.0);
        assert_eq!(
            labels(&Axis::around([-0.05, 0.21], 5)),
            ["−0.05", "0", "0.05", "0.10", "0.15", "0.20", "0.25"]
        );
        assert_eq!(
            labels(&Axis::around([0.0, 100.0], 5)),
            ["0", "20", "40", "60", "80", "100"]
        );
    }

    #[test]
    fn any_values_give_a_finite_axis() {
        for values in [
            vec![],
            vec![f64::NAN],
            vec![3.0],
            vec![0.0, 0.0],
            vec![1e-12, 1e-12],
            vec![-5.0; 3],
            vec![1e9, 1e9 + 1.0],
        ] {
            let axis = Axis::around(values.clone(), 5);
            assert!(axis.low() < axis.high, "{values:?}: {axis:?}");
            assert!((2..=40).contains(&axis.ticks.len()), "{values:?}: {axis:?}");
            assert!(axis.place(0.5).is_finite());
        }
    }

    #[test]
    fn logarithmic_ticks_are_powers() {
        assert_eq!(
            labels(&Axis::log(&[0.01, 0.2], &[])),
            ["0.01", "0.02", "0.05", "0.1", "0.2"]
        );
        assert_eq!(
            labels(&Axis::log(&[1.0, 1e4], &[])),
            ["1", "10", "100", "1000", "10000"]
        );
        let given = Axis::log(&[1.0, 3.0], &[1.0, 3.0]);
        assert_eq!(labels(&given), ["1", "3"]);
    }

    #[test]
    fn many_tasks_have_few_labels() {
        assert_eq!(Axis::tasks(1, 20).ticks.len(), 20);
        assert_eq!(labels(&Axis::tasks(1, 45))[0], "5");
        assert_eq!(labels(&Axis::tasks(1, 1)), ["1"]);
    }
}
