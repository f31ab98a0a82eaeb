//! Losses on logits: what a method asks for between a forward and a backward pass.
//!
//! Owns the arithmetic of each loss and of its gradient at the logits, on plain slices, the same for every network. A
//! loss is a mean over examples, and each example is judged among the classes that compete for it alone: all others
//! have a gradient of exactly zero. A loss of several terms is the sum of their gradients.

use super::{LearnerError, Logits};
use crate::stream::Classes;

/// Mean cross-entropy of the labels, each among the classes that compete for it, in nats, and its gradient at the
/// logits: softmax minus one-hot, over the number of examples.
///
/// # Shapes
/// `labels` and `competing`: one an example; output: a number, `[batch, classes]`.
///
/// # Errors
/// [`LearnerError::Label`] for a label outside its set; [`LearnerError::Length`], [`LearnerError::Classes`] and
/// [`LearnerError::NotWanted`] for what does not fit the logits.
pub fn cross_entropy(
    logits: Logits<'_>,
    labels: &[usize],
    competing: &[Classes],
) -> Result<(f32, Vec<f32>), LearnerError> {
    for (&label, classes) in labels.iter().zip(competing) {
        if !classes.contains(label) {
            let classes = classes.clone();
            return Err(LearnerError::Label { label, classes });
        }
    }
    competing_cross_entropy(logits, labels, competing)
}

/// As [`cross_entropy`], but a label may lie outside its set: `log Σ_{c competes} e^{z_c} − z_label`, averaged.
///
/// Outside, its gradient is the softmax over the set minus the label's one-hot vector: what the released code
/// differentiates when it masks by overwriting logits behind autograd's back.
///
/// # Shapes
/// As [`cross_entropy`].
///
/// # Errors
/// [`LearnerError::Length`], [`LearnerError::Classes`] and [`LearnerError::NotWanted`] for what does not fit the logits.
pub fn competing_cross_entropy(
    logits: Logits<'_>,
    labels: &[usize],
    competing: &[Classes],
) -> Result<(f32, Vec<f32>), LearnerError> {
    one_each("labels", labels.len(), logits)?;
    check(logits, competing)?;
    let mut gradient = vec![0.0; logits.values().len()];
    let mut loss = 0.0_f64;
    let scale = 1.0 / labels.len() as f32;
    let rows = gradient.chunks_exact_mut(logits.classes().max(1));
    let examples = logits.rows().zip(rows).zip(labels).zip(competing);
    for (i, (((row, gradient), &label), classes)) in examples.enumerate() {
        if !classes.contains(label) {
            there(logits, i, &Classes::from(label..label.saturating_add(1)))?;
        }
        let own = row[label];
        loss -= f64::from(log_softmax(row, own, classes, gradient));
        for class in classes.iter() {
            gradient[class] = (gradient[class] - one_hot(class, label)) * scale;
        }
        if !classes.contains(label) {
            gradient[label] = -scale;
        }
    }
    Ok(((loss / labels.len() as f64) as f32, gradient))
}

/// Mean squared distance of the logits to `targets` over all competing classes of all examples, and its gradient at the
/// logits.
///
/// # Shapes
/// `targets`: for each example the values of its competing classes in ascending order; `competing`: one an example;
/// output: a number, `[batch, classes]`.
///
/// # Errors
/// [`LearnerError::Length`], [`LearnerError::Classes`] and [`LearnerError::NotWanted`] for what does not fit the logits.
pub fn squared_error(
    logits: Logits<'_>,
    targets: &[&[f32]],
    competing: &[Classes],
) -> Result<(f32, Vec<f32>), LearnerError> {
    let term = |z: f32, target: f32| {
        let difference = z - target;
        (f64::from(difference).powi(2), difference)
    };
    mean_over_classes(logits, targets, competing, (2.0, term))
}

