//! The stages by their definition, in double precision.

use std::sync::Arc;

use super::*;
use crate::resnet::BatchStats;
use crate::testing::Noise;

fn stage(channels: usize, size: usize, padding: usize, dropout: f32) -> StageSpec {
    StageSpec {
        channels,
        size,
        padding,
        dropout,
    }
}

/// Numbers of a test.
struct Case {
    spec: CnnSpec,
    batch: usize,
    images: Vec<f32>,
    parameters: Vec<[Vec<f32>; 2]>,
    masks: Vec<Vec<f32>>,
    d_features: Vec<f32>,
}

impl Case {
    fn new(spec: CnnSpec, batch: usize) -> Self {
        let mut noise = Noise::new(5);
        let mut values = |n: usize| -> Vec<f32> { (0..n).map(|_| noise.symmetric(1.0)).collect() };
        let sizes = spec.sizes().unwrap();
        let last = sizes[sizes.len() - 1];
        let features = last.spec.channels * last.pooled.0 * last.pooled.1;
        let images = values(batch * spec.in_channels * spec.height * spec.width);
        let parameters = sizes
            .iter()
            .map(|s| [values(s.weights()), values(s.spec.channels)])
            .collect();
        let masks = sizes.iter().map(|s| {
            let keep = 1.0 / (1.0 - s.spec.dropout);
            let drawn = values(batch * s.values()).into_iter();
            let drop = s.spec.dropout * 2.0 - 1.0;
            drawn.map(|x| if x < drop { 0.0 } else { keep }).collect()
        });
        let masks = masks.collect();
        Self {
            d_features: values(batch * features),
            images,
            parameters,
            masks,
            batch,
            spec,
        }
    }

    fn parameters(&self) -> Vec<StageParameters<'_>> {
        let tensors = self.parameters.iter();
        tensors.map(|[w, b]| (&w[..], &b[..])).collect()
    }

    /// Features and gradients on the kernels.
    fn run(&self, cnn: &mut Cnn, dropped: bool) -> Vec<Vec<f32>> {
        let mut features = vec![f32::NAN; self.d_features.len()];
        let masks = dropped.then_some(&self.masks[..]);
        cnn.forward(
            self.batch,
            &self.images,
            &self.parameters(),
            masks,
            true,
            &mut features,
        );
        let mut gradients = self.parameters.clone();
        let mut places: Vec<_> = gradients
            .iter_mut()
            .map(|[w, b]| {
                w.fill(f32::NAN);
                b.fill(f32::NAN);
                (&mut w[..], &mut b[..])
            })
            .collect();
        cnn.backward(&self.d_features, &mut places);
        let mut all = vec![features];
        all.extend(gradients.into_iter().flatten());
        all
    }

    /// The same by definition.
    fn expected(&self, dropped: bool) -> Vec<Vec<f64>> {
        let sizes = self.spec.sizes().unwrap();
        let mut gradients: Vec<[Vec<f64>; 2]> = self
            .parameters
            .iter()
            .map(|p| p.each_ref().map(|v| vec![0.0; v.len()]))
            .collect();
        let mut features = Vec::new();
        for image in 0..self.batch {
            let len = self.images.len() / self.batch;
            let pixels = self.images[image * len..][..len].iter();
            let mut x: Vec<f64> = pixels.map(|&x| f64::from(x)).collect();
            let mut inputs = Vec::new();
            let mut winners = Vec::new();
            for (s, ([weight, bias], mask)) in
                sizes.iter().zip(self.parameters.iter().zip(&self.masks))
            {
                inputs.push(x.clone());
                let mut y = vec![0.0; s.values()];
                for_windows(s, |at, from, tap| y[at] += x[from] * f64::from(weight[tap]));
                let plane = s.after.0 * s.after.1;
                for (i, y) in y.iter_mut().enumerate() {
                    let m = mask[image * s.values() + i];
                    let m = if dropped { f64::from(m) } else { 1.0 };
                    *y = (*y + f64::from(bias[i / plane])).max(0.0) * m;
                }
                (x, winners) = {
                    let (values, chosen) = pooled(s, &y);
                    winners.push(chosen);
                    (values, winners)
                };
            }
            features.extend_from_slice(&x);
            let len = self.d_features.len() / self.batch;
            let d = self.d_features[image * len..][..len].iter();
            let mut d: Vec<f64> = d.map(|&d| f64::from(d)).collect();
            for (number, s) in sizes.iter().enumerate().rev() {
                let mut dy = vec![0.0; s.values()];
                for (winner, d) in winners[number].iter().zip(&d) {
                    if let Some(at) = winner {
                        let m = self.masks[number][image * s.values() + at];
                        dy[*at] += d * if dropped { f64::from(m) } else { 1.0 };
                    }
                }
                let plane = s.after.0 * s.after.1;
                let [dw, db] = &mut gradients[number];
                dy.iter().enumerate().for_each(|(i, d)| db[i / plane] += d);
                let x = &inputs[number];
                let mut dx = vec![0.0; x.len()];
                let weight = &self.parameters[number][0];
                for_windows(s, |at, from, tap| {
                    dw[tap] += dy[at] * x[from];
                    dx[from] += dy[at] * f64::from(weight[tap]);
                });
                d = dx;
            }
        }
        let mut all = vec![features];
        all.extend(gradients.into_iter().flatten());
        all
    }
}

