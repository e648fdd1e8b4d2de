// SPDX-License-Identifier: GPL-2.0

//! How the PCI transport gives interrupt vectors to queues.

#[path = "../../../drivers/virtio/virtio_pci/plan.rs"]
mod plan;

use plan::{
    Spread,
    VectorPlan,
    CONFIG_VECTOR, //
};

/// The vectors of all queues with a callback.
fn vectors_of(queues: u16, vectors: u16) -> Vec<u16> {
    let spread = Spread::new(queues, vectors);
    (0..queues).map_while(|nth| spread.vector(nth)).collect()
}

/// M25: as many vectors as there are queues with a callback, and one more.
#[test]
fn each_queue_with_a_callback_has_a_vector_of_its_own() {
    assert_eq!(VectorPlan::PerQueue.vectors(4), Some(5..=5));
    assert_eq!(vectors_of(4, 5), [1, 2, 3, 4]);
    assert!(Spread::new(4, 5).is_one_each());
    assert_eq!(Spread::new(4, 5).queue_vectors(), 1..5);
    assert!(!Spread::new(4, 5).queue_vectors().contains(&CONFIG_VECTOR));
    assert_eq!(Spread::new(4, 5).vector(4), None);
    // No plan has a use for more.
    assert_eq!(vectors_of(2, 5), [1, 2]);
    assert_eq!(VectorPlan::PerQueue.vectors(0), Some(1..=1));
    assert_eq!(VectorPlan::PerQueue.vectors(u16::MAX), None);
}

/// M28: queues that share a vector are neighbours, and no vector has two queues more than another.
#[test]
fn few_vectors_are_spread_evenly() {
    assert_eq!(VectorPlan::Spread.vectors(4), Some(3..=4));
    assert_eq!(VectorPlan::Spread.vectors(3), Some(3..=3));
    assert_eq!(VectorPlan::Spread.vectors(u16::MAX), Some(3..=u16::MAX));
    // A vector each, or one for both.
    assert_eq!(VectorPlan::Spread.vectors(2), None);
    assert_eq!(vectors_of(4, 3), [1, 1, 2, 2]);
    assert_eq!(vectors_of(5, 3), [1, 1, 1, 2, 2]);
    assert_eq!(vectors_of(4, 4), [1, 1, 2, 3]);
    for queues in (1..70).chain([2048, 65534]) {
        for vectors in (2..70).filter(|vectors| *vectors <= queues + 1) {
            let all = vectors_of(queues, vectors);
            assert_eq!(all.len(), usize::from(queues));
            assert!(all.is_sorted());
            let shares: Vec<_> = Spread::new(queues, vectors)
                .queue_vectors()
                .map(|vector| all.iter().filter(|found| **found == vector).count())
                .collect();
            let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            assert!(*least >= 1 && most - least <= 1, "{queues} over {vectors}");
            assert_eq!(Spread::new(queues, vectors).is_one_each(), *most == 1);
        }
    }
}

/// M27, M29: one vector is left for all queues, or none and the line.
#[test]
fn one_vector_is_shared_and_a_line_needs_none() {
    assert_eq!(VectorPlan::ALL[2..], [VectorPlan::Shared, VectorPlan::Line]);
    assert_eq!(VectorPlan::Shared.vectors(100), Some(2..=2));
    assert_eq!(vectors_of(100, 2), [1; 100]);
    assert_eq!(VectorPlan::Line.vectors(100), None);
    assert_eq!(vectors_of(100, 0), []);
    assert!(Spread::new(100, 0).queue_vectors().is_empty());
    assert!(!Spread::new(1, 0).is_one_each());
}