/// Mean binary cross-entropy of sigmoids against `targets` in `[0, 1]`, over all competing classes of all examples, in nats,
/// and its gradient at the logits: sigmoid minus target, over their number.
///
/// # Shapes
/// As [`squared_error`].
///
/// # Errors
/// As [`squared_error`].
pub fn binary_cross_entropy(
    logits: Logits<'_>,
    targets: &[&[f32]],
    competing: &[Classes],
) -> Result<(f32, Vec<f32>), LearnerError> {
    // log(1 + e^z) − t z, whose slope is the sigmoid less t.
    let term = |z: f32, target: f32| {
        let softplus = z.max(0.0) + (-z.abs()).exp().ln_1p();
        let sigmoid = 1.0 / (1.0 + (-z).exp());
        (f64::from(softplus - target * z), sigmoid - target)
    };
    mean_over_classes(logits, targets, competing, (1.0, term))
}

/// The mean of a term of logit and target over all competing classes of all examples, and its gradient; `term` gives
/// value and slope, the latter without a factor.
fn mean_over_classes(
    logits: Logits<'_>,
    targets: &[&[f32]],
    competing: &[Classes],
    (factor, term): (f32, impl Fn(f32, f32) -> (f64, f32)),
) -> Result<(f32, Vec<f32>), LearnerError> {
    one_each("targets", targets.len(), logits)?;
    check(logits, competing)?;
    let mut gradient = vec![0.0; logits.values().len()];
    let mut sum = 0.0_f64;
    let count: usize = competing.iter().map(Classes::len).sum();
    let scale = factor / count as f32;
    let rows = gradient.chunks_exact_mut(logits.classes().max(1));
    for (((row, gradient), target), classes) in logits.rows().zip(rows).zip(targets).zip(competing)
    {
        if target.len() != classes.len() {
            return Err(LearnerError::Length {
                what: "an example's targets",
                expected: classes.len(),
                found: target.len(),
            });
        }
        for (class, target) in classes.iter().zip(*target) {
            let (value, slope) = term(row[class], *target);
            sum += value;
            gradient[class] = scale * slope;
        }
    }
    Ok(((sum / count.max(1) as f64) as f32, gradient))
}

/// Mean squared length of the vectors of the competing classes' logits, and its gradient at the logits.
///
/// # Shapes
/// `competing`: one an example; output: a number, `[batch, classes]`.
///
/// # Errors
/// [`LearnerError::Length`], [`LearnerError::Classes`] and [`LearnerError::NotWanted`] for what does not fit the logits.
pub fn squared_length(
    logits: Logits<'_>,
    competing: &[Classes],
) -> Result<(f32, Vec<f32>), LearnerError> {
    check(logits, competing)?;
    let mut gradient = vec![0.0; logits.values().len()];
    let mut sum = 0.0_f64;
    let all = competing.len().max(1);
    let slope = 2.0 / all as f32;
    let rows = gradient.chunks_exact_mut(logits.classes().max(1));
    for ((row, gradient), classes) in logits.rows().zip(rows).zip(competing) {
        for class in classes.iter() {
            sum += f64::from(row[class]).powi(2);
            gradient[class] = slope * row[class];
        }
    }
    Ok(((sum / all as f64) as f32, gradient))
}