/// Calls with output, input and weight of every product of an image's convolution.
fn for_windows(s: &spec::Sizes, mut product: impl FnMut(usize, usize, usize)) {
    let (k, (h, w), (out_h, out_w)) = (s.spec.size, s.before, s.after);
    for at in 0..s.values() {
        let (o, r, c) = (at / out_w / out_h, at / out_w % out_h, at % out_w);
        for j in 0..s.inputs * k * k {
            let (i, a, b) = (j / k / k, j / k % k, j % k);
            let row = (r + a).wrapping_sub(s.spec.padding);
            let column = (c + b).wrapping_sub(s.spec.padding);
            if row < h && column < w {
                product(at, (i * h + row) * w + column, o * s.inputs * k * k + j);
            }
        }
    }
}

/// The largest of every window, and where it is, if a gradient passes.
fn pooled(s: &spec::Sizes, y: &[f64]) -> (Vec<f64>, Vec<Option<usize>>) {
    let ((out_h, out_w), (h, w)) = (s.after, s.pooled);
    (0..s.spec.channels * h * w)
        .map(|i| {
            let (o, r, c) = (i / w / h, i / w % h, i % w);
            let first = (o * out_h + 2 * r) * out_w + 2 * c;
            let window = [first, first + 1, first + out_w, first + out_w + 1];
            let best = window
                .into_iter()
                .reduce(|a, b| if y[b] > y[a] { b } else { a });
            let best = best.unwrap();
            (y[best], (y[best] > 0.0).then_some(best))
        })
        .unzip()
}

fn close(what: &str, found: &[f32], expected: &[f64]) {
    let scale = expected.iter().fold(1e-6_f64, |m, x| m.max(x.abs()));
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let apart = (f64::from(*f) - e).abs();
        assert!(
            apart <= 5e-6 * scale,
            "{what} at {i}: {f} for {e} (largest {scale})"
        );
    }
}

fn cases() -> Vec<(CnnSpec, usize)> {
    let spec = |in_channels, height, width, stages: &[StageSpec]| CnnSpec {
        in_channels,
        height,
        width,
        stages: stages.to_vec(),
        norms: false,
    };
    let small = spec(1, 5, 4, &[stage(3, 2, 1, 0.3)]);
    if cfg!(miri) {
        return vec![(small, 2)];
    }
    let alexnet = [
        stage(20, 4, 0, 0.2),
        stage(33, 3, 0, 0.2),
        stage(50, 2, 0, 0.5),
    ];
    let lenet = [stage(20, 5, 2, 0.0), stage(17, 5, 2, 0.4)];
    vec![
        (small, 2),
        (spec(3, 32, 32, &alexnet), 3),
        (spec(3, 17, 14, &lenet), 21),
        (
            spec(2, 60, 52, &[stage(70, 1, 0, 0.5), stage(5, 7, 3, 0.5)]),
            3,
        ),
        (spec(20, 6, 6, &[stage(16, 3, 1, 0.0)]), 83),
    ]
}

#[test]
fn stages_are_their_definition_at_every_level_and_number_of_threads() {
    for (spec, batch) in cases() {
        let case = Case::new(spec.clone(), batch);
        for level in Level::available_levels() {
            let mut one = Cnn::new(spec.clone(), level, Arc::new(Workers::new(1))).unwrap();
            let mut three = Cnn::new(spec.clone(), level, Arc::new(Workers::new(3))).unwrap();
            for dropped in [true, false] {
                let what = format!("{level:?} {batch} {spec:?}, dropout {dropped}");
                let found = case.run(&mut one, dropped);
                let expected = case.expected(dropped);
                assert_eq!(found.len(), expected.len());
                for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    close(&format!("{i}, {what}"), found, expected);
                }
                // Twice, by more threads, and after a pass that keeps nothing: buffers remember nothing.
                let mut features = vec![f32::NAN; case.d_features.len()];
                let images = &case.images;
                one.forward(
                    batch,
                    images,
                    &case.parameters(),
                    None,
                    false,
                    &mut features,
                );
                if !dropped {
                    assert_eq!(features, found[0], "{what}");
                }
                assert_eq!(case.run(&mut one, dropped), found, "{what}");
                assert_eq!(case.run(&mut three, dropped), found, "{what}");
            }
        }
    }
}

