// SPDX-License-Identifier: GPL-2.0

//! A buffer's way through the ring and back, by the number of its ranges.

use criterion::{
    criterion_group,
    criterion_main,
    BenchmarkId,
    Criterion, //
};
use ring_bench::{
    Form,
    Kernels,
    Ours,
    Ring,
    Theirs, //
};

fn round<R: Ring>(criterion: &mut Criterion, form: Form, name: &str) {
    let mut group = criterion.benchmark_group(format!("{form:?}").to_lowercase());
    for ranges in [1, 3, 16] {
        let mut ring = R::new(form);
        group.bench_with_input(
            BenchmarkId::new(name, ranges),
            &ranges,
            |bencher, &ranges| {
                bencher.iter(|| ring.round(ranges));
            },
        );
    }
    group.finish();
}

fn all(criterion: &mut Criterion) {
    for form in [Form::Direct, Form::Indirect] {
        round::<Ours>(criterion, form, "virtio_ring");
        round::<Kernels>(criterion, form, "C");
        round::<Theirs>(criterion, form, "virtio-drivers");
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