/// Mean cross-entropy between the softmax of a teacher's logits and that of the logits, both divided by the temperature T and
/// each example's among its competing classes, in nats, and its gradient at the logits: the difference of the two softmaxes,
/// over T and the number of examples.
///
/// # Shapes
/// `teacher`: as the logits; `competing`: one an example; output: a number, `[batch, classes]`.
///
/// # Errors
/// [`LearnerError::Length`], [`LearnerError::Classes`] and [`LearnerError::NotWanted`] for what does not fit the logits or the
/// teacher's.
pub fn distillation(
    logits: Logits<'_>,
    teacher: Logits<'_>,
    competing: &[Classes],
    temperature: f32,
) -> Result<(f32, Vec<f32>), LearnerError> {
    one_each("a teacher's rows", teacher.rows().len(), logits)?;
    check(logits, competing)?;
    check(teacher, competing)?;
    let mut gradient = vec![0.0; logits.values().len()];
    let mut target = vec![0.0; teacher.classes()];
    let mut loss = 0.0_f64;
    let all = competing.len().max(1) as f32;
    let scale = 1.0 / (temperature * all);
    let rows = gradient.chunks_exact_mut(logits.classes().max(1));
    let rows = logits.rows().zip(teacher.rows()).zip(rows).zip(competing);
    for (((row, teacher), gradient), classes) in rows {
        let [row, teacher] = [row, teacher].map(|row| -> Vec<f32> {
            // Of the other classes nothing is known: their places may hold anything.
            row.iter().map(|z| z / temperature).collect()
        });
        log_softmax(&teacher, 0.0, classes, &mut target);
        loss -= f64::from(log_softmax(&row, 0.0, classes, gradient));
        for class in classes.iter() {
            loss -= f64::from(target[class] * row[class]);
            gradient[class] = (gradient[class] - target[class]) * scale;
        }
    }
    Ok(((loss / f64::from(all)) as f32, gradient))
}

fn one_hot(class: usize, label: usize) -> f32 {
    if class == label { 1.0 } else { 0.0 }
}

/// Refuses anything of which there is not one an example.
fn one_each(what: &'static str, found: usize, logits: Logits<'_>) -> Result<(), LearnerError> {
    let expected = logits.rows().len();
    if found == expected {
        return Ok(());
    }
    Err(LearnerError::Length {
        what,
        expected,
        found,
    })
}

/// Refuses sets that are empty, go beyond the head, or whose logits were not wanted.
fn check(logits: Logits<'_>, competing: &[Classes]) -> Result<(), LearnerError> {
    one_each("sets of competing classes", competing.len(), logits)?;
    for (example, set) in competing.iter().enumerate() {
        there(logits, example, set)?;
    }
    Ok(())
}

fn there(logits: Logits<'_>, example: usize, set: &Classes) -> Result<(), LearnerError> {
    let (set, head) = (set.clone(), logits.classes());
    if set.is_empty() || set.end() > head {
        return Err(LearnerError::Classes { set, head });
    }
    if logits.has(example, &set) {
        Ok(())
    } else {
        Err(LearnerError::NotWanted { set })
    }
}