/// A pass over fewer images, and then over as many as before.
#[test]
fn an_image_does_not_depend_on_the_batch() {
    let (spec, batch) = cases().pop().unwrap();
    let case = Case::new(spec.clone(), batch);
    let mut cnn = Cnn::new(spec, Level::detect(), Arc::new(Workers::new(1))).unwrap();
    let all = case.run(&mut cnn, false);
    let (pixels, len) = (case.images.len() / batch, case.d_features.len() / batch);
    let mut features = vec![0.0; len];
    for i in [0, batch - 1] {
        let image = &case.images[i * pixels..][..pixels];
        cnn.forward(1, image, &case.parameters(), None, true, &mut features);
        assert_eq!(features, all[0][i * len..][..len], "{i}");
    }
    assert_eq!(case.run(&mut cnn, false), all);
}

#[test]
#[should_panic(expected = "a pass before")]
fn backward_wants_a_pass_that_was_kept() {
    let (spec, batch) = cases().swap_remove(0);
    let case = Case::new(spec.clone(), batch);
    let mut cnn = Cnn::new(spec, Level::portable(), Arc::new(Workers::new(1))).unwrap();
    let mut features = vec![0.0; case.d_features.len()];
    cnn.forward(
        batch,
        &case.images,
        &case.parameters(),
        None,
        false,
        &mut features,
    );
    let mut gradients = case.parameters.clone();
    let mut places: Vec<_> = gradients
        .iter_mut()
        .map(|[w, b]| (&mut w[..], &mut b[..]))
        .collect();
    cnn.backward(&case.d_features, &mut places);
}

/// Passes with norms: features, what the norms saw, and gradients of all.
fn normed(threads: usize, level: Level, batch: usize) -> Vec<Vec<f32>> {
    let spec = CnnSpec {
        in_channels: 2,
        height: 11,
        width: 9,
        stages: vec![stage(5, 3, 1, 0.0), stage(17, 2, 0, 0.0)],
        norms: true,
    };
    let case = Case::new(spec.clone(), batch);
    let norms: Vec<[Vec<f32>; 2]> = [5, 17].map(|c| [vec![1.5; c], vec![-0.1; c]]).to_vec();
    let norms: Vec<NormParameters<'_>> = norms.iter().map(|[w, b]| (&w[..], &b[..])).collect();
    let parameters = case.parameters();
    let parameters = (&parameters[..], &norms[..]);
    let mut cnn = Cnn::new(spec, level, Arc::new(Workers::new(threads))).unwrap();
    let mut all = Vec::new();
    let mut stats = vec![BatchStats::default(); 2];
    for frozen in [false, true] {
        let mut features = vec![f32::NAN; case.d_features.len()];
        let to = &mut features;
        if frozen {
            let running: Vec<NormParameters<'_>> = stats
                .iter()
                .map(|s| (&s.mean[..], &s.variance[..]))
                .collect();
            cnn.forward_running(batch, &case.images, parameters, &running, true, to);
            let mut again = vec![f32::NAN; to.len()];
            let mut other = Cnn::new(case.spec.clone(), level, Arc::new(Workers::new(1))).unwrap();
            other.forward_running(batch, &case.images, parameters, &running, false, &mut again);
            assert_eq!(*to, again, "kept or not");
        } else {
            cnn.forward_train(batch, &case.images, parameters, &mut stats, true, to);
        }
        let mut gradients = case.parameters.clone();
        let mut of_norms: Vec<[Vec<f32>; 2]> = [5, 17]
            .map(|c| [vec![f32::NAN; c], vec![f32::NAN; c]])
            .to_vec();
        let mut to: Vec<_> = gradients
            .iter_mut()
            .map(|[w, b]| (&mut w[..], &mut b[..]))
            .collect();
        let mut to_norms: Vec<_> = of_norms
            .iter_mut()
            .map(|[w, b]| (&mut w[..], &mut b[..]))
            .collect();
        cnn.backward_normed(&case.d_features, &mut to, &mut to_norms);
        all.push(features);
        all.extend(gradients.into_iter().flatten());
        all.extend(of_norms.into_iter().flatten());
    }
    all.extend(stats.into_iter().flat_map(|s| [s.mean, s.variance]));
    all
}

/// Images in several pieces, the last of which is not full.
#[test]
#[cfg_attr(
    miri,
    ignore = "minutes; the kernels are those of the other tests, and what is between them is safe"
)]
fn norms_do_not_depend_on_threads() {
    let batch = 21;
    for level in Level::available_levels() {
        let one = normed(1, level, batch);
        assert!(one.iter().flatten().all(|x| x.is_finite()));
        assert_eq!(one, normed(3, level, batch), "{level:?}");
    }
}

#[test]
#[should_panic(expected = "norms have parameters, too")]
fn norms_are_not_forgotten() {
    let spec = CnnSpec {
        in_channels: 1,
        height: 4,
        width: 4,
        stages: vec![stage(1, 1, 0, 0.0)],
        norms: true,
    };
    let case = Case::new(spec.clone(), 1);
    let mut cnn = Cnn::new(spec, Level::detect(), Arc::new(Workers::new(1))).unwrap();
    case.run(&mut cnn, false);
}