/// Writes the probabilities of the competing classes; returns the logarithm of that of the logit `own`.
fn log_softmax(row: &[f32], own: f32, classes: &Classes, probabilities: &mut [f32]) -> f32 {
    let runs = classes.runs();
    let top = runs
        .iter()
        .flat_map(|run| &row[run.clone()])
        .copied()
        .fold(f32::NEG_INFINITY, f32::max);
    let picked = own - top;
    let mut sum = 0.0;
    for run in runs {
        for (p, z) in probabilities[run.clone()].iter_mut().zip(&row[run.clone()]) {
            *p = (z - top).exp();
            sum += *p;
        }
    }
    for run in runs {
        for p in &mut probabilities[run.clone()] {
            *p /= sum;
        }
    }
    picked - sum.ln()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The losses in double precision, as their formulas say.
    fn formula(row: &[f64], label: usize, classes: &Classes) -> f64 {
        let sum: f64 = classes.iter().map(|c| row[c].exp()).sum();
        sum.ln() - row[label]
    }

    /// Sets that need not be one range, with a label in each; the seed decides.
    fn case(batch: usize, classes: usize, seed: usize) -> (Vec<f32>, Vec<usize>, Vec<Classes>) {
        let number = |i: usize| (i + 1) * (seed * 2 + 7919) * 31 % 2003;
        let logits = (0..batch * classes).map(|i| number(i) as f32 / 400.0 - 2.5);
        let sets: Vec<Classes> = (0..batch)
            .map(|i| {
                (0..classes)
                    .filter(|c| number(i * classes + c) % 3 > 0 || *c == i % classes)
                    .collect()
            })
            .collect();
        let labels = (0..batch).map(|i| i % classes).collect();
        (logits.collect(), labels, sets)
    }

    /// Checks value and gradient of a loss against its formula and differences of that.
    fn agrees(
        logits: &[f32],
        classes: usize,
        (loss, gradient): &(f32, Vec<f32>),
        formula: impl Fn(&[f64]) -> f64,
    ) {
        let exact: Vec<f64> = logits.iter().map(|z| f64::from(*z)).collect();
        assert_eq!(gradient.len() % classes, 0);
        assert!((f64::from(*loss) - formula(&exact)).abs() < 1e-5);
        for (i, found) in gradient.iter().enumerate() {
            let at = |h: f64| {
                let mut moved = exact.clone();
                moved[i] += h;
                formula(&moved)
            };
            let slope = (at(1e-4) - at(-1e-4)) / 2e-4;
            assert!(
                (slope - f64::from(*found)).abs() < 1e-5,
                "{i}: {found} {slope}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn cross_entropy_is_its_formula(batch in 1_usize..6, classes in 1_usize..9, seed in 0_usize..1000) {
            let (values, labels, sets) = case(batch, classes, seed);
            let logits = Logits::new(&values, classes);
            let found = cross_entropy(logits, &labels, &sets).unwrap();
            let mean = |z: &[f64]| {
                let rows = z.chunks(classes).zip(&labels).zip(&sets);
                rows.map(|((z, label), set)| formula(z, *label, set)).sum::<f64>() / batch as f64
            };
            agrees(&values, classes, &found, mean);
            for (row, set) in found.1.chunks(classes).zip(&sets) {
                for (class, d) in row.iter().enumerate() {
                    prop_assert!(set.contains(class) || d.to_bits() == 0);
                }
            }
        }

        #[test]
        fn a_label_may_lie_outside_if_it_is_asked_for(batch in 1_usize..5, seed in 0_usize..1000) {
            let (values, _, _) = case(batch, 6, seed);
            let logits = Logits::new(&values, 6);
            let (labels, sets) = (vec![1; batch], vec![Classes::from(3..6); batch]);
            let refused = cross_entropy(logits, &labels, &sets);
            let outside = matches!(refused, Err(LearnerError::Label { label: 1, .. }));
            prop_assert!(outside);
            let found = competing_cross_entropy(logits, &labels, &sets).unwrap();
            let mean = |z: &[f64]| {
                z.chunks(6).map(|z| formula(z, 1, &sets[0])).sum::<f64>() / batch as f64
            };
            agrees(&values, 6, &found, mean);
        }

        #[test]
        fn squared_error_is_its_formula(batch in 1_usize..6, classes in 1_usize..9, seed in 0_usize..1000) {
            let (values, _, sets) = case(batch, classes, seed);
            let targets: Vec<Vec<f32>> = sets.iter().map(|set| set.iter().map(|c| c as f32 / 3.0).collect()).collect();
            let targets: Vec<&[f32]> = targets.iter().map(Vec::as_slice).collect();
            let found = squared_error(Logits::new(&values, classes), &targets, &sets).unwrap();
            let count: usize = sets.iter().map(Classes::len).sum();
            let mean = |z: &[f64]| {
                let rows = z.chunks(classes).zip(&targets).zip(&sets);
                let squares = rows.flat_map(|((z, targets), set)| {
                    set.iter().zip(*targets).map(|(c, target)| (z[c] - f64::from(*target)).powi(2)).collect::<Vec<_>>()
                });
                squares.sum::<f64>() / count as f64
            };
            agrees(&values, classes, &found, mean);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn squared_length_is_its_formula(batch in 1_usize..6, classes in 1_usize..9, seed in 0_usize..1000) {
            let (values, _, sets) = case(batch, classes, seed);
            let found = squared_length(Logits::new(&values, classes), &sets).unwrap();
            let mean = |z: &[f64]| {
                let rows = z.chunks(classes).zip(&sets);
                rows.map(|(z, set)| set.iter().map(|c| z[c].powi(2)).sum::<f64>()).sum::<f64>() / batch as f64
            };
            agrees(&values, classes, &found, mean);
        }

        #[test]
        fn distillation_is_its_formula(
            batch in 1_usize..6, classes in 1_usize..9, seed in 0_usize..1000, temperature in 0.5_f32..4.0,
        ) {
            let (values, _, sets) = case(batch, classes, seed);
            let (teacher, _, _) = case(batch, classes, seed + 1);
            let t = f64::from(temperature);
            let logits = Logits::new(&values, classes);
            let found = distillation(logits, Logits::new(&teacher, classes), &sets, temperature).unwrap();
            let mean = |z: &[f64]| {
                let rows = z.chunks(classes).zip(teacher.chunks(classes)).zip(&sets);
                let losses = rows.map(|((z, teacher), set)| {
                    let power = |c: usize| (f64::from(teacher[c]) / t).exp();
                    let sum: f64 = set.iter().map(power).sum();
                    let scaled: Vec<f64> = z.iter().map(|z| z / t).collect();
                    set.iter().map(|c| power(c) / sum * formula(&scaled, c, set)).sum::<f64>()
                });
                losses.sum::<f64>() / batch as f64
            };
            agrees(&values, classes, &found, mean);
            // A teacher that is the student teaches nothing.
            let own = distillation(logits, logits, &sets, temperature).unwrap().1;
            prop_assert!(own.iter().all(|d| *d == 0.0));
        }
    }

    #[test]
    fn binary_cross_entropy_is_its_formula() {
        let values = [0.5_f32, -30.0, 2.0, 90.0, 0.0, -0.25];
        let sets = [Classes::from(0..3), Classes::from_iter([0, 2])];
        let targets: [&[f32]; 2] = [&[0.0, 1.0, 0.3], &[1.0, 0.7]];
        let found = binary_cross_entropy(Logits::new(&values, 3), &targets, &sets).unwrap();
        let mean = |z: &[f64]| {
            let rows = z.chunks(3).zip(&targets).zip(&sets);
            let terms = rows.flat_map(|((z, targets), set)| {
                let pairs = set.iter().zip(*targets);
                let of = |(c, t): (usize, &f32)| {
                    (1.0 + (-z[c].abs()).exp()).ln() + z[c].max(0.0) - f64::from(*t) * z[c]
                };
                pairs.map(of).collect::<Vec<_>>()
            });
            terms.sum::<f64>() / 5.0
        };
        agrees(&values, 3, &found, mean);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let values = [0.0; 8];
        let logits = Logits::new(&values, 4);
        let two = [Classes::from(0..2), Classes::from(2..4)];
        let text = |found: Result<(f32, Vec<f32>), LearnerError>| found.unwrap_err().to_string();
        let error = text(cross_entropy(logits, &[0], &two));
        assert!(
            error.contains("labels") && error.contains('1') && error.contains('2'),
            "{error}"
        );
        let wide = [Classes::from(0..2), Classes::from(2..5)];
        let error = text(cross_entropy(logits, &[0, 3], &wide));
        assert!(error.contains("2..5") && error.contains("has 4"), "{error}");
        let error = text(cross_entropy(logits, &[0, 1], &two));
        assert!(error.contains("label 1"), "{error}");
        let error = text(competing_cross_entropy(logits, &[0, 7], &two));
        assert!(error.contains("7..8"), "{error}");
        let error = text(squared_error(logits, &[&[0.0, 1.0], &[0.0]], &two));
        assert!(error.contains("targets"), "{error}");
        let error = text(distillation(
            logits,
            Logits::new(&values[..4], 4),
            &two,
            2.0,
        ));
        assert!(error.contains("teacher"), "{error}");
        let error = text(squared_length(logits, &wide));
        assert!(error.contains("2..5"), "{error}");
        let none = [Classes::from(0..0), Classes::from(0..2)];
        let error = text(competing_cross_entropy(logits, &[0, 1], &none));
        assert!(error.contains("none"), "{error}");
    }
}
